import { Matrix } from "ml-matrix";
import { doublesOf, product } from "./double_product.ts";
import {
  centred,
  checkDimensions,
  checkFeatures,
  type Features,
  type FeatureStatistics,
  meanOf,
} from "./feature_rows.ts";
import { frechetReference } from "./frechet_reference.ts";

export { checkFeatures, type Features, type FeatureStatistics } from "./feature_rows.ts";

/** Rows that are centred and multiplied at once. */
const BLOCK = 4096;

/** Mean and covariance of features [N, D], N at least 2, in double precision. */
export function featureStatistics(features: Features): FeatureStatistics {
  const [n, d] = checkFeatures(features);
  const mean = meanOf(features);
  const sums = new Float64Array(d * d);
  for (let start = 0; start < n; start += BLOCK) {
    const rows = Math.min(BLOCK, n - start);
    const part = centred(features.lo(start, 0).hi(rows, d) as Features, mean);
    const squares = product(part, part, { transposeA: true }).data;
    for (let i = 0; i < sums.length; i++) sums[i] += squares[i];
  }
  const covariance = Matrix.zeros(d, d);
  for (let a = 0; a < d; a++) {
    for (let b = a; b < d; b++) {
      covariance.set(a, b, sums[a * d + b] / (n - 1));
      covariance.set(b, a, sums[a * d + b] / (n - 1));
    }
  }
  return { n, mean, covariance };
}

/**
 * Fréchet distance of two sets of features, each taken as a Gaussian:
 * |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (√Σ₁ Σ₂ √Σ₁)^½).
 *
 * With Inception features this is FID; with others it must not be called so, and distances on
 * different features cannot be compared. It is biased upwards by a little more than a multiple of
 * 1/N: compare only distances with equal N, and see `jackknife` for an interval. With N under D a
 * covariance is singular, and the distance is mostly bias.
 *
 * Sources: Dowson and Landau 1982; Heusel et al. 2017; ε = 1e-8 on the diagonals and the square
 * root by |λ| as in the reference.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import ndarray from "ndarray";
 * import { frechetDistance } from "./frechet.ts";
 *
 * const x = ndarray(Float64Array.of(-1, 0, 1), [3, 1]); // mean 0, variance 1
 * const y = ndarray(Float64Array.of(1, 3, 5), [3, 1]); // mean 3, variance 4
 * assert.ok(Math.abs(frechetDistance(x, y) - (3 ** 2 + (2 - 1) ** 2)) < 1e-6);
 * ```
 */
export function frechetDistance(x: Features, y: Features): number {
  return frechetDistanceOfStatistics(featureStatistics(x), featureStatistics(y));
}

/** `frechetDistance` from statistics, for a reference set that is used many times. */
export function frechetDistanceOfStatistics(x: FeatureStatistics, y: FeatureStatistics): number {
  return frechetDistanceTo(y)(x);
}

/** The distance to one reference set, which is decomposed once. */
export function frechetDistanceTo(y: FeatureStatistics): (x: FeatureStatistics) => number {
  const reference = frechetReference(y);
  return (x) => {
    checkDimensions(x.mean.length, y.mean.length);
    const { factor } = reference;
    const inner = product(factor, product(doublesOf(x.covariance), factor), { transposeA: true });
    return reference.distance({ mean: x.mean, trace: x.covariance.trace(), inner });
  };
}
