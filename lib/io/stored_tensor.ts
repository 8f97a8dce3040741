import type { SafetensorsTensor } from "./safetensors.ts";
import type { TorchTensor } from "./torch_tensor.ts";

/** A tensor of a file that is not in memory yet. */
export type StoredTensor = {
  dtype: SafetensorsTensor["dtype"] | TorchTensor["dtype"];
  shape: number[];
  read(): ArrayLike<number | bigint>;
};

/** The tensors of a safetensors file by name. */
export function storedTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
): Record<string, StoredTensor> {
  return Object.fromEntries(
    [...tensors].map(([name, tensor]) => [name, { ...tensor, read: () => tensor.data }]),
  );
}

/** Throws a TypeError unless a tensor holds floats, and a RangeError where it has not the shape. */
export function checkFloats(
  { dtype, shape }: StoredTensor,
  { name, shape: wanted = shape }: { name: string; shape?: readonly number[] | undefined },
): void {
  if (!["F64", "F32", "F16", "BF16"].includes(dtype)) {
    throw new TypeError(`Cannot load the weights as ${name} must hold floats: it is ${dtype}`);
  }
  if (`${shape}` !== `${wanted}`) {
    throw new RangeError(
      `Cannot load the weights as ${name} must have the shape [${wanted}]: it is [${shape}]`,
    );
  }
}
