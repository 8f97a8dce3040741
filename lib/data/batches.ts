import ndarray from "ndarray";
import { randomWords } from "../engine/random.ts";
import type { Batch, Split } from "./dataset.ts";

const remembered = new WeakMap<Split, Map<string, Int32Array>>();

/**
 * The order of a split's pictures in one epoch: a permutation that depends on (seed, epoch) alone.
 *
 * Fisher-Yates with 32-bit words, so that a bias is below length / 2^32.
 */
export function epochOrder(
  split: Split,
  { seed, epoch }: { seed: number; epoch: number },
): Int32Array {
  const known = remembered.get(split) ?? new Map<string, Int32Array>();
  remembered.set(split, known);
  const key = `${seed}/${epoch}`;
  const found = known.get(key);
  if (found) return found;

  const order = Int32Array.from({ length: split.length }, (_, i) => i);
  const words = randomWords({ seed, stream: `data/${split.name}/order` }, epoch, split.length);
  for (let i = split.length - 1; i > 0; i--) {
    const j = Math.floor(words[i] * 2 ** -32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  if (known.size >= 4) known.delete(known.keys().next().value!);
  known.set(key, order);
  return order;
}

/**
 * Batch `index` of the endless sequence of pictures that a seed defines.
 *
 * The sequence runs through the split epoch after epoch, each in an order of its own, and batches
 * cut it without regard to the ends of epochs. Position p holds the same picture on the same
 * background whatever the batch size, so batch `index` depends on nothing but the split, the seed
 * and which positions it covers: a run that is resumed, and each arm of an ablation, sees the same
 * pictures.
 *
 * images: [B, size, size, C] in [-1, 1]; labels: [B].
 *
 * Errors: RangeError where the size is not loaded (`split.load(size)`), or a number is not whole.
 */
export function batchAt(
  split: Split,
  { size, batchSize, seed, index }: {
    size: number;
    batchSize: number;
    seed: number;
    index: number;
  },
): Batch {
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
  const scalars = size * size * 3;
  const out = new Float32Array(batchSize * scalars);
  const labels = new Int32Array(batchSize);
  for (let b = 0; b < batchSize; b++) {
    const position = index * batchSize + b;
    const epoch = Math.floor(position / split.length);
    const i = epochOrder(split, { seed, epoch })[position % split.length];
    split.write(i, { size, seed, counter: epoch, out, offset: b * scalars });
    labels[b] = split.label(i);
  }
  return { images: ndarray(out, [batchSize, size, size, 3]), labels };
}

/**
 * The first `n` pictures of a split in the order of a seed, for evaluation.
 *
 * The first m of n are the same pictures for any n, and each picture has the same background at
 * every size. Where `n` is more than the split holds, pictures come again on other backgrounds
 * (with a folder, unchanged): distances then rest on fewer pictures than `n` says.
 */
export function heldOut(
  split: Split,
  { size, n, seed }: { size: number; n: number; seed: number },
): Batch {
  return batchAt(split, { size, batchSize: n, seed, index: 0 });
}
