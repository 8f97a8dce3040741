import { product } from "./double_product.ts";
import { checkDimensions, checkFeatures, doubleRows, type Features } from "./feature_rows.ts";

/** The cubic polynomial kernel of KID, (x·y / D + 1)³, for every pair of rows: [N, M]. */
export function polynomialKernel(x: Features, y: Features): Float64Array {
  const [, d] = checkFeatures(x, { least: 1 });
  const [, dY] = checkFeatures(y, { least: 1 });
  checkDimensions(d, dY);
  const { data: dots } = product(doubleRows(x), doubleRows(y), { transposeB: true });
  return dots.map((dot) => (dot / d + 1) ** 3);
}

/**
 * Unbiased estimate of the squared maximum mean discrepancy under the cubic kernel: the mean of
 * k(x, x′) over pairs of different rows, the same for y, minus twice the mean of k(x, y). Being
 * unbiased it can be negative.
 */
export function squaredMmd(x: Features, y: Features): number {
  const [n] = checkFeatures(x), [m] = checkFeatures(y);
  const sum = (values: Float64Array) => values.reduce((s, v) => s + v, 0);
  const offDiagonal = (features: Features, count: number) => {
    const kernel = polynomialKernel(features, features);
    let diagonal = 0;
    for (let i = 0; i < count; i++) diagonal += kernel[i * (count + 1)];
    return (sum(kernel) - diagonal) / (count * (count - 1));
  };
  return offDiagonal(x, n) + offDiagonal(y, m) - 2 * sum(polynomialKernel(x, y)) / (n * m);
}

/** The whole number nearest to x, halves to the even one, as Python rounds. */
export function roundHalfToEven(x: number): number {
  const floor = Math.floor(x), rest = x - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/**
 * Kernel distance of two sets of features: the mean of `squaredMmd` over consecutive parts of at
 * most about `maxSize` rows, cut at i·N/parts rounded half to even. With Inception features this
 * is KID (Bińkowski et al. 2018); with others it must not be called so.
 *
 * Unlike the Fréchet distance it has no bias in N, which makes it the better one for few images.
 */
export function kernelDistance(
  x: Features,
  y: Features,
  { maxSize = 5000 }: { maxSize?: number } = {},
): number {
  const [n] = checkFeatures(x), [m] = checkFeatures(y);
  if (!(maxSize >= 2)) {
    throw new RangeError(
      `Cannot compute the kernel distance as maxSize must be >= 2: maxSize is ${maxSize}`,
    );
  }
  const parts = Math.ceil(Math.max(n, m) / maxSize);
  const part = <F extends Features>(features: F, count: number, i: number): F =>
    features.lo(roundHalfToEven(i * count / parts), 0).hi(
      roundHalfToEven((i + 1) * count / parts) - roundHalfToEven(i * count / parts),
      features.shape[1],
    ) as F;
  let total = 0;
  for (let i = 0; i < parts; i++) total += squaredMmd(part(x, n, i), part(y, m, i));
  return total / parts;
}
