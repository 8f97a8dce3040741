/** Gathering, scattering and choosing elements by index. @module */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type DType, int64s, type Operand, scalar, sizeOf } from "../graph.ts";
import {
  axesOf,
  cast,
  castAlways,
  type Kernel,
  type KernelTable,
  reshape,
  zeros,
} from "./kernel.ts";
import { slice, transpose } from "./shape.ts";

/** Indices of tfjs, int32, as GatherND and ScatterND of ONNX take them. */
function wide(backend: OnnxRuntimeBackend, indices: Operand): Operand {
  return castAlways(backend, indices, "int32", "int64");
}

/** Rows of `data` replaced by, or with `add` increased by, `updates`. */
function scatter(
  backend: OnnxRuntimeBackend,
  data: Operand,
  { indices, updates, add }: { indices: Operand; updates: Operand; add: boolean },
): Operand {
  const inner: DType = add && data.dtype === "bool" ? "int32" : data.dtype;
  const out = backend.record("ScatterND", [
    cast(backend, data, inner),
    wide(backend, indices),
    cast(backend, updates, inner),
  ], { shape: data.shape, dtype: inner, attributes: add ? { reduction: "add" } : {} });
  return cast(backend, out, data.dtype);
}

/** A lookup in each batch: [batch, outer, from, slice] by [batch, to] → [batch, outer, to, slice]. */
const gatherInBatches: Kernel = ({ inputs: { x, indices }, attrs, backend }) => {
  const [axis] = axesOf(attrs.axis, x.shape);
  const info = tf.backend_util.segment_util.collectGatherOpShapeInfo(
    x as never,
    indices as never,
    axis,
    attrs.batchDims,
  );
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } = info;
  const count = sizeOf(indices.shape) / batchSize;
  const data = transpose(
    backend,
    reshape(x, [batchSize, outerSize, dimSize, sliceSize]),
    [0, 2, 1, 3],
  );
  const found = backend.record("GatherND", [
    data,
    wide(backend, reshape(indices, [batchSize, count, 1])),
  ], {
    shape: [batchSize, count, outerSize, sliceSize],
    dtype: x.dtype,
    attributes: { batch_dims: 1 },
  });
  return reshape(transpose(backend, found, [0, 2, 1, 3]), outputShape);
};

export const indexing: KernelTable = {
  GatherV2: (call) => {
    const { inputs: { x, indices }, attrs: { axis, batchDims }, backend } = call;
    if (batchDims) return gatherInBatches(call);
    const [along] = axesOf(axis, x.shape);
    return backend.record("Gather", [x, indices], {
      shape: [...x.shape.slice(0, along), ...indices.shape, ...x.shape.slice(along + 1)],
      dtype: x.dtype,
      attributes: { axis: along },
    });
  },
  GatherNd: ({ inputs: { params, indices }, backend }) => {
    const depth = indices.shape[indices.shape.length - 1];
    return backend.record("GatherND", [params, wide(backend, indices)], {
      shape: [...indices.shape.slice(0, -1), ...params.shape.slice(depth)],
      dtype: params.dtype,
    });
  },
  ScatterNd: ({ inputs: { indices, updates }, attrs: { shape }, backend }) =>
    scatter(backend, zeros(backend, shape, updates.dtype), { indices, updates, add: true }),
  TensorScatterUpdate: ({ inputs: { tensor, indices, updates }, backend }) =>
    scatter(backend, tensor, { indices, updates, add: false }),
  SparseToDense: ({ inputs, attrs: { outputShape }, backend }) => {
    const { sparseIndices, sparseValues, defaultValue } = inputs;
    const filled = backend.record("Expand", [defaultValue, int64s(outputShape)], {
      shape: outputShape,
      dtype: defaultValue.dtype,
    });
    const indices = reshape(sparseIndices, [
      sizeOf(sparseIndices.shape) / outputShape.length,
      outputShape.length,
    ]);
    const count = [indices.shape[0]];
    const updates = sizeOf(sparseValues.shape) === count[0]
      ? reshape(sparseValues, count)
      : backend.record("Expand", [sparseValues, int64s(count)], {
        shape: count,
        dtype: sparseValues.dtype,
      });
    return scatter(backend, filled, { indices, updates, add: false });
  },
  UnsortedSegmentSum: ({ inputs: { x, segmentIds }, attrs: { numSegments }, backend }) => {
    // rows whose segment is not one of 0 .. numSegments - 1 go to one more, which is cut off
    const ids = { shape: segmentIds.shape, dtype: segmentIds.dtype };
    const bad = (op: string, bound: number) =>
      backend.record(op, [segmentIds, scalar(bound, "int32")], { ...ids, dtype: "bool" });
    const outside = backend.record("Or", [bad("Less", 0), bad("Greater", numSegments)], {
      ...ids,
      dtype: "bool",
    });
    const kept = backend.record("Where", [outside, scalar(numSegments, "int32"), segmentIds], ids);
    const inner: DType = x.dtype === "int32" ? "int32" : "float32";
    const row = x.shape.slice(segmentIds.shape.length);
    const sums = scatter(backend, zeros(backend, [numSegments + 1, ...row], inner), {
      indices: reshape(kept, [...segmentIds.shape, 1]),
      updates: cast(backend, x, inner),
      add: true,
    });
    return slice(backend, sums, {
      begin: sums.shape.map(() => 0),
      size: [numSegments, ...row],
    });
  },
  OneHot: ({ inputs: { indices }, attrs: { depth, onValue, offValue, dtype }, backend }) => {
    const shape = [...indices.shape, depth];
    const classes = { type: "int32" as const, dims: [depth], values: [...Array(depth).keys()] };
    const column = reshape(cast(backend, indices, "int32"), [...indices.shape, 1]);
    const hot = backend.record("Equal", [column, classes], { shape, dtype: "bool" });
    if (onValue === 1 && offValue === 0) return cast(backend, hot, dtype);
    const inner: DType = dtype === "bool" ? "int32" : dtype;
    const chosen = backend.record("Where", [hot, scalar(onValue, inner), scalar(offValue, inner)], {
      shape,
      dtype: inner,
    });
    return cast(backend, chosen, dtype);
  },
  TopK: ({ inputs: { x }, attrs: { k, sorted }, backend }) => {
    const inner: DType = x.dtype === "bool" ? "int32" : x.dtype;
    const shape = [...x.shape.slice(0, -1), k];
    const [values, indices] = backend.recordMany("TopK", [cast(backend, x, inner), int64s([k])], {
      outputs: [{ shape, dtype: inner }, { shape, dtype: "int32" }],
      attributes: { axis: x.shape.length - 1, sorted: sorted ? 1 : 0 },
    });
    return [cast(backend, values, x.dtype), castAlways(backend, indices, "int32")];
  },
};
