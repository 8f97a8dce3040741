import type { NdArray } from "ndarray";

/** Which picture to draw how: everything random about it follows from `seed` and `counter`. */
export type Draw = { size: number; seed: number; counter: number };

/** One side of a data set, split by picture. Its pixels are held per size, in bytes. */
export type Split = {
  readonly name: "train" | "test";
  /** How many pictures. */
  readonly length: number;
  /** Class of picture `i`, an index into `Dataset.classes`; 0 where there are no classes. */
  label(i: number): number;
  /** Name of picture `i`: of the emoji, or the file's path under the folder. */
  title(i: number): string;
  /** Makes the pictures ready at another size, `size` × `size` pixels; later calls are free. */
  load(size: number, options?: { onProgress?: LoadProgress }): Promise<void>;
  /** Picture `i` as [size, size, C] in [-1, 1]; RangeError where the size is not loaded. */
  image(i: number, draw: Draw): NdArray<Float32Array>;
  /** Writes the same numbers into `out` from `offset` on. */
  write(i: number, draw: Draw & { out: Float32Array; offset: number }): void;
};

/** Pictures in two parts, with their classes. */
export type Dataset = {
  readonly name: string;
  /** Names of the classes in the order of the labels; empty where pictures have no class. */
  readonly classes: readonly string[];
  readonly channels: number;
  readonly train: Split;
  readonly test: Split;
  /** What was skipped while opening, one sentence each. */
  readonly warnings: readonly string[];
};

/** Images [B, H, W, C] in [-1, 1] and their class labels [B]. */
export type Batch = { images: NdArray<Float32Array>; labels: Int32Array };

/** Called now and then while pictures are decoded. */
export type LoadProgress = (progress: { done: number; total: number; what: string }) => void;
