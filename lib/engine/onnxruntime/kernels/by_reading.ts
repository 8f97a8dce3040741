/**
 * Operations that read their operands and compute at once, with tfjs's own `cpu` backend: those
 * whose output's shape depends on numbers. They cannot run inside `compile()`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type Data, type DType, type Operand, sizeOf } from "../graph.ts";
import { type Kernel, type KernelTable, list } from "./kernel.ts";

/** What tfjs's `cpu` backend has and its published type does not say. */
type CpuBackend = tf.KernelBackend & {
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: Data): tf.TensorInfo;
  data: { get(dataId: object): { values: ArrayLike<number> } };
};

function numbers(backend: OnnxRuntimeBackend, name: string, { storage, dtype }: Operand): Data {
  if (sizeOf(storage.shape) === 0) return typed([], dtype);
  try {
    if (storage.node) backend.flush();
  } catch { // said below, with the operation's name
  }
  if (!storage.data) {
    throw new TypeError(
      `Cannot run "${name}" inside compile() as its result's shape depends on numbers that are ` +
        "not known while the function is traced: run it before or after the compiled function",
    );
  }
  return storage.data;
}

function typed(values: ArrayLike<number>, dtype: DType): Data {
  switch (dtype) {
    case "float32":
      return values instanceof Float32Array ? values : Float32Array.from(values);
    case "int32":
      return values instanceof Int32Array ? values : Int32Array.from(values);
    case "bool":
      return values instanceof Uint8Array ? values : Uint8Array.from(values);
  }
}

/** A kernel that runs as tfjs's `cpu` backend runs it. */
export function onCpu(name: string): Kernel {
  return ({ inputs, attrs, backend }) => {
    const cpu = tf.findBackend("cpu") as CpuBackend;
    const given = Object.entries(inputs).map(([key, x]) =>
      [key, cpu.makeTensorInfo([...x.shape], x.dtype, numbers(backend, name, x))] as const
    );
    const named = Object.fromEntries(given);
    const out = tf.getKernel(name, "cpu").kernelFunc({
      inputs: ("0" in named ? Object.values(named) : named) as never,
      attrs,
      backend: cpu,
    });
    const results = (Array.isArray(out) ? out : [out]).map(({ dataId, shape, dtype }) => {
      const data = typed(cpu.data.get(dataId).values, dtype as DType);
      return { dataId, operand: backend.constant(data, shape, dtype as DType) };
    });
    for (const { dataId } of [...given.map(([, info]) => info), ...results]) {
      cpu.disposeData(dataId as never, true);
    }
    return Array.isArray(out) ? results.map(({ operand }) => operand) : results[0].operand;
  };
}

/** If all operands are empty, so is the work: `cpu` says what comes out of it. */
export function allEmpty(inputs: Record<string, Operand>): boolean {
  const operands = list(inputs);
  return operands.length > 0 && operands.every(({ shape }) => shape.includes(0));
}

const names = [
  "Unique",
  "NonMaxSuppressionV3",
  "NonMaxSuppressionV4",
  "NonMaxSuppressionV5",
  "Multinomial",
];

export const byReading: KernelTable = Object.fromEntries(names.map((name) => [name, onCpu(name)]));
