/**
 * Registers the backend and its kernels with tfjs under the name `onnxruntime`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { OnnxRuntimeBackend } from "./backend.ts";
import { type Operand, sizeOf } from "./graph.ts";
import { arithmetic } from "./kernels/arithmetic.ts";
import { allEmpty, byReading, onCpu } from "./kernels/by_reading.ts";
import { convolution } from "./kernels/convolution.ts";
import { creation } from "./kernels/creation.ts";
import { elementary } from "./kernels/elementary.ts";
import { indexing } from "./kernels/indexing.ts";
import type { Kernel, KernelTable } from "./kernels/kernel.ts";
import { linearAlgebra } from "./kernels/linear_algebra.ts";
import { normalisation } from "./kernels/normalisation.ts";
import { pooling } from "./kernels/pooling.ts";
import { reductions } from "./kernels/reductions.ts";
import { resize } from "./kernels/resize.ts";
import { shape } from "./kernels/shape.ts";

export const ENGINE = "onnxruntime";

/** Later tables need earlier ones only through their functions; the order says nothing. */
const tables: readonly KernelTable[] = [
  arithmetic,
  elementary,
  reductions,
  shape,
  creation,
  indexing,
  linearAlgebra,
  normalisation,
  convolution,
  pooling,
  resize,
  byReading,
];

/** tfjs's names of the operations that the engine has. */
export const kernelNames: readonly string[] = tables.flatMap((table) => Object.keys(table));

function empty(backend: OnnxRuntimeBackend, { shape, dtype }: Operand): Operand {
  return backend.constant(tf.util.makeZerosTypedArray(0, dtype), shape, dtype);
}

function register(backend: OnnxRuntimeBackend, kernelName: string, kernel: Kernel): void {
  tf.registerKernel({
    kernelName,
    backendName: ENGINE,
    kernelFunc: ({ inputs, attrs }) => {
      const operands = Object.fromEntries(
        Object.entries(inputs)
          .filter(([, info]) => info !== undefined && info !== null)
          .map(([name, info]) => [name, backend.operand(info as tf.TensorInfo)]),
      );
      // of empty operands `cpu` makes what tfjs makes of them, 0, 1 or NaN, at no cost
      const run = allEmpty(operands) && tf.getKernel(kernelName, "cpu")
        ? onCpu(kernelName)
        : kernel;
      const out = run({ inputs: operands, attrs, backend });
      // ONNX Runtime is never asked for an output without elements
      const tensor = (operand: Operand) =>
        backend.tensor(sizeOf(operand.shape) === 0 ? empty(backend, operand) : operand);
      return Array.isArray(out) ? out.map(tensor) : tensor(out);
    },
  });
}

/** Registers everything; calling it again does nothing. */
export function registerOnnxRuntime(): OnnxRuntimeBackend {
  const known = tf.findBackend(ENGINE);
  if (known) return known as OnnxRuntimeBackend;
  const backend = new OnnxRuntimeBackend();
  tf.registerBackend(ENGINE, () => backend);
  for (const table of tables) {
    for (const [name, kernel] of Object.entries(table)) {
      register(backend, name, kernel);
    }
  }
  // every other operation that tfjs's own `cpu` backend has: say what is missing and where it goes
  for (const { kernelName } of tf.getKernelsForBackend("cpu")) {
    if (kernelNames.includes(kernelName)) continue;
    register(backend, kernelName, () => {
      throw new TypeError(
        `Cannot run "${kernelName}" as the onnxruntime engine has no kernel for it: ` +
          `add one to a table in lib/engine/onnxruntime/kernels/, or run this part under setEngine("cpu")`,
      );
    });
  }
  return backend;
}
