/**
 * NumPy's array files (`.npy`).
 *
 * @module
 */

const ARRAYS = {
  b1: Uint8Array, // booleans, 0 or 1
  u1: Uint8Array,
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  u4: Uint32Array,
  i4: Int32Array,
  u8: BigUint64Array,
  i8: BigInt64Array,
  f4: Float32Array,
  f8: Float64Array,
};

/** NumPy's codes of element types: a letter for the kind, then the bytes of an element. */
export type NpyDtype = keyof typeof ARRAYS;

/** An array of one element type; the last axis runs fastest. */
export type NpyArray = {
  [D in NpyDtype]: {
    dtype: D;
    shape: readonly number[];
    data: InstanceType<(typeof ARRAYS)[D]>;
  };
}[NpyDtype];

const MAGIC = [0x93, ...new TextEncoder().encode("NUMPY")];

/**
 * Reads an array file; the numbers are a view of `bytes` where their alignment allows it.
 *
 * An array in Fortran's order is brought to C's. Throws a RangeError where the file is damaged or
 * truncated, and a TypeError where it holds something else than plain numbers in little-endian order.
 *
 * Source: the format's description, versions 1.0 to 3.0, in NumPy's documentation.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const array = { dtype: "i4", shape: [3], data: Int32Array.of(1, 2, 3) } as const;
 * assert.deepEqual(readNpy(writeNpy(array)), array);
 * ```
 */
export function readNpy(bytes: Uint8Array): NpyArray {
  const { text, end } = headerOf(bytes);
  const { dtype, fortranOrder, shape } = parseHeader(text);
  const Type = ARRAYS[dtype], width = Type.BYTES_PER_ELEMENT;
  const count = shape.reduce((a, b) => a * b, 1);
  if (!(bytes.length - end === count * width)) {
    throw new RangeError(
      `Cannot read the array as [${shape}] of ${dtype} takes ${count * width} bytes: there are ${
        bytes.length - end
      }`,
    );
  }
  const at = bytes.byteOffset + end;
  const data = at % width === 0
    ? new Type(bytes.buffer as ArrayBuffer, at, count)
    : new Type(bytes.slice(end).buffer, 0, count);
  return { dtype, shape, data: fortranOrder ? lastAxisFastest(data, shape) : data } as NpyArray;
}

/** Writes an array file of format 1.0. Throws a RangeError where the shape does not fit the data. */
export function writeNpy({ dtype, shape, data }: NpyArray): Uint8Array<ArrayBuffer> {
  if (!(shape.reduce((a, b) => a * b, 1) === data.length)) {
    throw new RangeError(
      `Cannot write the array as its shape must fit its ${data.length} numbers: shape is [${shape}]`,
    );
  }
  const descr = `${data.BYTES_PER_ELEMENT === 1 ? "|" : "<"}${dtype}`;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const start = Math.ceil((MAGIC.length + 4 + header.length + 1) / 64) * 64; // of the numbers
  const out = new Uint8Array(start + data.byteLength).fill(0x20, 0, start); // padded by spaces
  out.set([...MAGIC, 1, 0]);
  new DataView(out.buffer).setUint16(8, start - 10, true);
  out.set(new TextEncoder().encode(header), 10);
  out[start - 1] = 0x0a;
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return out;
}

function headerOf(bytes: Uint8Array): { text: string; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!(bytes.length >= 12 && MAGIC.every((byte, i) => bytes[i] === byte))) {
    throw new RangeError("Cannot read the array as the file is not a .npy file");
  }
  const version = bytes[6], start = version === 1 ? 10 : 12;
  if (!(version >= 1 && version <= 3)) {
    throw new TypeError(`Cannot read the array as its format must be 1 to 3: it is ${version}`);
  }
  const end = start + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (!(end <= bytes.length)) throw new RangeError("Cannot read the array as it is truncated");
  return { text: new TextDecoder().decode(bytes.subarray(start, end)), end };
}

/** The header is a Python dict of three entries. */
function parseHeader(text: string): { dtype: NpyDtype; fortranOrder: boolean; shape: number[] } {
  const descr = /['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|(\[))/.exec(text);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text)?.[1];
  const shape = /['"]shape['"]\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (!(descr && order && shape !== undefined)) {
    throw new RangeError(`Cannot read the array as its header is damaged: ${text.trim()}`);
  }
  const [, type = "a record"] = descr, dtype = type.slice(1);
  if (!(Object.hasOwn(ARRAYS, dtype) && (type[0] === "<" || type[0] === "|"))) {
    throw new TypeError(
      `Cannot read the array as its numbers must be little-endian, one of ${
        Object.keys(ARRAYS).join(", ")
      }: they are ${type}`,
    );
  }
  const sides = shape.split(",").map((side) => side.trim()).filter(Boolean).map(Number);
  return { dtype: dtype as NpyDtype, fortranOrder: order === "True", shape: sides };
}

/** Reorders numbers whose first axis runs fastest. */
function lastAxisFastest<T extends NpyArray["data"]>(data: T, shape: readonly number[]): T {
  const out = data.slice() as T;
  const index = shape.map(() => 0);
  for (let to = 0; to < data.length; to++) {
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) from = from * shape[axis] + index[axis];
    out[to] = data[from];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) {
      index[axis] = 0;
    }
  }
  return out;
}
