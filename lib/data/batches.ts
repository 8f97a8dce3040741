import type { Batch, Size, Split } from "./dataset.ts";
import { type BatchAt, drawBatch } from "./draw.ts";

export { epochOrder, readBatch } from "./draw.ts";

/**
 * Batch `index` of the endless sequence of pictures that a seed defines.
 *
 * The sequence runs through the split epoch after epoch, each in an order of its own, and batches
 * cut it without regard to the ends of epochs. Position p holds the same picture on the same
 * background whatever the batch size, so batch `index` depends on nothing but the split, the seed
 * and which positions it covers: a run that is resumed, and each arm of an ablation, sees the same
 * pictures.
 *
 * images: [B, H, W, C] in [-1, 1]; labels: [B].
 *
 * Errors: RangeError where the size is not loaded (`split.load(size)`), its pictures are not held
 * (`readBatch(split.source(size), …)` draws the same), or a number is not whole.
 */
export function batchAt(split: Split, { size, ...at }: BatchAt & { size: Size }): Batch {
  return drawBatch(split.source(size), at);
}

/**
 * The first `n` pictures of a split in the order of a seed, for evaluation.
 *
 * The first m of n are the same pictures for any n, and each picture has the same background at
 * every size. Where `n` is more than the split holds, pictures come again on other backgrounds
 * (with files, unchanged): distances then rest on fewer pictures than `n` says.
 */
export function heldOut(
  split: Split,
  { size, n, seed }: { size: Size; n: number; seed: number },
): Batch {
  return batchAt(split, { size, batchSize: n, seed, index: 0 });
}
