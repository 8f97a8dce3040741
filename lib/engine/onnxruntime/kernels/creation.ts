/** Tensors that depend on no other tensor's numbers: constants of the graph. @module */
import * as tf from "@tensorflow/tfjs";
import { type DType, sizeOf } from "../graph.ts";
import { onCpu } from "./by_reading.ts";
import type { Kernel, KernelTable } from "./kernel.ts";

const like = (value: number): Kernel => ({ inputs: { x }, backend }) => {
  const data = tf.util.makeZerosTypedArray(sizeOf(x.shape), x.dtype);
  return backend.constant(value === 0 ? data : data.fill(value), x.shape, x.dtype);
};

export const creation: KernelTable = {
  Fill: ({ attrs: { shape, value, dtype }, backend }) => {
    const type = (dtype ?? tf.util.inferDtype(value)) as DType;
    if (typeof value === "string") {
      throw new TypeError(
        `Cannot fill as the onnxruntime engine has float32, int32 and bool: value is "${value}"`,
      );
    }
    return backend.constant(
      tf.util.makeZerosTypedArray(sizeOf(shape), type).fill(Number(value)),
      shape,
      type,
    );
  },
  ZerosLike: like(0),
  OnesLike: like(1),
  // tfjs's own rounding and counting of the steps
  Range: onCpu("Range"),
  LinSpace: onCpu("LinSpace"),
};
