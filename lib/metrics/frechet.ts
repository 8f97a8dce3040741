import { Matrix } from "ml-matrix";
import type { NdArray } from "ndarray";
import { denseData } from "../data/dense.ts";
import { symmetricSqrt, traceOfSqrt } from "./symmetric_sqrt.ts";

/** Features of images: [N, D], one row an image. */
export type Features = NdArray<Float32Array> | NdArray<Float64Array>;

/** The mean and the covariance (divisor N − 1) of a set of features. */
export type FeatureStatistics = { n: number; mean: Float64Array; covariance: Matrix };

/** Added to the diagonals of both covariances, as in the reference. */
const EPSILON = 1e-8;

/** Rows and columns of features; RangeError unless they are a matrix with at least `least` rows. */
export function checkFeatures(
  features: Features,
  { least = 2 }: { least?: number } = {},
): [n: number, d: number] {
  const [n, d] = features.shape;
  if (!(features.shape.length === 2 && n >= least && d >= 1)) {
    throw new RangeError(
      `Cannot compare features as they must be [N, D] with N >= ${least}: shape is [${features.shape}]`,
    );
  }
  return [n, d];
}

/** Mean and covariance of features [N, D], N at least 2, in double precision. */
export function featureStatistics(features: Features): FeatureStatistics {
  const [n, d] = checkFeatures(features);
  const data = denseData(features as NdArray<Float64Array>);
  const mean = new Float64Array(d);
  for (let i = 0; i < data.length; i++) mean[i % d] += data[i] / n;
  if (!mean.every(Number.isFinite)) {
    throw new RangeError("Cannot compare features as they must be finite: one of them is not");
  }
  const sums = new Float64Array(d * d);
  const row = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < d; a++) row[a] = data[i * d + a] - mean[a];
    for (let a = 0; a < d; a++) {
      const r = row[a], at = a * d;
      for (let b = a; b < d; b++) sums[at + b] += r * row[b];
    }
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

/** The distance to one reference set, whose root is taken once. */
export function frechetDistanceTo(y: FeatureStatistics): (x: FeatureStatistics) => number {
  const d = y.mean.length;
  const yCovariance = Matrix.add(y.covariance, Matrix.eye(d).mul(EPSILON));
  const root = symmetricSqrt(yCovariance);
  return (x) => {
    if (x.mean.length !== d) {
      throw new RangeError(
        `Cannot compare features as both sets need the same dimension: ` +
          `dimensions are ${x.mean.length} and ${d}`,
      );
    }
    const meanTerm = x.mean.reduce((sum, m, i) => sum + (m - y.mean[i]) ** 2, 0);
    const xCovariance = Matrix.add(x.covariance, Matrix.eye(d).mul(EPSILON));
    const cross = traceOfSqrt(root.mmul(xCovariance).mmul(root));
    return meanTerm + xCovariance.trace() + yCovariance.trace() - 2 * cross;
  };
}
