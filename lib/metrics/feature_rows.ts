import type { Matrix } from "ml-matrix";
import type { NdArray } from "ndarray";
import { denseData } from "../data/dense.ts";
import type { DoubleMatrix } from "./double_product.ts";

/** Features of images: [N, D], one row an image. */
export type Features = NdArray<Float32Array> | NdArray<Float64Array>;

/** The mean and the covariance (divisor N − 1) of a set of features. */
export type FeatureStatistics = { n: number; mean: Float64Array; covariance: Matrix };

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

/** Throws a RangeError unless two sets of features have the same dimension. */
export function checkDimensions(x: number, y: number): void {
  if (x === y) return;
  throw new RangeError(
    `Cannot compare features as both sets need the same dimension: dimensions are ${x} and ${y}`,
  );
}

/** The mean row of features [N, D]; RangeError where a number is not finite. */
export function meanOf(features: Features): Float64Array {
  const [n, d] = features.shape, data = denseData(features as NdArray<Float64Array>);
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < d; a++) mean[a] += data[i * d + a] / n;
  }
  if (!mean.every(Number.isFinite)) {
    throw new RangeError("Cannot compare features as they must be finite: one of them is not");
  }
  return mean;
}

/** A copy of features [N, D] in double precision. */
export function doubleRows(features: Features): DoubleMatrix {
  const [rows, columns] = features.shape;
  const data = Float64Array.from(denseData(features as NdArray<Float64Array>));
  return { data, rows, columns };
}

/** Features [N, D] less a row. */
export function centred(features: Features, mean: Float64Array): DoubleMatrix {
  const out = doubleRows(features);
  for (let i = 0; i < out.rows; i++) {
    for (let a = 0; a < out.columns; a++) out.data[i * out.columns + a] -= mean[a];
  }
  return out;
}
