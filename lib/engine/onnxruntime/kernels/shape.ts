/** Moving and making elements: views, slices, concatenation, padding, gathering, constants. @module */
import * as tf from "@tensorflow/tfjs";
import { int64s, type Operand, scalar, sizeOf } from "../graph.ts";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { axesOf, type Kernel, type KernelTable, list, reshape } from "./kernel.ts";

function slice(
  backend: OnnxRuntimeBackend,
  x: Operand,
  begin: readonly number[],
  size: readonly number[],
): Operand {
  // only the axes that are really cut
  const axes = [...x.shape.keys()].filter((i) => size[i] !== x.shape[i]);
  if (axes.length === 0) return x;
  return backend.record("Slice", [
    x,
    int64s(axes.map((i) => begin[i])),
    int64s(axes.map((i) => begin[i] + size[i])),
    int64s(axes),
  ], { shape: size, dtype: x.dtype });
}

function concat(backend: OnnxRuntimeBackend, parts: Operand[], axis: number): Operand {
  const filled = parts.filter((part) => sizeOf(part.shape) > 0);
  if (filled.length === 1) return filled[0];
  const [first] = filled.length > 0 ? filled : parts;
  const shape = [...first.shape];
  shape[axis] = parts.reduce((sum, part) => sum + part.shape[axis], 0);
  return backend.record("Concat", filled.length > 0 ? filled : parts, {
    shape,
    dtype: first.dtype,
    attributes: { axis },
  });
}

const fill = (value: number | "same"): Kernel => ({ inputs: { x }, backend }) => {
  const data = tf.util.makeZerosTypedArray(sizeOf(x.shape), x.dtype);
  if (value !== "same") data.fill(value);
  return backend.constant(data, x.shape, x.dtype);
};

export const shape: KernelTable = {
  Identity: ({ inputs: { x } }) => x,
  Reshape: ({ inputs: { x }, attrs: { shape } }) =>
    reshape(x, tf.util.inferFromImplicitShape(shape, sizeOf(x.shape))),
  ExpandDims: ({ inputs: { input }, attrs: { dim } }) => {
    const out = [...input.shape];
    out.splice(dim < 0 ? dim + out.length + 1 : dim, 0, 1);
    return reshape(input, out);
  },
  Transpose: ({ inputs: { x }, attrs: { perm }, backend }) =>
    backend.record("Transpose", [x], {
      shape: perm.map((axis: number) => x.shape[axis]),
      dtype: x.dtype,
      attributes: { perm },
    }),
  Slice: ({ inputs: { x }, attrs: { begin, size }, backend }) => {
    const [from, sizes] = tf.slice_util.parseSliceParams(x as never, begin, size);
    return slice(backend, x, from, sizes);
  },
  Concat: ({ inputs, attrs: { axis }, backend }) => {
    const parts = list(inputs);
    return concat(backend, parts, axesOf(axis, parts[0].shape)[0]);
  },
  Pack: ({ inputs, attrs: { axis }, backend }) => {
    const parts = list(inputs).map((part) => {
      const out = [...part.shape];
      out.splice(axis, 0, 1);
      return reshape(part, out);
    });
    return concat(backend, parts, axis);
  },
  SplitV: ({ inputs: { x }, attrs: { numOrSizeSplits, axis }, backend }) => {
    const [along] = axesOf(axis, x.shape);
    const sizes = tf.backend_util.prepareSplitSize(x as never, numOrSizeSplits, along);
    let start = 0;
    return sizes.map((length) => {
      const begin = x.shape.map(() => 0);
      const size = [...x.shape];
      begin[along] = start;
      size[along] = length;
      start += length;
      return slice(backend, x, begin, size);
    });
  },
  PadV2: ({ inputs: { x }, attrs: { paddings, constantValue }, backend }) => {
    const pads = paddings as [number, number][];
    return backend.record("Pad", [
      x,
      int64s([...pads.map(([before]) => before), ...pads.map(([, after]) => after)]),
      scalar(constantValue, x.dtype),
    ], { shape: x.shape.map((dim, i) => dim + pads[i][0] + pads[i][1]), dtype: x.dtype });
  },
  Tile: ({ inputs: { x }, attrs: { reps }, backend }) =>
    backend.record("Tile", [x, int64s(reps)], {
      shape: x.shape.map((dim, i) => dim * reps[i]),
      dtype: x.dtype,
    }),
  BroadcastTo: ({ inputs: { x }, attrs: { shape }, backend }) =>
    backend.record("Expand", [x, int64s(shape)], { shape, dtype: x.dtype }),
  GatherV2: ({ inputs: { x, indices }, attrs: { axis, batchDims }, backend }) => {
    if (batchDims) {
      throw new RangeError(
        `Cannot gather as the onnxruntime engine needs batchDims 0: batchDims is ${batchDims}`,
      );
    }
    const [along] = axesOf(axis, x.shape);
    return backend.record("Gather", [x, indices], {
      shape: [...x.shape.slice(0, along), ...indices.shape, ...x.shape.slice(along + 1)],
      dtype: x.dtype,
      attributes: { axis: along },
    });
  },
  Fill: ({ attrs: { shape, value, dtype = "float32" }, backend }) => {
    const data = tf.util.makeZerosTypedArray(sizeOf(shape), dtype as "float32");
    return backend.constant(data.fill(value), shape, dtype);
  },
  ZerosLike: fill("same"),
  OnesLike: fill(1),
};
