/** Reductions along axes, positions of extremes, running sums and products. @module */
import * as tf from "@tensorflow/tfjs";
import { type DType, int64s, type Operand, scalar, sizeOf } from "../graph.ts";
import { axesOf, cast, castAlways, type Kernel, type KernelTable, map, reshape } from "./kernel.ts";

const same = (dtype: DType) => dtype;
const counted = (dtype: DType): DType => dtype === "bool" ? "int32" : dtype;

/** `out` says which dtype the result has; `inner` in which it is computed. */
function reduction(
  op: string,
  { out, inner = counted }: {
    out: (dtype: DType) => DType;
    inner?: (dtype: DType) => DType;
  },
): Kernel {
  return ({ inputs: { x }, attrs: { axis, reductionIndices, keepDims }, backend }) => {
    const axes = axesOf(axis ?? reductionIndices, x.shape);
    const dtype = out(x.dtype);
    if (axes.length === 0) return cast(backend, x, dtype);
    const [kept] = tf.backend_util.computeOutAndReduceShapes([...x.shape], axes);
    const shape = keepDims ? tf.backend_util.expandShapeToKeepDim(kept, axes) : kept;
    const reduced = backend.record(op, [cast(backend, x, inner(x.dtype)), int64s(axes)], {
      shape,
      dtype: inner(x.dtype),
      attributes: { keepdims: keepDims ? 1 : 0 },
    });
    return cast(backend, reduced, dtype);
  };
}

function position(op: string): Kernel {
  return ({ inputs: { x }, attrs: { axis }, backend }) => {
    const [along] = axesOf(axis, x.shape);
    const index = backend.record(op, [cast(backend, x, counted(x.dtype))], {
      shape: x.shape.filter((_, i) => i !== along),
      dtype: "int32", // int64 until the cast
      attributes: { axis: along, keepdims: 0 },
    });
    return castAlways(backend, index, "int32");
  };
}

const sum = reduction("ReduceSum", { out: counted });

/** Below this many rows ONNX Runtime's own reduction is as fast. */
const MANY_ROWS = 64;

/**
 * Sums over leading axes, as the gradients of biases and scales are, run on one thread in
 * ReduceSum and take 3 to 10 times as long as a product with ones, [1, rows] · [rows, columns].
 */
const sumOfRows: Kernel = (call) => {
  const { inputs: { x }, attrs: { axis, keepDims }, backend } = call;
  const axes = axesOf(axis, x.shape);
  const [kept, reduced] = tf.backend_util.computeOutAndReduceShapes([...x.shape], axes);
  const rows = sizeOf(reduced), columns = sizeOf(kept);
  const long = [...x.shape.keys()].filter((i) => x.shape[i] > 1);
  const leading = long.filter((i) => axes.includes(i)).every((axis, i) => axis === long[i]);
  if (x.dtype !== "float32" || !leading || rows < MANY_ROWS || columns === 1) return sum(call);
  const ones = backend.constant(new Float32Array(rows).fill(1), [1, rows], "float32");
  const total = backend.record("MatMul", [ones, reshape(x, [rows, columns])], {
    shape: [1, columns],
    dtype: "float32",
  });
  return reshape(total, keepDims ? tf.backend_util.expandShapeToKeepDim(kept, axes) : kept);
};

export const reductions: KernelTable = {
  Sum: sumOfRows,
  Prod: reduction("ReduceProd", { out: counted }),
  Mean: reduction("ReduceMean", { out: () => "float32", inner: () => "float32" }),
  Max: reduction("ReduceMax", { out: same }),
  Min: reduction("ReduceMin", { out: same }),
  All: reduction("ReduceMin", { out: () => "bool", inner: () => "int32" }),
  Any: reduction("ReduceMax", { out: () => "bool", inner: () => "int32" }),
  ArgMax: position("ArgMax"),
  ArgMin: position("ArgMin"),
  Cumsum: ({ inputs: { x }, attrs: { axis, exclusive, reverse }, backend }) => {
    const terms = cast(backend, x, counted(x.dtype));
    const [along] = axesOf(axis, x.shape);
    return backend.record("CumSum", [terms, scalar(along, "int32")], {
      shape: x.shape,
      dtype: terms.dtype,
      attributes: { exclusive: exclusive ? 1 : 0, reverse: reverse ? 1 : 0 },
    });
  },
  // ONNX has no running product: double its reach until it spans the axis
  Cumprod: ({ inputs: { x }, attrs: { axis, exclusive, reverse }, backend }) => {
    const [along] = axesOf(axis, x.shape);
    const length = x.shape[along];
    const shifted = (y: Operand, by: number): Operand => {
      const kept = x.shape.map((dim, i) => i === along ? dim - by : dim);
      const part = backend.record("Slice", [
        y,
        int64s([reverse ? by : 0]),
        int64s([reverse ? length : length - by]),
        int64s([along]),
      ], { shape: kept, dtype: y.dtype });
      const pads = [...x.shape, ...x.shape].fill(0);
      pads[reverse ? x.shape.length + along : along] = by;
      return map(backend, "Pad", [part, int64s(pads), scalar(1, y.dtype)], y);
    };
    let product = cast(backend, x, counted(x.dtype));
    for (let reach = 1; reach < length; reach *= 2) {
      product = map(backend, "Mul", [product, shifted(product, reach)], product);
    }
    return exclusive ? shifted(product, 1) : product;
  },
};
