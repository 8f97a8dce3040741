/** Moving elements: views, slices, concatenation, padding, repetition. @module */
import * as tf from "@tensorflow/tfjs";
import { int64s, type Operand, scalar, type Shape, sizeOf } from "../graph.ts";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { axesOf, type Kernel, type KernelTable, list, reshape } from "./kernel.ts";

/** A box of a tensor, optionally every `steps`-th element; free where nothing is cut. */
export function slice(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { begin, size, steps = x.shape.map(() => 1) }: { begin: Shape; size: Shape; steps?: Shape },
): Operand {
  // only the axes that are really cut
  const axes = [...x.shape.keys()].filter((i) => size[i] !== x.shape[i] || steps[i] < 0);
  if (axes.length === 0) return x;
  const end = (i: number) => {
    const past = begin[i] + (size[i] - 1) * steps[i] + Math.sign(steps[i]);
    return past < 0 ? -x.shape[i] - 1 : past; // going down, the end before element 0
  };
  return backend.record("Slice", [
    x,
    int64s(axes.map((i) => begin[i])),
    int64s(axes.map(end)),
    int64s(axes),
    ...(axes.every((i) => steps[i] === 1) ? [] : [int64s(axes.map((i) => steps[i]))]),
  ], { shape: size, dtype: x.dtype });
}

export function concat(backend: OnnxRuntimeBackend, parts: Operand[], axis: number): Operand {
  const filled = parts.filter((part) => sizeOf(part.shape) > 0);
  if (filled.length === 1) return filled[0];
  const [first] = filled;
  const shape = [...first.shape];
  shape[axis] = filled.reduce((sum, part) => sum + part.shape[axis], 0);
  return backend.record("Concat", filled, { shape, dtype: first.dtype, attributes: { axis } });
}

/** Exchanges axes; free where only axes of size 1 change places. */
export function transpose(backend: OnnxRuntimeBackend, x: Operand, perm: Shape): Operand {
  const shape = perm.map((axis) => x.shape[axis]);
  const long = perm.filter((axis) => x.shape[axis] !== 1);
  if (long.every((axis, i) => i === 0 || long[i - 1] < axis)) return reshape(x, shape);
  return backend.record("Transpose", [x], { shape, dtype: x.dtype, attributes: { perm } });
}

/** Reverses the order along axes. */
export function reverse(backend: OnnxRuntimeBackend, x: Operand, axes: readonly number[]): Operand {
  const turned = (i: number) => axes.includes(i) && x.shape[i] > 1;
  return slice(backend, x, {
    begin: x.shape.map((dim, i) => turned(i) ? dim - 1 : 0),
    size: x.shape,
    steps: x.shape.map((_, i) => turned(i) ? -1 : 1),
  });
}

/** Adds elements of one value around a tensor; free where there are none to add. */
export function pad(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { paddings, value = 0 }: { paddings: readonly (readonly [number, number])[]; value?: number },
): Operand {
  if (paddings.every(([before, after]) => before + after === 0)) return x;
  return backend.record("Pad", [
    x,
    int64s([...paddings.map(([before]) => before), ...paddings.map(([, after]) => after)]),
    scalar(value, x.dtype),
  ], { shape: x.shape.map((dim, i) => dim + paddings[i][0] + paddings[i][1]), dtype: x.dtype });
}

/** A shape with an axis of size 1 put in; a negative axis counts from the end of the result. */
function expanded(shape: Shape, axis: number): number[] {
  const out = [...shape];
  out.splice(axis < 0 ? axis + shape.length + 1 : axis, 0, 1);
  return out;
}

/** Cuts an axis into pieces of the given lengths. */
function split(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { axis, sizes }: { axis: number; sizes: readonly number[] },
): Operand[] {
  let start = 0;
  return sizes.map((length) => {
    const begin = x.shape.map((_, i) => i === axis ? start : 0);
    start += length;
    return slice(backend, x, { begin, size: x.shape.map((dim, i) => i === axis ? length : dim) });
  });
}

const mirrorPad: Kernel = ({ inputs: { x }, attrs: { paddings, mode }, backend }) => {
  const skip = mode === "reflect" ? 1 : 0; // "symmetric" repeats the element at the border
  return (paddings as [number, number][]).reduce((y, [before, after], axis) => {
    const part = (begin: number, length: number) =>
      reverse(
        backend,
        slice(backend, y, {
          begin: y.shape.map((_, i) => i === axis ? begin : 0),
          size: y.shape.map((dim, i) => i === axis ? length : dim),
        }),
        [axis],
      );
    const parts = [
      ...(before > 0 ? [part(skip, before)] : []),
      y,
      ...(after > 0 ? [part(y.shape[axis] - skip - after, after)] : []),
    ];
    return parts.length === 1 ? y : concat(backend, parts, axis);
  }, x);
};

const stridedSlice: Kernel = ({ inputs: { x }, attrs, backend }) => {
  const info = tf.slice_util.sliceInfo(
    [...x.shape],
    attrs.begin,
    attrs.end,
    attrs.strides,
    attrs.beginMask,
    attrs.endMask,
    attrs.ellipsisMask,
    attrs.newAxisMask,
    attrs.shrinkAxisMask,
  );
  if (info.isIdentity) return reshape(x, info.finalShape);
  const { begin, end, strides: steps } = info;
  const size = begin.map((from, i) => Math.max(0, Math.ceil((end[i] - from) / steps[i])));
  return reshape(slice(backend, x, { begin, size, steps }), info.finalShape);
};

export const shape: KernelTable = {
  Identity: ({ inputs: { x } }) => x,
  Reshape: ({ inputs: { x }, attrs: { shape } }) =>
    reshape(x, tf.util.inferFromImplicitShape(shape, sizeOf(x.shape))),
  ExpandDims: ({ inputs: { input }, attrs: { dim } }) => reshape(input, expanded(input.shape, dim)),
  Transpose: ({ inputs: { x }, attrs: { perm }, backend }) => transpose(backend, x, perm),
  Slice: ({ inputs: { x }, attrs, backend }) => {
    const [begin, size] = tf.slice_util.parseSliceParams(x as never, attrs.begin, attrs.size);
    return slice(backend, x, { begin, size });
  },
  StridedSlice: stridedSlice,
  Concat: ({ inputs, attrs: { axis }, backend }) => {
    const parts = list(inputs);
    return concat(backend, parts, axesOf(axis, parts[0].shape)[0]);
  },
  Pack: ({ inputs, attrs: { axis }, backend }) => {
    const parts = list(inputs).map((part) => reshape(part, expanded(part.shape, axis)));
    return concat(backend, parts, axesOf(axis, parts[0].shape)[0]);
  },
  Unpack: ({ inputs: { value }, attrs, backend }) => {
    const [axis] = axesOf(attrs.axis, value.shape);
    const out = value.shape.filter((_, i) => i !== axis);
    const sizes = Array(value.shape[axis]).fill(1);
    return split(backend, value, { axis, sizes }).map((part) => reshape(part, out));
  },
  SplitV: ({ inputs: { x }, attrs, backend }) => {
    const [axis] = axesOf(attrs.axis, x.shape);
    const sizes = tf.backend_util.prepareSplitSize(x as never, attrs.numOrSizeSplits, axis);
    return split(backend, x, { axis, sizes });
  },
  PadV2: ({ inputs: { x }, attrs: { paddings, constantValue }, backend }) =>
    pad(backend, x, { paddings, value: constantValue }),
  MirrorPad: mirrorPad,
  Tile: ({ inputs: { x }, attrs: { reps }, backend }) => {
    if (reps.every((times: number) => times === 1)) return x;
    return backend.record("Tile", [x, int64s(reps)], {
      shape: x.shape.map((dim, i) => dim * reps[i]),
      dtype: x.dtype,
    });
  },
  BroadcastTo: ({ inputs: { x }, attrs: { shape }, backend }) =>
    backend.record("Expand", [x, int64s(shape)], { shape, dtype: x.dtype }),
  Reverse: ({ inputs: { x }, attrs: { dims }, backend }) =>
    reverse(backend, x, axesOf(dims, x.shape)),
  FlipLeftRight: ({ inputs: { image }, backend }) => reverse(backend, image, [2]),
  SpaceToBatchND: ({ inputs: { x }, attrs: { blockShape, paddings }, backend }) => {
    const blocks = sizeOf(blockShape);
    const none = Array(x.shape.length - 1 - blockShape.length).fill([0, 0]);
    const padded = pad(backend, x, { paddings: [[0, 0], ...paddings, ...none] });
    const { getPermuted, getReshaped, getReshapedPermuted } = tf.backend_util;
    const cut = reshape(padded, getReshaped([...padded.shape], blockShape, blocks, false));
    const perm = getPermuted(cut.shape.length, blockShape.length, false);
    const out = getReshapedPermuted([...padded.shape], blockShape, blocks, false);
    return reshape(transpose(backend, cut, perm), out);
  },
  BatchToSpaceND: ({ inputs: { x }, attrs: { blockShape, crops }, backend }) => {
    const blocks = sizeOf(blockShape);
    const util = tf.backend_util;
    const cut = reshape(x, util.getReshaped([...x.shape], blockShape, blocks));
    const perm = util.getPermuted(cut.shape.length, blockShape.length);
    const out = util.getReshapedPermuted([...x.shape], blockShape, blocks);
    const joined = reshape(transpose(backend, cut, perm), out);
    const [begin, size] = tf.slice_util.parseSliceParams( // which fills up to the rank
      joined as never,
      util.getSliceBeginCoords(crops, blockShape.length),
      util.getSliceSize(out, crops, blockShape.length),
    );
    return slice(backend, joined, { begin, size });
  },
  DepthToSpace: ({ inputs: { x }, attrs: { blockSize: n, dataFormat }, backend }) => {
    if (dataFormat !== "NHWC") {
      throw new RangeError(
        `Cannot turn depth to space as the data format must be NHWC: dataFormat is ${dataFormat}`,
      );
    }
    const [batch, height, width, depth] = x.shape;
    const channels = depth / (n * n);
    const cut = reshape(x, [batch, height, width, n, n, channels]);
    const moved = transpose(backend, cut, [0, 1, 3, 2, 4, 5]);
    return reshape(moved, [batch, height * n, width * n, channels]);
  },
};
