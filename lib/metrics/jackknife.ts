import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../data/dense.ts";
import { checkFeatures, type Features } from "./feature_rows.ts";
import { dealGroups, type DistanceInterval, intervalOf } from "./jackknife_groups.ts";

export type { DistanceInterval } from "./jackknife_groups.ts";

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
 * For the Fréchet distance `frechetInterval` gives the same in less time.
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
  const group = dealGroups(n, { groups, seed });
  const data = Float64Array.from(denseData(x as NdArray<Float64Array>));
  const order = Array.from(group.keys());

  const value = distance(x);
  const without: number[] = [];
  for (let g = 0; g < groups; g++) {
    const kept = order.filter((row) => group[row] !== g);
    const rows = new Float64Array(kept.length * d);
    kept.forEach((row, to) => rows.set(data.subarray(row * d, (row + 1) * d), to * d));
    without.push(distance(ndarray(rows, [kept.length, d])));
  }
  return intervalOf(value, { without, least });
}
