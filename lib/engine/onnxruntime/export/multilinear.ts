/**
 * Whole numbers that depend on sizes (batch, height, width): sums of products of sizes, each at most once in a product.
 *
 * @module
 */

/** Σ coefficient[m] · Π of the sizes whose bit is set in m, for m from 0 to 2^sizes − 1. */
export type Multilinear = readonly number[];

/** Whether numbers are the same at every size. */
export function isFixed(values: readonly Multilinear[]): boolean {
  return values.every((value) => value.every((coefficient, m) => m === 0 || coefficient === 0));
}

export function sameMultilinear(a: readonly Multilinear[], b: readonly Multilinear[]): boolean {
  return a.length === b.length &&
    a.every((value, i) => value.every((coefficient, m) => coefficient === b[i][m]));
}

/** The value for given sizes. */
export function evaluate(value: Multilinear, sizes: readonly number[]): number {
  return value.reduce((sum, coefficient, m) => sum + coefficient * product(m, sizes), 0);
}

/** Π of the sizes whose bit is set in m. */
export function product(m: number, sizes: readonly number[]): number {
  return sizes.reduce((all, size, i) => m >> i & 1 ? all * size : all, 1);
}

/**
 * The multilinear number through values at all corners of a box of sizes: corner m has the higher of its two values for
 * the sizes whose bit is set in m. Undefined where a coefficient would not be whole.
 */
export function interpolate(
  values: readonly number[],
  box: readonly (readonly [low: number, high: number])[],
): Multilinear | undefined {
  const coefficients = [...values];
  for (const [i, [low, high]] of box.entries()) {
    for (let m = 0; m < coefficients.length; m++) {
      if (!(m >> i & 1)) continue;
      const below = m ^ 1 << i; // along one size: the slope, and what is left at size 0
      coefficients[m] = (coefficients[m] - coefficients[below]) / (high - low);
      coefficients[below] -= low * coefficients[m];
    }
  }
  return coefficients.every(Number.isInteger) ? coefficients : undefined;
}
