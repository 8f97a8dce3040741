/**
 * What a kernel is: a function that turns the inputs of a tfjs operation into recorded ONNX
 * operations. To add one, write it into the table of the file it belongs to.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type DType, int64s, type Operand, scalar, type Shape } from "../graph.ts";
import { elementType } from "../proto.ts";

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
export function reshape({ storage, dtype }: Operand, shape: Shape): Operand {
  return { storage, shape, dtype };
}

export function cast(backend: OnnxRuntimeBackend, x: Operand, dtype: DType): Operand {
  if (x.dtype === dtype) return x;
  if (!["float32", "int32", "bool"].includes(dtype)) {
    throw new TypeError(
      `Cannot cast as the onnxruntime engine has float32, int32 and bool: dtype is ${dtype}`,
    );
  }
  return castAlways(backend, x, dtype);
}

/**
 * Casts even if the operand's dtype says that nothing is to do. Some operations of ONNX give
 * int64 or float64, which tfjs has no name for: within a kernel such operands carry the dtype
 * that they are about to be cast to.
 */
export function castAlways(
  backend: OnnxRuntimeBackend,
  x: Operand,
  dtype: DType,
  to: keyof typeof elementType = dtype,
): Operand {
  return backend.record("Cast", [x], {
    shape: x.shape,
    dtype,
    attributes: { to: elementType[to] },
  });
}

/** A node whose output has the shape and dtype of `like`. */
export function map(
  backend: OnnxRuntimeBackend,
  op: string,
  inputs: Parameters<OnnxRuntimeBackend["record"]>[1],
  like: { shape: Shape; dtype: DType },
): Operand {
  return backend.record(op, inputs, { shape: like.shape, dtype: like.dtype });
}

/** tfjs computes some functions in double precision; so does ONNX Runtime between two casts. */
export function inDoubles(
  backend: OnnxRuntimeBackend,
  inputs: readonly Operand[],
  { dtype, compute }: { dtype: DType; compute: (inputs: Operand[]) => Operand },
): Operand {
  const wide = inputs.map((x) => castAlways(backend, x, "float32", "float64"));
  return castAlways(backend, compute(wide), dtype);
}

/** Zeros as a node rather than an array, so that they need no memory until the graph runs. */
export function zeros(backend: OnnxRuntimeBackend, shape: Shape, dtype: DType): Operand {
  return backend.record("Expand", [scalar(0, dtype), int64s(shape)], { shape, dtype });
}

/** The axes of a reduction or concatenation as numbers from 0. */
export function axesOf(axis: number | number[], shape: Shape): number[] {
  return tf.util.parseAxisParam(axis, [...shape]);
}

/** The common shape of two operands. */
export function broadcastShape(a: Shape, b: Shape): number[] {
  return tf.broadcast_util.assertAndGetBroadcastShape([...a], [...b]);
}
