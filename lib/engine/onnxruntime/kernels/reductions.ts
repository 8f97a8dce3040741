/** Reductions along axes. @module */
import * as tf from "@tensorflow/tfjs";
import { int64s } from "../graph.ts";
import { axesOf, type Kernel, type KernelTable } from "./kernel.ts";

function reduction(op: string): Kernel {
  return ({ inputs: { x }, attrs: { axis, reductionIndices, keepDims }, backend }) => {
    const axes = axesOf(axis ?? reductionIndices, x.shape);
    if (axes.length === 0) return x;
    const [kept] = tf.backend_util.computeOutAndReduceShapes([...x.shape], axes);
    const shape = keepDims ? tf.backend_util.expandShapeToKeepDim(kept, axes) : kept;
    return backend.record(op, [x, int64s(axes)], {
      shape,
      dtype: x.dtype,
      attributes: { keepdims: keepDims ? 1 : 0 },
    });
  };
}

export const reductions: KernelTable = {
  Sum: reduction("ReduceSum"),
  Mean: reduction("ReduceMean"),
  Max: reduction("ReduceMax"),
  Min: reduction("ReduceMin"),
  Prod: reduction("ReduceProd"),
};
