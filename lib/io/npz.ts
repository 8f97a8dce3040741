import { zipSync } from "fflate";
import { memorySource } from "./byte_source.ts";
import { type NpyArray, readNpy, writeNpy } from "./npy.ts";
import { readZip } from "./zip.ts";

const SUFFIX = ".npy";
const MAX_BYTES = 2 ** 32 - 1; // of a zip archive without the 64-bit extension

/**
 * Reads NumPy's archive of named arrays (`np.savez`, `np.savez_compressed`).
 *
 * Throws what `readZip` and `readNpy` throw, the latter with the array's name; entries that are no
 * `.npy` files are left out.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const labels = { dtype: "i8", shape: [2], data: BigInt64Array.of(3n, 7n) } as const;
 * assert.deepEqual(readNpz(writeNpz({ labels })).get("labels"), labels);
 * ```
 */
export function readNpz(bytes: Uint8Array): Map<string, NpyArray> {
  const arrays = new Map<string, NpyArray>();
  for (const [file, entry] of readZip(memorySource(bytes))) {
    if (file.endsWith(SUFFIX)) {
      const name = file.slice(0, -SUFFIX.length);
      arrays.set(name, readNamed(name, entry.read()));
    }
  }
  return arrays;
}

function readNamed(name: string, bytes: Uint8Array): NpyArray {
  try {
    return readNpy(bytes);
  } catch (error) {
    if (error instanceof Error) error.message = `${error.message} (${name})`;
    throw error;
  }
}

/**
 * Writes NumPy's archive of named arrays: stored as `np.savez` does, or deflated.
 *
 * The same arrays give the same bytes. Throws a RangeError above 4 GiB, where a zip archive needs the
 * 64-bit extension.
 */
export function writeNpz(
  arrays: Readonly<Record<string, NpyArray>>,
  { deflate = false }: { deflate?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const bytes = Object.values(arrays).reduce((sum, { data }) => sum + data.byteLength + 1024, 0);
  if (!(bytes <= MAX_BYTES)) {
    throw new RangeError(
      `Cannot write the arrays to one file as they must take at most 4 GiB: they take ${bytes} bytes`,
    );
  }
  const files = Object.entries(arrays).map(([name, array]) => [name + SUFFIX, writeNpy(array)]);
  // zip's first day: the archive holds no time of writing
  return zipSync(Object.fromEntries(files), {
    level: deflate ? 6 : 0,
    mtime: new Date(1980, 0, 1),
  });
}
