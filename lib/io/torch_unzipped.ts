/**
 * The format of `torch.save` before PyTorch 1.6, which still is that of many weights on the web.
 *
 * @module
 */
import type { ByteSource } from "./byte_source.ts";
import { MAX_PICKLE, type PickleGlobal, type PickleValue, readPickleFrom } from "./pickle.ts";
import { pickleInput } from "./pickle_input.ts";
import type { TorchStorage } from "./torch_tensor.ts";

/** Where a file has its storages. */
export type Storages = {
  /** What a key looks like. */
  keys: RegExp;
  /** The bytes of a storage, by its key and what its id says of its size. */
  find(
    key: string,
    asked: { length: number; bytes: number },
  ): { size: number; read(): Uint8Array } | undefined;
};

const MAGIC = 0x1950a86a20f9469cfc6cn, VERSION = 1001;

/**
 * Reads a file of five pickles, one after the other: a magic number, the version, what the machine was like, the value, and
 * the keys of its storages. The storages follow in this order, each after its length.
 *
 * Errors are those of `openTorchFile`. Source: `torch.serialization._legacy_save` of PyTorch 1.4.
 */
export function readUnzippedTorch(
  source: ByteSource,
  { globals, storageOf }: {
    globals: ReadonlyMap<string, PickleGlobal>;
    storageOf: (id: PickleValue, storages: Storages) => TorchStorage;
  },
): PickleValue {
  const input = pickleInput(source.read(0, Math.min(source.size, MAX_PICKLE)));
  const plain = () => readPickleFrom(input, { globals: new Map() });
  if (plain() !== MAGIC) {
    throw new TypeError("Cannot read the PyTorch file as it is a bare pickle");
  }
  const version = plain(), machine = plain();
  if (version !== VERSION) {
    throw new TypeError(
      `Cannot read the PyTorch file as its version must be ${VERSION}: it is ${version}`,
    );
  }
  if (!(machine instanceof Map && machine.get("little_endian") === true)) {
    throw new TypeError("Cannot read the PyTorch file as its byte order must be little");
  }

  const asked = new Map<string, { length: number; bytes: number }>();
  const places = new Map<string, number>(); // known at the end only
  const storages: Storages = {
    keys: /^\d{1,20}$/, // they were addresses in memory
    find(key, size) {
      if ((asked.get(key) ?? size).length !== size.length) {
        throw new SyntaxError(`Cannot read the PyTorch file as storage ${key} has two lengths`);
      }
      asked.set(key, size);
      const read = () => source.read(places.get(key)!, places.get(key)! + size.bytes);
      return { size: size.bytes, read };
    },
  };
  const value = readPickleFrom(input, { globals, persistent: (id) => storageOf(id, storages) });
  const keys = plain();
  if (!Array.isArray(keys)) {
    throw new SyntaxError("Cannot read the PyTorch file as the keys of its storages are no list");
  }
  let at = input.position();
  for (const key of keys as readonly PickleValue[]) {
    const size = asked.get(key as string);
    if (!size || places.has(key as string)) {
      throw new SyntaxError(
        `Cannot read the PyTorch file as storage ${key} is not asked for, or twice there`,
      );
    }
    const start = source.read(at, at + 8), view = new DataView(start.buffer, start.byteOffset, 8);
    const length = Number(view.getBigUint64(0, true));
    if (length !== size.length) {
      throw new RangeError(
        `Cannot read the PyTorch file as storage ${key} must have ${size.length} numbers: it has ${length}`,
      );
    }
    places.set(key as string, at + 8);
    at += 8 + size.bytes;
  }
  const missing = [...asked.keys()].find((key) => !places.has(key));
  if (missing !== undefined || at > source.size) {
    throw new RangeError(
      missing === undefined
        ? `Cannot read the PyTorch file as it is truncated: it has ${source.size} bytes, ${at} needed`
        : `Cannot read the PyTorch file as storage ${missing} is missing`,
    );
  }
  return value;
}
