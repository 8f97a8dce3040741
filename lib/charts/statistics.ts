/**
 * The few statistics that charts and reports state.
 *
 * @module
 */

/** A value with the ends of its error bar; `n` is the number of values behind it. */
export type Spread = { value: number; low: number; high: number; n: number };

/** Mean and range of the finite values; NaN throughout where there are none. */
export function spread(values: number[]): Spread {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return { value: NaN, low: NaN, high: NaN, n: 0 };
  return {
    value: mean(finite),
    low: Math.min(...finite),
    high: Math.max(...finite),
    n: finite.length,
  };
}

/** Arithmetic mean; NaN of no values. */
export function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom
// deno-fmt-ignore
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
  2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
  2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * Mean of the values with its 95 % interval by Student's t; without an interval below two values.
 *
 * ```ts
 * import { meanInterval } from "./statistics.ts";
 * import assert from "node:assert/strict";
 * const { value, low } = meanInterval([1, 2, 3]);
 * assert.equal(value, 2);
 * assert.ok(Math.abs(low - (2 - 4.303 / Math.sqrt(3))) < 1e-12);
 * ```
 */
export function meanInterval(values: number[]): Spread {
  const n = values.length;
  const value = mean(values);
  if (n < 2) return { value, low: NaN, high: NaN, n };
  const variance = values.reduce((sum, v) => sum + (v - value) ** 2, 0) / (n - 1);
  // Beyond the table 1.96 + 2.4 / df, within 0.003 of the quantile
  const t = T_975[n - 2] ?? 1.96 + 2.4 / (n - 1);
  const half = t * Math.sqrt(variance / n);
  return { value, low: value - half, high: value + half, n };
}

/**
 * Centred moving average over `width` points, of fewer points near the ends and around gaps.
 *
 * @throws {RangeError} where `width` is not a positive odd integer.
 */
export function smooth(values: number[], width: number): number[] {
  if (!(Number.isInteger(width) && width > 0 && width % 2 === 1)) {
    throw new RangeError(
      `Cannot smooth as width must be a positive odd integer: width is ${width}`,
    );
  }
  const reach = (width - 1) / 2;
  return values.map((value, i) => {
    if (!Number.isFinite(value)) return NaN;
    const r = Math.min(reach, i, values.length - 1 - i);
    return mean(values.slice(i - r, i + r + 1).filter(Number.isFinite));
  });
}
