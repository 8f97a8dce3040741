/**
 * Registers the backend and its kernels with tfjs under the name `onnxruntime`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { OnnxRuntimeBackend } from "./backend.ts";
import { arithmetic } from "./kernels/arithmetic.ts";
import type { Kernel, KernelTable } from "./kernels/kernel.ts";
import { linearAlgebra } from "./kernels/linear_algebra.ts";
import { reductions } from "./kernels/reductions.ts";
import { shape } from "./kernels/shape.ts";

export const ENGINE = "onnxruntime";

const tables: readonly KernelTable[] = [arithmetic, linearAlgebra, reductions, shape];

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
      const out = kernel({ inputs: operands, attrs, backend });
      return Array.isArray(out)
        ? out.map((operand) => backend.tensor(operand))
        : backend.tensor(out);
    },
  });
}

/** Registers everything; calling it again does nothing. */
export function registerOnnxRuntime(): OnnxRuntimeBackend {
  const known = tf.findBackend(ENGINE);
  if (known) return known as OnnxRuntimeBackend;
  const backend = new OnnxRuntimeBackend();
  tf.registerBackend(ENGINE, () => backend);
  const covered = new Set<string>();
  for (const table of tables) {
    for (const [name, kernel] of Object.entries(table)) {
      register(backend, name, kernel);
      covered.add(name);
    }
  }
  // every other operation that tfjs's own `cpu` backend has: say what is missing and where it goes
  for (const { kernelName } of tf.getKernelsForBackend("cpu")) {
    if (covered.has(kernelName)) continue;
    register(backend, kernelName, () => {
      throw new TypeError(
        `Cannot run "${kernelName}" as the onnxruntime engine has no kernel for it: ` +
          `add one to a table in lib/engine/onnxruntime/kernels/, or run this part under setEngine("cpu")`,
      );
    });
  }
  return backend;
}
