/**
 * Batches for training as pure functions of (split, options, index): pictures, augmented or not, at
 * one size or several in turn, alone or with what a super-resolution model starts from.
 *
 * @module
 */
import ndarray, { type NdArray } from "ndarray";
import {
  augmentationCond,
  augmentationMatrix,
  augmentationOf,
  drawAugmentation,
} from "./augment.ts";
import type { Batch, Size, Split, SplitSource } from "./dataset.ts";
import { denseData } from "./dense.ts";
import { readBatch, type SkippedPicture } from "./draw.ts";
import { resizeImages } from "./resize.ts";
import { warp } from "./warp.ts";

/** A batch, and what else a model is told about it, by the names that the model has for it. */
export type TrainingBatch = Batch & {
  /** What was done to each picture, [B, 9] in one row; where augmentation is on. */
  augCond?: Float32Array;
  /** The pictures with little detail, [B, H, W, C]; where there are low-resolution pairs. */
  selfCond?: NdArray<Float32Array>;
};

/** What training batches are made of a split. Plain data. */
export type FeedOptions =
  & {
    batchSize: number;
    seed: number;
    /** Probability of each part of the augmentation (default 0: none at all). */
    augmentProb?: number;
    /** Pairs for super-resolution: each picture also `factor` times smaller, brought back to its size. */
    lowResolution?: { factor: number };
  }
  & (
    | { size: Size }
    /** Batches of several sizes in turn: [64, 64, 128] is one of 128 px after two of 64. */
    | { multiScale: readonly Size[] }
  );

/** All that a worker needs to make the batches: plain data, the pixels in shared memory. */
export type Feed =
  & Pick<FeedOptions, "batchSize" | "seed" | "augmentProb" | "lowResolution">
  & { sources: readonly SplitSource[] };

/**
 * What a split's training batches are made from.
 *
 * Errors: RangeError where a size is not loaded, no picture of it is a multiple of the factor, or
 * the probability is not within [0, 1].
 */
export function makeFeed(split: Split, options: FeedOptions): Feed {
  const { batchSize, seed, augmentProb = 0, lowResolution } = options;
  const sizes = "size" in options ? [options.size] : options.multiScale;
  if (!(sizes.length >= 1)) {
    throw new RangeError("Cannot make batches as multiScale must have a size or more: it has none");
  }
  if (!(augmentProb >= 0 && augmentProb <= 1)) {
    throw new RangeError(
      `Cannot augment as the probability must be within [0, 1]: probability is ${augmentProb}`,
    );
  }
  const sources = sizes.map((size) => split.source(size));
  if (lowResolution) sources.forEach(({ size }) => checkFactor(size, lowResolution));
  return { sources, batchSize, seed, augmentProb, ...(lowResolution && { lowResolution }) };
}

/**
 * Training batch `index`: a pure function of the feed and the index.
 *
 * The pictures are those of `batchAt` at the same index, whatever the size and what is done to them.
 */
export async function feedBatch(
  { sources, batchSize, seed, augmentProb = 0, lowResolution }: Feed,
  { index, onSkip }: { index: number; onSkip?: (skipped: SkippedPicture) => void },
): Promise<TrainingBatch> {
  const source = sources[index % sources.length] ?? sources[0]; // readBatch refuses odd numbers
  const read = await readBatch(source, { batchSize, seed, index, ...(onSkip && { onSkip }) });
  const batch = augmentProb === 0
    ? read
    : augmentBatch(read, { split: source.name, seed, index, prob: augmentProb });
  return lowResolution
    ? { ...batch, selfCond: lowResolutionOf(batch.images, lowResolution) }
    : batch;
}

/**
 * Augments batch `index` of a split: what is done to a picture depends on its place in the seed's
 * sequence alone, not on the batch size or the pictures' size.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { batchAt } from "./batches.ts";
 * import { openDataset } from "./open_dataset.ts";
 * import { augmentBatch } from "./training_batch.ts";
 *
 * const flags = await openDataset({ kind: "emoji", categories: ["flags"] }, { size: 16 });
 * const at = { batchSize: 4, seed: 0, index: 2 };
 * const batch = batchAt(flags.train, { size: 16, ...at });
 * const { augCond } = augmentBatch(batch, { split: "train", seed: 0, index: 2, prob: 0.12 });
 * assert.equal(augCond.length, 4 * 9);
 * ```
 */
export function augmentBatch(
  { images, labels }: Batch,
  { split, seed, index, prob }: {
    split: "train" | "test";
    seed: number;
    index: number;
    prob: number;
  },
): Batch & { augCond: Float32Array } {
  const [B, height, width, channels] = images.shape, each = height * width * channels;
  const data = denseData(images),
    out = new Float32Array(B * each),
    augCond = new Float32Array(B * 9);
  for (let b = 0; b < B; b++) {
    const draws = drawAugmentation({ seed, stream: `data/${split}/augment` }, index * B + b);
    const augmentation = augmentationOf(draws, { prob });
    augCond.set(augmentationCond(augmentation), b * 9);
    warp(data.subarray(b * each, (b + 1) * each), {
      height,
      width,
      channels,
      matrix: augmentationMatrix(augmentation, { height, width }),
      out: out.subarray(b * each, (b + 1) * each),
    });
  }
  return { images: ndarray(out, [B, height, width, channels]), labels, augCond };
}

/**
 * What a super-resolution model is given of images [B, H, W, C]: made `factor` times smaller and
 * brought back to their size, both by antialiased bicubic.
 *
 * Errors: RangeError where the factor does not divide the sides.
 */
export function lowResolutionOf(
  images: NdArray<Float32Array>,
  { factor }: { factor: number },
): NdArray<Float32Array> {
  const [, height, width] = images.shape;
  checkFactor([height, width], { factor });
  const small = resizeImages(images, { height: height / factor, width: width / factor });
  return resizeImages(small, { height, width });
}

function checkFactor(
  [height, width]: readonly [number, number],
  { factor }: { factor: number },
): void {
  if (Number.isInteger(factor) && factor >= 1 && height % factor === 0 && width % factor === 0) {
    return;
  }
  throw new RangeError(
    `Cannot make low-resolution pictures as the factor must be a whole number that divides the sides: ` +
      `factor is ${factor}, size is [${height}, ${width}]`,
  );
}
