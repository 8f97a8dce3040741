import { Matrix } from "ml-matrix";
import { type DoubleMatrix, product } from "./double_product.ts";
import type { FeatureStatistics } from "./feature_rows.ts";
import { symmetricFactor, traceOfSqrt } from "./symmetric_sqrt.ts";

/** Added to the diagonals of both covariances, as in the reference. */
const EPSILON = 1e-8;

/** A set of features that others are compared with: what distances to it have in common. */
export type FrechetReference = {
  /** F with F Fᵀ = Σ + ε. */
  factor: DoubleMatrix;
  /**
   * The distance of a set with this mean, trace of its covariance Σₓ, and `inner`, Fᵀ Σₓ F, of which the lower triangle is
   * read and overwritten.
   */
  distance(x: { mean: Float64Array; trace: number; inner: DoubleMatrix }): number;
};

/** Prepares for distances to one set of features. */
export function frechetReference({ mean, covariance }: FeatureStatistics): FrechetReference {
  const d = mean.length;
  const positive = Matrix.add(covariance, Matrix.eye(d).mul(EPSILON));
  const factor = symmetricFactor(positive), trace = positive.trace();
  const squared = product(factor, factor, { transposeA: true });
  return {
    factor,
    distance(x) {
      const meanTerm = x.mean.reduce((sum, m, i) => sum + (m - mean[i]) ** 2, 0);
      const inner = x.inner.data; // Fᵀ (Σₓ + ε) F is Fᵀ Σₓ F + ε Fᵀ F
      for (let i = 0; i < inner.length; i++) inner[i] += EPSILON * squared.data[i];
      return meanTerm + x.trace + d * EPSILON + trace - 2 * traceOfSqrt(x.inner);
    },
  };
}
