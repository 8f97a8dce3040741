import type { NdArray } from "ndarray";
import type { PicturePlaces } from "./pictures.ts";

/** Pixels of a picture: one number for a square, else [height, width]. */
export type Size = number | readonly [height: number, width: number];

/** Which picture to draw how: everything random about it follows from `seed` and `counter`. */
export type Draw = { size: Size; seed: number; counter: number };

/** One side of a data set, split by picture. Its pixels are held per size, in bytes. */
export type Split = {
  readonly name: "train" | "test";
  /** How many pictures. */
  readonly length: number;
  /** Class of picture `i`, an index into `Dataset.classes`; 0 where there are no classes. */
  label(i: number): number;
  /** Name of picture `i`: of the emoji, or the file's path under the folder. */
  title(i: number): string;
  /** Makes the pictures ready at another size; later calls are free. */
  load(size: Size, options?: { onProgress?: LoadProgress }): Promise<void>;
  /** All that a worker needs to draw this split at a size that is loaded (see `readBatch`). */
  source(size: Size): SplitSource;
  /** Picture `i` as [H, W, C] in [-1, 1]; RangeError where the size is not loaded, or not held. */
  image(i: number, draw: Draw): NdArray<Float32Array>;
  /** Writes the same numbers into `out` from `offset` on. */
  write(i: number, draw: Draw & { out: Float32Array; offset: number }): void;
};

/**
 * A split at one size as plain data: it can be sent to a worker, which then draws the same numbers.
 * Pixels that are held lie in shared memory, so nothing of them is copied.
 */
export type SplitSource = {
  readonly name: "train" | "test";
  readonly size: readonly [height: number, width: number];
  readonly channels: 1 | 3;
  /** Whether half of the draws are mirrored. */
  readonly mirror: boolean;
  /** Class of each picture. */
  readonly labels: Int32Array;
  /** Picture `i` is number `rows[i]` of the places. */
  readonly rows: Int32Array;
  readonly places: PicturePlaces;
};

/** Pictures in two parts, with their classes. */
export type Dataset = {
  readonly name: string;
  /** Names of the classes in the order of the labels; empty where pictures have no class. */
  readonly classes: readonly string[];
  /** Channels of the images that are drawn: 1 (grey) or 3 (red, green, blue). */
  readonly channels: 1 | 3;
  readonly train: Split;
  readonly test: Split;
  /** What was skipped while opening, and what else a user should know, one sentence each. */
  readonly warnings: readonly string[];
};

/** Images [B, H, W, C] in [-1, 1] and their class labels [B]. */
export type Batch = { images: NdArray<Float32Array>; labels: Int32Array };

/** Called now and then while pictures are decoded. */
export type LoadProgress = (progress: { done: number; total: number; what: string }) => void;

/** How every data set is opened. */
export type OpenOptions = {
  size: Size;
  /** Where decoded pictures are kept (default: the operating system's folder for caches). */
  cacheFolder?: string;
  /** Bytes of pixels that may be held for a split at one size (default 2 GiB); beyond, pictures are decoded when they are drawn. */
  memory?: number;
  onProgress?: LoadProgress;
};

/**
 * Height and width of a size.
 *
 * Errors: RangeError where one is not a whole number from 1 to 4096.
 */
export function heightAndWidth(size: Size): readonly [height: number, width: number] {
  const sides = typeof size === "number" ? [size, size] as const : size;
  const fits = (v: number) => Number.isInteger(v) && v >= 1 && v <= 4096;
  if (!(sides.length === 2 && sides.every(fits))) {
    throw new RangeError(
      `Cannot load pictures as size must be a whole number from 1 to 4096, or two: size is ${
        typeof size === "number" ? size : `[${size}]`
      }`,
    );
  }
  return sides;
}
