import ndarray, { type NdArray } from "ndarray";

type Numbers = Uint8Array | Int32Array | Float32Array | Float64Array;

/**
 * The elements of an array in row-major order: its own memory where that is already so (no copy),
 * a copy where the array is a strided view.
 */
export function denseData<D extends Numbers>(array: NdArray<D>): D {
  const { data, shape, stride, offset, size } = array;
  let expected = 1, dense = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] > 1 && stride[axis] !== expected) dense = false;
    expected *= shape[axis];
  }
  if (dense) return data.subarray(offset, offset + size) as D;

  const out = new (data.constructor as new (n: number) => D)(size);
  const index = new Array(shape.length).fill(0);
  for (let i = 0; i < size; i++) {
    let at = offset;
    for (let axis = 0; axis < shape.length; axis++) at += index[axis] * stride[axis];
    out[i] = data[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
  return out;
}

/** Arrays [n, ...rest] one after the other along the first axis: [n of all, ...rest]. There must be one at least. */
export function joinRows(parts: readonly NdArray<Float32Array>[]): NdArray<Float32Array> {
  const n = parts.reduce((sum, { shape }) => sum + shape[0], 0);
  const out = new Float32Array(parts.reduce((sum, { size }) => sum + size, 0));
  let at = 0;
  for (const part of parts) {
    out.set(denseData(part), at);
    at += part.size;
  }
  return ndarray(out, [n, ...parts[0].shape.slice(1)]);
}
