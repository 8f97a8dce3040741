import ndarray, { type NdArray } from "ndarray";
import { randomWords } from "../engine/random.ts";
import { denseData } from "../data/dense.ts";
import { checkFeatures, type Features } from "./frechet.ts";

/** A distance and how sure it is, given that the reference set is what it is. */
export type DistanceInterval = {
  /** The distance on all rows. */
  value: number;
  /** Its standard error. */
  standardError: number;
  /** value ± z · standard error, at about 95 %, the lower end not under `least`. */
  low: number;
  high: number;
  /** The estimate of the bias that comes from the finite number of rows, not taken off. */
  bias: number;
};

/**
 * Interval of a distance by the delete-a-group jackknife.
 *
 * The rows of `x` (the samples) are dealt into `groups` by a seed; the distance is computed
 * without each group in turn: SE² = (G − 1)/G · Σ (θ₍ᵢ₎ − θ̄)², bias = (G − 1)(θ̄ − θ).
 *
 * It is the uncertainty from drawing these samples and no others. The reference set is taken as
 * given, which is right for comparing models against one held-out set; it says nothing about
 * another training run, for which there are seeds. A bootstrap would not do here: repeated rows
 * make the covariance of a resample too small, and the Fréchet distance too large.
 *
 * Errors: RangeError unless 2 <= groups <= N / 2.
 */
export function jackknife(
  x: Features,
  { distance, groups = 20, seed, least = -Infinity }: {
    distance: (x: Features) => number;
    groups?: number;
    seed: number;
    least?: number;
  },
): DistanceInterval {
  const [n, d] = checkFeatures(x);
  if (!(Number.isInteger(groups) && groups >= 2 && groups <= n / 2)) {
    throw new RangeError(
      `Cannot compute the interval as groups must be a whole number from 2 to N / 2: ` +
        `groups is ${groups}, N is ${n}`,
    );
  }
  const data = Float64Array.from(denseData(x as NdArray<Float64Array>));
  const words = randomWords({ seed, stream: "metrics/jackknife" }, 0, n);
  const dealt = Array.from(words.keys()).sort((a, b) => words[a] - words[b] || a - b);

  const value = distance(x);
  const without: number[] = [];
  for (let g = 0; g < groups; g++) {
    const kept = dealt.filter((_, place) => place % groups !== g);
    const rows = new Float64Array(kept.length * d);
    kept.forEach((row, to) => rows.set(data.subarray(row * d, (row + 1) * d), to * d));
    without.push(distance(ndarray(rows, [kept.length, d])));
  }
  const mean = without.reduce((s, v) => s + v, 0) / groups;
  const squares = without.reduce((s, v) => s + (v - mean) ** 2, 0);
  const standardError = Math.sqrt(squares * (groups - 1) / groups);
  return {
    value,
    standardError,
    low: Math.max(least, value - 1.96 * standardError),
    high: value + 1.96 * standardError,
    bias: (groups - 1) * (mean - value),
  };
}
