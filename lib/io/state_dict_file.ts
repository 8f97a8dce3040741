import * as tf from "@tensorflow/tfjs";
import { parseSafetensors } from "./safetensors.ts";
import { checkFloats, type StoredTensor, storedTensors } from "./stored_tensor.ts";
import { isTorchTensor, openTorchFile, type TorchValue } from "./torch_file.ts";
import { torchTensorData } from "./torch_tensor.ts";

/** Tensors of a file by name; they are read when asked for, so it must stay open until then. */
export type StateDictFile = { tensors: Record<string, StoredTensor> } & Disposable;

/**
 * Opens a file of tensors by name: `.safetensors`, or a state dict that PyTorch saved (`.pth`, `.pt`, `.bin`). Which of
 * the two it is its first bytes say.
 *
 * Nothing in a file is executed. Throws a TypeError where there is none or it holds anything but tensors, and what
 * `parseSafetensors` and `openTorchFile` throw.
 */
export async function openStateDict(path: string): Promise<StateDictFile> {
  if (await isTorch(path)) {
    const file = openTorchFile(path);
    try {
      const tensors = tensorsOf(file.value, path);
      return { tensors, [Symbol.dispose]: () => file[Symbol.dispose]() };
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }
  const { tensors } = parseSafetensors(await Deno.readFile(path));
  return { tensors: storedTensors(tensors), [Symbol.dispose]() {} };
}

/** The tensors of a dict that PyTorch saved, unread. Throws a TypeError where it holds anything else. */
export function tensorsOf(
  value: TorchValue | undefined,
  what: string,
): Record<string, StoredTensor> {
  if (!(value instanceof Map)) {
    throw new TypeError(`Cannot load the weights as ${what} must be a dict`);
  }
  return Object.fromEntries(
    [...value].map(([name, tensor]) => {
      if (typeof name !== "string" || !isTorchTensor(tensor)) {
        throw new TypeError(
          `Cannot load the weights as ${what} must hold tensors by name: ${name} is none`,
        );
      }
      return [name, { ...tensor, read: () => torchTensorData(tensor) }] as [string, StoredTensor];
    }),
  );
}

/**
 * A tensor of a file as float32. Throws a TypeError where the file has none of that name or it does not hold floats, and a
 * RangeError where its shape is another.
 */
export function floatTensor(
  tensors: Record<string, StoredTensor>,
  name: string,
  shape?: readonly number[],
): tf.Tensor {
  const stored = tensors[name];
  if (!stored) throw new TypeError(`Cannot load the weights as they must hold ${name}`);
  checkFloats(stored, { name, shape });
  return tf.tensor(Float32Array.from(stored.read() as Float32Array), stored.shape, "float32");
}

/** Whether a file begins as those of PyTorch do: with an archive, or before version 1.6 with a pickle. */
async function isTorch(path: string): Promise<boolean> {
  using file = await Deno.open(path).catch((cause) => {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new TypeError(`Cannot load the weights as there must be a file: ${path} is none`, {
      cause,
    });
  });
  const start = new Uint8Array(9);
  await file.read(start);
  // safetensors begin with a length, which may look like either, and then a brace
  if (start[8] === "{".charCodeAt(0)) return false;
  return start[0] === 0x80 || new TextDecoder().decode(start.subarray(0, 2)) === "PK";
}
