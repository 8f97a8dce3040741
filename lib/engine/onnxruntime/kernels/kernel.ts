/**
 * What a kernel is: a function that turns the inputs of a tfjs operation into recorded ONNX
 * operations. To add one, write it into the table of the file it belongs to.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import type { DType, Operand } from "../graph.ts";

export type KernelCall = {
  /** tfjs's named inputs, as operands; a variadic operation's are named "0", "1", ... */
  inputs: Record<string, Operand>;
  // deno-lint-ignore no-explicit-any -- tfjs types the attributes of each kernel apart, if at all
  attrs: any;
  backend: OnnxRuntimeBackend;
};

export type Kernel = (call: KernelCall) => Operand | Operand[];

/** Kernels by tfjs's name for the operation. */
export type KernelTable = Readonly<Record<string, Kernel>>;

/** The inputs of a variadic operation, in order. */
export function list(inputs: Record<string, Operand>): Operand[] {
  return Object.values(inputs);
}

/** An operand under another shape of the same size; free. */
export function reshape({ storage, dtype }: Operand, shape: readonly number[]): Operand {
  return { storage, shape, dtype };
}

export function cast(backend: OnnxRuntimeBackend, x: Operand, dtype: DType): Operand {
  if (x.dtype === dtype) return x;
  const to = { float32: 1, int32: 6, bool: 9 }[dtype];
  return backend.record("Cast", [x], { shape: x.shape, dtype, attributes: { to } });
}

/** The axes of a reduction or concatenation as numbers from 0. */
export function axesOf(axis: number | number[], shape: readonly number[]): number[] {
  return tf.util.parseAxisParam(axis, [...shape]);
}
