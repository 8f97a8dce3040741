import { halfToFloat } from "./safetensors.ts";

/** Element types of PyTorch's storages that this module reads, named as in safetensors. */
export type TorchDtype =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U8"
  | "BOOL";
/** Numbers of a tensor; F16 and BF16 are widened. */
export type TorchData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** A storage: a run of numbers that tensors look into. */
export type TorchStorage = {
  readonly kind: "storage";
  dtype: TorchDtype;
  length: number;
  /** The bytes, little-endian. */
  read(): Uint8Array;
};

/** A tensor of a PyTorch file: where in a storage its numbers are. They are read by {@link torchTensorData}. */
export type TorchTensor = {
  readonly kind: "tensor";
  dtype: TorchDtype;
  shape: number[];
  /** Steps between neighbours along each axis, in elements of the storage. */
  strides: number[];
  /** The first element. */
  offset: number;
  storage: TorchStorage;
};

/** Bytes of one element. */
export const TORCH_BYTES: Record<TorchDtype, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
const MAX_RANK = 64;

/**
 * A tensor with its place checked.
 *
 * Throws a RangeError where it reaches outside of its storage or has more elements than it, as expanded tensors
 * have.
 */
export function torchTensor(
  { storage, offset, shape, strides }: Omit<TorchTensor, "kind" | "dtype">,
): TorchTensor {
  const whole = [offset, ...shape, ...strides].every((x) => Number.isSafeInteger(x) && x >= 0);
  if (!(whole && shape.length === strides.length && shape.length <= MAX_RANK)) {
    throw new RangeError(
      `Cannot read a tensor as its shape, strides and offset must be whole numbers >= 0: shape is [${shape}], strides [${strides}], offset ${offset}`,
    );
  }
  const size = shape.reduce((a, b) => a * b, 1);
  const last = offset + shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis], 0);
  if (!(size === 0 || last < storage.length)) {
    throw new RangeError(
      `Cannot read a tensor as it reaches outside of its storage: its last element is number ${last}, the storage has ${storage.length}`,
    );
  }
  if (!(size <= storage.length || size === 0)) {
    throw new RangeError(
      `Cannot read a tensor as it has more elements than its storage (expanded tensors must be cloned before they are saved): ${size} elements, the storage has ${storage.length}`,
    );
  }
  return { kind: "tensor", dtype: storage.dtype, shape, strides, offset, storage };
}

/**
 * The numbers of a tensor, row by row. Float32 and integers that lie in one piece are views of the file's bytes;
 * halves are widened to float32.
 */
export function torchTensorData(tensor: TorchTensor): TorchData {
  const { shape, strides, offset, storage } = tensor;
  const size = shape.reduce((a, b) => a * b, 1);
  const all = size === 0 ? new Uint8Array() : storage.read();
  const width = TORCH_BYTES[storage.dtype];
  if (size === 0 || isContiguous(tensor)) {
    const from = size === 0 ? 0 : offset * width;
    return numbers(storage.dtype, all.subarray(from, from + size * width));
  }
  const source = numbers(storage.dtype, all);
  const out = new (source.constructor as new (n: number) => TorchData)(size);
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let i = 0; i < size; i++) {
    out[i] = source[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) { // count up, the last axis first
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= shape[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return out;
}

function isContiguous({ shape, strides }: TorchTensor): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis];
  }
  return true;
}

function numbers(dtype: TorchDtype, bytes: Uint8Array): TorchData {
  const width = TORCH_BYTES[dtype];
  const own = bytes.byteOffset % width === 0 ? bytes : bytes.slice(); // typed arrays must be aligned
  const place = [own.buffer as ArrayBuffer, own.byteOffset, own.length / width] as const;
  switch (dtype) {
    case "F64":
      return new Float64Array(...place);
    case "F32":
      return new Float32Array(...place);
    case "F16":
      return Float32Array.from(new Uint16Array(...place), halfToFloat);
    case "BF16":
      return new Float32Array(
        Uint32Array.from(new Uint16Array(...place), (half) => half << 16).buffer,
      );
    case "I64":
      return new BigInt64Array(...place);
    case "I32":
      return new Int32Array(...place);
    case "I16":
      return new Int16Array(...place);
    case "I8":
      return new Int8Array(...place);
    case "U8":
    case "BOOL":
      return own;
  }
}
