/** Element types this module reads; F16 and BF16 are widened to float32 when read. */
export type SafetensorsDtype = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "U8" | "BOOL";
/** Data of one tensor in memory. */
export type SafetensorsData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Uint8Array;
/** One tensor of a file: its type in the file, its shape, its numbers. */
export type SafetensorsTensor = { dtype: SafetensorsDtype; shape: number[]; data: SafetensorsData };
/** A whole file: free text metadata and tensors by name, in the order of the header. */
export type Safetensors = {
  metadata: Record<string, string>;
  tensors: Map<string, SafetensorsTensor>;
};

const BYTES: Record<SafetensorsDtype, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1,
};
const MAX_HEADER = 100_000_000; // bytes, the limit of the format's own reader
const scratch = new DataView(new ArrayBuffer(4));

/**
 * Reads a safetensors file: 8 bytes of header length, a JSON header, then the raw numbers.
 *
 * Little-endian throughout. Data are copied, so alignment in the file does not matter. F16 and BF16
 * become Float32Array; I64 becomes BigInt64Array; BOOL becomes Uint8Array of 0 and 1.
 * Throws a SyntaxError when the header is not what the format says, and a RangeError when the file is
 * truncated, tensors overlap, leave holes or reach outside of it, or a shape contradicts its bytes.
 *
 * Source: the safetensors format description, github.com/huggingface/safetensors.
 *
 * @example
 * ```ts
 * const bytes = encodeSafetensors({ w: { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) } });
 * if (parseSafetensors(bytes).tensors.get("w")!.data[1] !== 2) throw new Error("wrong");
 * ```
 */
export function parseSafetensors(bytes: Uint8Array): Safetensors {
  const { header, start } = readHeader(bytes);
  const tensors = new Map<string, SafetensorsTensor>();
  const spans: { name: string; from: number; to: number }[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, from, to } = checkEntry(name, entry, bytes.length - start);
    spans.push({ name, from, to });
    tensors.set(name, { dtype, shape, data: decode(dtype, bytes, start + from, start + to) });
  }
  checkSpans(spans, bytes.length - start);
  return { metadata: checkMetadata(header.__metadata__), tensors };
}

function readHeader(bytes: Uint8Array): { header: Record<string, unknown>; start: number } {
  if (!(bytes.length >= 8)) {
    throw new RangeError(
      `Cannot read safetensors as the file is truncated: ${bytes.length} bytes, at least 8 needed`,
    );
  }
  const length = Number(
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true),
  );
  if (!(length <= MAX_HEADER && 8 + length <= bytes.length)) {
    throw new RangeError(
      `Cannot read safetensors as the header does not fit: header is ${length} bytes, file is ${bytes.length}`,
    );
  }
  let header: unknown;
  try {
    header = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)),
    );
  } catch (cause) {
    throw new SyntaxError("Cannot read safetensors as the header is not JSON", { cause });
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw new SyntaxError("Cannot read safetensors as the header is not a JSON object");
  }
  return { header: header as Record<string, unknown>, start: 8 + length };
}

function checkMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (
    typeof value !== "object" || value === null ||
    !Object.values(value).every((v) => typeof v === "string")
  ) {
    throw new SyntaxError(
      "Cannot read safetensors as __metadata__ is not an object of strings",
    );
  }
  return value as Record<string, string>;
}

function isCount(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) >= 0;
}

function checkEntry(name: string, entry: unknown, available: number) {
  const e = (typeof entry === "object" && entry !== null ? entry : {}) as Record<string, unknown>;
  const shape = e.shape, offsets = e.data_offsets, dtype = e.dtype;
  if (!(typeof dtype === "string" && Object.hasOwn(BYTES, dtype))) {
    throw new SyntaxError(
      `Cannot read tensor ${name} as its dtype is unknown: dtype is ${dtype}, known are ${
        Object.keys(BYTES).join(", ")
      }`,
    );
  }
  if (
    !(Array.isArray(shape) && shape.every(isCount) && Array.isArray(offsets) &&
      offsets.length === 2 && offsets.every(isCount))
  ) {
    throw new SyntaxError(
      `Cannot read tensor ${name} as shape and data_offsets must be lists of whole numbers: shape is ${
        JSON.stringify(shape)
      }, data_offsets is ${JSON.stringify(offsets)}`,
    );
  }
  const [from, to] = offsets as [number, number];
  const needed = shape.reduce((a, b) => a * b, 1) * BYTES[dtype as SafetensorsDtype];
  if (!(from <= to && to <= available)) {
    throw new RangeError(
      `Cannot read tensor ${name} as it reaches outside the file: bytes ${from} to ${to} of ${available}`,
    );
  }
  if (!(to - from === needed)) {
    throw new RangeError(
      `Cannot read tensor ${name} as its size contradicts its shape: ${
        to - from
      } bytes, ${dtype} [${shape}] needs ${needed}`,
    );
  }
  return { dtype: dtype as SafetensorsDtype, shape: shape as number[], from, to };
}

function checkSpans(spans: { name: string; from: number; to: number }[], available: number): void {
  const sorted = [...spans].sort((a, b) => a.from - b.from || a.to - b.to);
  let end = 0, before = "";
  for (const { name, from, to } of sorted) {
    if (!(from >= end)) {
      throw new RangeError(
        `Cannot read safetensors as tensors overlap: ${name} starts at ${from}, ${before} ends at ${end}`,
      );
    }
    if (!(from <= end)) {
      throw new RangeError(
        `Cannot read safetensors as bytes ${end} to ${from} belong to no tensor`,
      );
    }
    end = to;
    before = name;
  }
  if (!(end === available)) {
    throw new RangeError(
      `Cannot read safetensors as the data do not fill the file: tensors end at ${end}, data are ${available} bytes`,
    );
  }
}

function decode(
  dtype: SafetensorsDtype,
  bytes: Uint8Array,
  from: number,
  to: number,
): SafetensorsData {
  const own = bytes.slice(from, to); // a copy is aligned, whatever the header's length
  switch (dtype) {
    case "F64":
      return new Float64Array(own.buffer);
    case "F32":
      return new Float32Array(own.buffer);
    case "I64":
      return new BigInt64Array(own.buffer);
    case "I32":
      return new Int32Array(own.buffer);
    case "U8":
    case "BOOL":
      return own;
    case "F16":
      return Float32Array.from(new Uint16Array(own.buffer), halfToFloat);
    case "BF16":
      return new Float32Array(
        Uint32Array.from(new Uint16Array(own.buffer), (h) => h << 16).buffer,
      );
  }
}

/** One tensor to be written; floating types take any number array. */
export type SafetensorsInput = {
  dtype: "F32" | "F16" | "BF16" | "I32" | "U8";
  shape: readonly number[];
  data: ArrayLike<number>;
};

/**
 * Writes tensors as safetensors bytes, in the order given, each tensor aligned to 8 bytes.
 *
 * F16 and BF16 round to the nearest, ties to even. Largest types come first in the data, so that the
 * numbers of each tensor are aligned without holes, which the format forbids.
 * Throws a RangeError when data and shape disagree.
 */
export function encodeSafetensors(
  tensors: Record<string, SafetensorsInput> | Map<string, SafetensorsInput>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  // Stable sort: four-byte types before two-byte types before bytes.
  const ordered = [...entries].sort((a, b) => BYTES[b[1].dtype] - BYTES[a[1].dtype]);
  let size = 0;
  const starts = ordered.map(([name, t]) => {
    const n = t.shape.reduce((a, b) => a * b, 1);
    if (!(t.data.length === n)) {
      throw new RangeError(
        `Cannot write tensor ${name} as data and shape disagree: data has ${t.data.length} elements, shape [${t.shape}] needs ${n}`,
      );
    }
    const start = size;
    size += n * BYTES[t.dtype];
    header[name] = { dtype: t.dtype, shape: [...t.shape], data_offsets: [start, size] };
    return start;
  });
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + padded + size);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.fill(0x20, 8 + json.length, 8 + padded); // spaces, as the format's own writer pads
  out.set(json, 8);
  ordered.forEach(([, t], i) => encode(t, out.buffer, 8 + padded + starts[i]));
  return out;
}

function encode(t: SafetensorsInput, buffer: ArrayBuffer, at: number): void {
  const n = t.data.length;
  switch (t.dtype) {
    case "F32":
      return new Float32Array(buffer, at, n).set(t.data);
    case "I32":
      return new Int32Array(buffer, at, n).set(t.data);
    case "U8":
      return new Uint8Array(buffer, at, n).set(t.data);
    case "F16": {
      const half = new Uint16Array(buffer, at, n);
      for (let i = 0; i < n; i++) half[i] = floatToHalf(t.data[i]);
      return;
    }
    case "BF16": {
      const half = new Uint16Array(buffer, at, n);
      for (let i = 0; i < n; i++) half[i] = floatToBfloat(t.data[i]);
      return;
    }
  }
}

/** Value of an IEEE 754 half-precision number given by its 16 bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The 16 bits of the half-precision number nearest to `x`, ties to even. */
export function floatToHalf(x: number): number {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0), sign = (bits >>> 16) & 0x8000;
  if (Number.isNaN(x)) return sign | 0x7e00;
  const a = Math.abs(Math.fround(x));
  if (a >= 65520) return sign | 0x7c00; // half way between the largest half and the next power
  if (a < 2 ** -14) return sign | roundEven(a * 2 ** 24); // subnormal; 1024 carries into the exponent
  const exponent = ((bits >>> 23) & 255) - 127;
  return sign | (((exponent + 15) << 10) + roundEven((a / 2 ** exponent - 1) * 1024));
}

function floatToBfloat(x: number): number {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(x)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundEven(x: number): number {
  const floor = Math.floor(x), rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
