/** Files as `torch.save` writes them, made by hand: a pickle of protocol 2 in a zip64 archive of stored entries. */
import { crc32 } from "node:zlib";
import type { TorchDtype } from "../../lib/io/torch_tensor.ts";

/** A tensor to be written; `storage` is the number of an entry under `data/`. */
export type MadeTensor = {
  dtype: TorchDtype;
  storage: number;
  /** Numbers in the whole storage. */
  length: number;
  offset?: number;
  shape: number[];
  strides: number[];
  /** Backward hooks; there are none in a plain file. */
  hooks?: unknown;
};
/** Written as it is. */
export class Raw {
  constructor(readonly bytes: number[]) {}
}
/** A tuple. */
export class Tuple {
  constructor(readonly items: readonly unknown[]) {}
}
/** An OrderedDict, with the attribute that state dicts have. */
export class OrderedDict {
  constructor(readonly entries: readonly (readonly [unknown, unknown])[]) {}
}
/** A tensor. */
export class Tensor {
  constructor(readonly made: MadeTensor) {}
}

const STORAGE: Record<TorchDtype, string> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};
const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const u32 = (n: number) => [n & 255, n >> 8 & 255, n >> 16 & 255, n >>> 24];

/** `GLOBAL module name` */
export const global = (module: string, name: string) => utf8(`c${module}\n${name}\n`);

/** The opcodes that build a value. */
export function opcodes(value: unknown): number[] {
  if (value instanceof Raw) return value.bytes;
  if (value === null) return [0x4e];
  if (typeof value === "boolean") return [value ? 0x88 : 0x89];
  if (typeof value === "string") return [0x58, ...u32(utf8(value).length), ...utf8(value)];
  if (typeof value === "number") return number(value);
  if (value instanceof Tuple) return [0x28, ...value.items.flatMap(opcodes), 0x74];
  if (Array.isArray(value)) return [0x5d, 0x28, ...value.flatMap(opcodes), 0x65];
  if (value instanceof Map) return [0x7d, ...items([...value])];
  if (value instanceof OrderedDict) {
    return [
      ...[...global("collections", "OrderedDict"), 0x29, 0x52, ...items(value.entries)],
      ...[...opcodes(new Map([["_metadata", new Map()]])), 0x62],
    ];
  }
  if (value instanceof Tensor) {
    const { dtype, storage, length, offset = 0, shape, strides } = value.made;
    const { hooks = new OrderedDict([]) } = value.made;
    const type = new Raw(global("torch", STORAGE[dtype]));
    return [
      ...[...global("torch._utils", "_rebuild_tensor_v2"), 0x28],
      ...[...opcodes(new Tuple(["storage", type, `${storage}`, "cpu", length])), 0x51],
      ...[offset, new Tuple(shape), new Tuple(strides), false].flatMap(opcodes),
      ...[...opcodes(hooks), 0x74, 0x52],
    ];
  }
  throw new TypeError(`Cannot pickle ${value}`);
}

function number(value: number): number[] {
  const isInteger = Number.isSafeInteger(value) && !Object.is(value, -0);
  if (isInteger && Math.abs(value) < 2 ** 31) return [0x4a, ...u32(value | 0)];
  const view = new DataView(new ArrayBuffer(8));
  if (isInteger) {
    view.setBigInt64(0, BigInt(value), true);
    return [0x8a, 8, ...new Uint8Array(view.buffer)];
  }
  view.setFloat64(0, value);
  return [0x47, ...new Uint8Array(view.buffer)];
}

const items = (entries: readonly (readonly [unknown, unknown])[]) => [
  0x28,
  ...entries.flatMap(([key, value]) => [...opcodes(key), ...opcodes(value)]),
  0x75,
];

/** A pickle of protocol 2. */
export const pickle = (value: unknown) => new Uint8Array([0x80, 2, ...opcodes(value), 0x2e]);

/** An archive with the files in order: stored, data aligned to 64 bytes, with data descriptors, zip64 at the end. */
export function storedZip(files: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const out: number[] = [], directory: number[] = [];
  const u16 = (n: number) => [n & 255, n >> 8];
  const u64 = (n: number) => [...u32(n), 0, 0, 0, 0];
  for (const [name, data] of files) {
    const start = out.length, label = utf8(name);
    const padding = (64 - (start + 30 + label.length + 4) % 64) % 64;
    const crc = u32(crc32(data)), size = u32(data.length);
    out.push(
      ...[0x50, 0x4b, 3, 4, ...u16(0), ...u16(8), ...u16(0), ...u32(0)],
      ...[...u32(0), ...u32(0), ...u32(0)], // the checksum and sizes come after the data
      ...[...u16(label.length), ...u16(4 + padding), ...label],
      ...[0x46, 0x42, ...u16(padding), ...new Array(padding).fill(0x5a), ...data],
      ...[0x50, 0x4b, 7, 8, ...crc, ...size, ...size],
    );
    directory.push(
      ...[0x50, 0x4b, 1, 2, ...u16(0), ...u16(0), ...u16(8), ...u16(0), ...u32(0)],
      ...[...crc, ...size, ...size, ...u16(label.length), ...u16(0), ...u16(0)],
      ...[...u16(0), ...u16(0), ...u32(0), ...u32(start), ...label],
    );
  }
  const at = out.length, end64 = at + directory.length, count = files.length;
  out.push(
    ...directory,
    ...[0x50, 0x4b, 6, 6, ...u64(44), ...u16(45), ...u16(45), ...u32(0), ...u32(0)],
    ...[...u64(count), ...u64(count), ...u64(directory.length), ...u64(at)],
    ...[0x50, 0x4b, 6, 7, ...u32(0), ...u64(end64), ...u32(1)],
    ...[0x50, 0x4b, 5, 6, ...u16(0), ...u16(0), ...u16(count), ...u16(count)],
    ...[...u32(directory.length), ...u32(at), ...u16(0)],
  );
  return new Uint8Array(out);
}

/** A whole file: the pickled value, and the storages in order. */
export function torchFile(value: unknown, storages: readonly ArrayBufferView[] = []): Uint8Array {
  return torchArchive(pickle(value), storages);
}

/** A whole file around a pickle. */
export function torchArchive(
  data: Uint8Array,
  storages: readonly ArrayBufferView[] = [],
): Uint8Array {
  return storedZip([
    ["archive/data.pkl", data],
    ["archive/byteorder", new TextEncoder().encode("little")],
    ...storages.map(({ buffer, byteOffset, byteLength }, i) =>
      [`archive/data/${i}`, new Uint8Array(buffer, byteOffset, byteLength)] as const
    ),
    ["archive/version", new TextEncoder().encode("3\n")],
  ]);
}
