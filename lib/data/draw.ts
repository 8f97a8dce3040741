/**
 * Drawing batches from the plain description of a split: what a worker needs, and no more.
 *
 * @module
 */
import ndarray from "ndarray";
import { randomWords } from "../engine/random.ts";
import { composePicture, drawAppearance } from "./compose.ts";
import type { Batch, Size, Split, SplitSource } from "./dataset.ts";
import { decodePicture } from "./decode.ts";
import type { PixelBlock } from "./pictures.ts";
import { inParallel } from "./pool.ts";

/** Which positions of a seed's endless sequence of pictures a batch covers. */
export type BatchAt = { batchSize: number; seed: number; index: number };

/** A picture that could not be decoded while drawing: its index in the split, and why. */
export type SkippedPicture = { i: number; reason: string };

const remembered = new Map<string, Int32Array>();

/**
 * The order of a split's pictures in one epoch: a permutation that depends on the split's name and
 * length and on (seed, epoch) alone.
 *
 * Fisher-Yates with 32-bit words, so that a bias is below length / 2^32.
 */
export function epochOrder(
  { name, length }: { name: string; length: number },
  { seed, epoch }: { seed: number; epoch: number },
): Int32Array {
  const key = `${name}/${length}/${seed}/${epoch}`;
  const found = remembered.get(key);
  if (found) return found;

  const order = Int32Array.from({ length }, (_, i) => i);
  const words = randomWords({ seed, stream: `data/${name}/order` }, epoch, length);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(words[i] * 2 ** -32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  if (remembered.size >= 4) remembered.delete(remembered.keys().next().value!);
  remembered.set(key, order);
  return order;
}

/** Whether the pixels of a split are held at its size, and not decoded when they are drawn. */
export function isHeld({ places, size: [height, width], channels }: SplitSource): boolean {
  if (places.kind !== "pixels") return false;
  const { block } = places;
  return block.height === height && block.width === width &&
    (block.bytes === 4 ? 3 : block.bytes) === channels;
}

/** The pixels of a split that is held; RangeError where it is not. */
export function heldPixels(source: SplitSource): PixelBlock {
  if (isHeld(source) && source.places.kind === "pixels") return source.places.block;
  throw new RangeError(
    "Cannot draw at once as the pictures of the split are not held in memory: " +
      "call readBatch, or open the data with more memory",
  );
}

/** Writes picture `i` of a split, which is number `row` of `block`, as [H, W, C] in [-1, 1]. */
export function drawPicture(
  source: SplitSource,
  { i, block, row, seed, counter, out, offset }: {
    i: number;
    block: PixelBlock;
    row: number;
    seed: number;
    counter: number;
    out: Float32Array;
    offset: number;
  },
): void {
  const { background, mirrored } = drawAppearance({
    seed,
    counter: counter * source.rows.length + i,
    stream: `data/${source.name}/appearance`,
  });
  const options = { i: row, background, mirrored: mirrored && source.mirror, out, offset };
  composePicture(block, options);
}

/**
 * Batch `index` of a split whose pixels are held: the numbers of `batchAt`.
 *
 * Errors: RangeError where they are not held (`readBatch` then does), or a number is not whole.
 */
export function drawBatch(source: SplitSource, at: BatchAt): Batch {
  const block = heldPixels(source);
  const { plan, out, batch } = planBatch(source, at);
  plan.forEach(({ i, ...draw }, b) => {
    drawPicture(source, { i, block, row: source.rows[i], out, ...draw });
    batch.labels[b] = source.labels[i];
  });
  return batch;
}

/**
 * Batch `index` of any split: pictures that are not held are read and decoded now.
 *
 * A picture that cannot be decoded gives way to the one after it in the split, so the batch still
 * depends on the split, the seed and the index alone; `onSkip` is told.
 *
 * Errors: RangeError where 16 pictures in a row cannot be decoded.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { batchAt } from "./batches.ts";
 * import { readBatch } from "./draw.ts";
 * import { openDataset } from "./open_dataset.ts";
 *
 * const flags = { kind: "emoji", categories: ["flags"] } as const;
 * const at = { batchSize: 2, seed: 0, index: 3 };
 * const held = await openDataset(flags, { size: 16 });
 * const drawn = await openDataset(flags, { size: 16, memory: 0 });
 * assert.deepEqual(
 *   (await readBatch(drawn.train.source(16), at)).images.data,
 *   batchAt(held.train, { size: 16, ...at }).images.data,
 * );
 * ```
 */
export async function readBatch(
  source: SplitSource,
  { onSkip, ...at }: BatchAt & { onSkip?: (skipped: SkippedPicture) => void },
): Promise<Batch> {
  if (isHeld(source)) return drawBatch(source, at);
  const { plan, out, batch } = planBatch(source, at);
  await inParallel(plan.length, {
    limit: 4,
    work: async (b) => {
      const { i, block } = await firstReadable(source, { from: plan[b].i, onSkip });
      drawPicture(source, { ...plan[b], i, block, row: 0, out });
      batch.labels[b] = source.labels[i];
    },
  });
  return batch;
}

/** What `heldOut` gives of any split: pictures that are not held are read and decoded now. */
export function readHeldOut(
  split: Split,
  { size, n, seed }: { size: Size; n: number; seed: number },
): Promise<Batch> {
  return readBatch(split.source(size), { batchSize: n, seed, index: 0 });
}

/** The pictures of `readHeldOut` in parts of at most `part`, for more of them than memory holds. */
export async function* readHeldOutParts(
  split: Split,
  { size, n, seed, part = 256 }: { size: Size; n: number; seed: number; part?: number },
): AsyncGenerator<Batch, void, void> {
  const source = split.source(size), batchSize = Math.min(part, n);
  for (let index = 0; index * batchSize < n; index++) {
    const { images, labels } = await readBatch(source, { batchSize, seed, index });
    const count = Math.min(batchSize, n - index * batchSize);
    yield { images: images.hi(count), labels: labels.subarray(0, count) };
  }
}

/** The first picture from `from` on that can be decoded, the last being followed by the first. */
async function firstReadable(
  { places, size, channels, rows }: SplitSource,
  { from, onSkip }: { from: number; onSkip: ((skipped: SkippedPicture) => void) | undefined },
): Promise<{ i: number; block: PixelBlock }> {
  const [height, width] = size, bytes = places.kind === "emoji" ? 4 : channels;
  for (let tried = 0;; tried++) {
    const i = (from + tried) % rows.length;
    try {
      const { pixels } = await decodePicture(places, { i: rows[i], size, bytes });
      return { i, block: { data: pixels, height, width, bytes } };
    } catch (error) {
      const reason = (error as Error).message;
      onSkip?.({ i, reason });
      if (tried === 15) {
        throw new RangeError(
          `Cannot draw a batch as 16 pictures in a row cannot be decoded: the last says "${reason}"`,
          { cause: error },
        );
      }
    }
  }
}

/** What a batch holds where, before anything is drawn; numbers are checked. */
function planBatch(
  { name, rows, size: [height, width], channels }: SplitSource,
  { batchSize, seed, index }: BatchAt,
): {
  plan: { i: number; seed: number; counter: number; offset: number }[];
  out: Float32Array;
  batch: Batch;
} {
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw new RangeError(
      `Cannot make a batch as batchSize must be a whole number >= 1: batchSize is ${batchSize}`,
    );
  }
  if (!(Number.isSafeInteger(index) && index >= 0)) {
    throw new RangeError(
      `Cannot make a batch as index must be a whole number >= 0: index is ${index}`,
    );
  }
  const { length } = rows, each = height * width * channels;
  const plan = Array.from({ length: batchSize }, (_, b) => {
    const position = index * batchSize + b, epoch = Math.floor(position / length);
    const i = epochOrder({ name, length }, { seed, epoch })[position % length];
    return { i, seed, counter: epoch, offset: b * each };
  });
  const out = new Float32Array(batchSize * each);
  const images = ndarray(out, [batchSize, height, width, channels]);
  return { plan, out, batch: { images, labels: new Int32Array(batchSize) } };
}
