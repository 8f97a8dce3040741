/** What fixtures say of images that are too large to store: parts of them, and their statistics. */
import type { NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";

type Images = NdArray<Float32Array>;

/** [N, H, W, C] as [N, C, H, W], row by row. */
export function channelsFirst(images: Images): Float32Array {
  return denseData(images.transpose(0, 3, 1, 2));
}

/** Rows and columns `from` to `to` of images, channels first. */
export function cropOf(images: Images, [from, to]: readonly [number, number]): Float32Array {
  const [n, , , channels] = images.shape, side = to + 1 - from;
  return channelsFirst(images.lo(0, from, from, 0).hi(n, side, side, channels));
}

/** Mean and standard deviation (by N − 1, as torch has it), the least and the largest value, the first eight by rows. */
export function statistics(images: Images): Record<string, number[]> {
  const values = channelsFirst(images), n = values.length;
  const mean = values.reduce((sum, v) => sum + v, 0) / n;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
  return {
    moments: [mean, Math.sqrt(variance)],
    range: [values, values].map((v, i) => v.reduce((a, b) => i ? Math.max(a, b) : Math.min(a, b))),
    first8: Array.from(values.subarray(0, 8)),
  };
}

/** The numbers of a text where a pattern's groups are: "3x96x120" by /(\d+)x(\d+)$/ is [96, 120]. */
export function numbersIn(text: string, pattern: RegExp): number[] {
  const found = text.match(pattern);
  if (!found) {
    throw new RangeError(`Cannot read numbers as the text must match ${pattern}: ${text}`);
  }
  return found.slice(1).flatMap((group) => group.match(/\d+(?:\.\d+)?/g) ?? []).map(Number);
}

/** First and last of the rows, and columns, that a text says are stored: "rows/cols 100..115", after `name`. */
export function rowsIn(text: string, name = ""): [number, number] {
  const pattern = new RegExp(`${name}rows/cols (\\d+)\\.\\.(\\d+)`);
  return numbersIn(text, pattern) as [number, number];
}
