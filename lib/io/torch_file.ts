/**
 * Reads files of PyTorch's `torch.save` as data: state dicts, optimiser states, settings. Nothing in
 * a file is executed.
 *
 * @module
 */
import { type ByteSource, fileSource, memorySource } from "./byte_source.ts";
import {
  isTuple,
  MAX_PICKLE,
  orderedDict,
  type PickleGlobal,
  type PickleKey,
  type PickleObject,
  type PickleValue,
  readPickle,
} from "./pickle.ts";
import {
  TORCH_BYTES,
  type TorchDtype,
  type TorchStorage,
  type TorchTensor,
  torchTensor,
} from "./torch_tensor.ts";
import { readUnzippedTorch, type Storages } from "./torch_unzipped.ts";
import { readZip, type ZipEntry } from "./zip.ts";

/** What a file holds: dicts are maps, lists and tuples arrays. */
export type TorchValue =
  | PickleKey
  | Uint8Array
  | TorchTensor
  | readonly TorchValue[]
  | Map<PickleKey, TorchValue>;

/** A file that was opened; tensors are read when asked for, so it must stay open until then. */
export type TorchFile = { value: TorchValue } & Disposable;

/** Names of torch's typed storages, with what they hold. */
const STORAGES: Record<string, TorchDtype> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

type StorageType = PickleGlobal & { dtype: TorchDtype };
const storageTypes = Object.entries(STORAGES).map(([name, dtype]): [string, StorageType] =>
  [`torch.${name}`, { kind: "storage-type", dtype }] as const
);

/** All that a file may refer to. */
const globals: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ["collections.OrderedDict", orderedDict],
  ["torch._utils._rebuild_tensor_v2", { kind: "global", call: rebuildTensor }],
  ["torch._utils._rebuild_parameter", { kind: "global", call: rebuildParameter }],
  ["torch.Size", { kind: "global", call: ([sizes]) => tupleOf(sizes, "torch.Size") }],
  ["torch.device", { kind: "global", call: deviceName }],
  ...storageTypes,
]);

/**
 * Opens a file, given as a path or as its bytes.
 *
 * From a path, only what is asked for is read. Throws a RangeError where the file is truncated or sizes in it cannot be
 * true, a SyntaxError where its pickle is malformed, and a TypeError where it asks for more than data: any
 * global but those of state dicts is refused and named.
 *
 * Source: `torch.serialization` and `torch._utils` of PyTorch 2.
 */
export function openTorchFile(from: string | Uint8Array): TorchFile {
  if (typeof from !== "string") {
    return { value: readTorch(memorySource(from)), [Symbol.dispose]() {} };
  }
  const file = fileSource(from);
  try {
    return { value: readTorch(file), [Symbol.dispose]: () => file[Symbol.dispose]() };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

function readTorch(source: ByteSource): TorchValue {
  const start = source.read(0, Math.min(2, source.size));
  if (start[0] === 0x80) return readUnzippedTorch(source, { globals, storageOf }) as TorchValue;
  const entries = readZip(source);
  const folder = archiveFolder(entries);
  const order = entries.get(`${folder}/byteorder`);
  if (order && !(order.size <= 16 && new TextDecoder().decode(order.read()) === "little")) {
    throw new TypeError("Cannot read the PyTorch file as its byte order must be little");
  }
  const pickle = entries.get(`${folder}/data.pkl`)!;
  if (!(pickle.size <= MAX_PICKLE)) { // before it is unpacked
    throw new RangeError(
      `Cannot read the PyTorch file as its data.pkl must have at most ${MAX_PICKLE} bytes: it has ${pickle.size}`,
    );
  }
  const value = readPickle(pickle.read(), {
    globals,
    persistent: (id) =>
      storageOf(id, { keys: /^\d{1,10}$/, find: (key) => entries.get(`${folder}/data/${key}`) }),
  });
  return value as TorchValue;
}

/** The folder that everything in an archive is in, named after the file. */
function archiveFolder(entries: Map<string, ZipEntry>): string {
  const folders = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
    .map((name) => name.slice(0, name.indexOf("/")));
  if (folders.length !== 1) {
    throw new TypeError(
      `Cannot read the PyTorch file as it must hold one data.pkl: it holds ${folders.length}`,
    );
  }
  if (entries.has(`${folders[0]}/constants.pkl`)) {
    throw new TypeError("Cannot read the PyTorch file as it is a TorchScript program");
  }
  return folders[0];
}

/** A storage, from `("storage", type, key, location, length)`; old files add None, or a view that is not read. */
function storageOf(id: PickleValue, { keys, find }: Storages): TorchStorage {
  const [tag, type, key, location, length, view = null] = tupleOf(id, "a persistent id");
  const dtype = isStorageType(type) ? type.dtype : undefined;
  const shaped = tag === "storage" && typeof key === "string" && keys.test(key) &&
    typeof location === "string" && typeof length === "number" && view === null;
  if (!(dtype && shaped)) {
    throw new SyntaxError("Cannot read the PyTorch file as a persistent id is no storage");
  }
  const bytes = length * TORCH_BYTES[dtype], entry = find(key, { length, bytes });
  if (!entry) throw new RangeError(`Cannot read the PyTorch file as storage ${key} is missing`);
  if (!(Number.isSafeInteger(length) && length >= 0 && entry.size === bytes)) {
    throw new RangeError(
      `Cannot read the PyTorch file as the size of storage ${key} contradicts its length: ${entry.size} bytes, ${length} numbers of type ${dtype}`,
    );
  }
  return { kind: "storage", dtype, length, read: entry.read };
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata])`. */
function rebuildTensor(args: readonly PickleValue[]): TorchTensor {
  const [storage, offset, size, stride, , hooks, metadata] = args;
  if (!(args.length >= 6 && args.length <= 7 && isStorage(storage))) {
    throw new SyntaxError("Cannot read the PyTorch file as a tensor has no storage");
  }
  for (const extra of [hooks, metadata ?? null]) { // hooks are code; metadata marks conjugate views
    if (!(extra === null || extra instanceof Map && extra.size === 0)) {
      throw new TypeError("Cannot read the PyTorch file as a tensor must be plain data");
    }
  }
  return torchTensor({
    storage,
    offset: offset as number, // checked with the rest
    shape: [...tupleOf(size, "a size")] as number[],
    strides: [...tupleOf(stride, "a stride")] as number[],
  });
}

/** `_rebuild_parameter(tensor, requires_grad, backward_hooks)`: the tensor. */
function rebuildParameter([tensor]: readonly PickleValue[]): TorchTensor {
  if (isTorchTensor(tensor)) return tensor;
  throw new SyntaxError("Cannot read the PyTorch file as a parameter holds no tensor");
}

/** `device("cuda", 0)` as "cuda:0". */
function deviceName(args: readonly PickleValue[]): string {
  if (args.length <= 2 && args.every((x) => typeof x === "string" || typeof x === "number")) {
    return args.join(":");
  }
  throw new SyntaxError("Cannot read the PyTorch file as a device has no name");
}

function tupleOf(value: PickleValue, what: string): readonly PickleValue[] {
  if (value !== undefined && isTuple(value)) return value;
  throw new SyntaxError(`Cannot read the PyTorch file as ${what} is no tuple`);
}

function isStorageType(value: PickleValue | undefined): value is StorageType {
  return storageTypes.some(([, type]) => type === value);
}

function isStorage(value: PickleValue | undefined): value is TorchStorage {
  return (value as PickleObject | null | undefined)?.kind === "storage";
}

/** Whether something in a file is a tensor. */
export function isTorchTensor(value: unknown): value is TorchTensor {
  return (value as PickleObject | null | undefined)?.kind === "tensor";
}
