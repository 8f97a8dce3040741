import type { Metric } from "./fixture.ts";

type Numbers = ArrayLike<number>;

/**
 * How far `actual` is from `expected`, one number a metric; NaN anywhere gives NaN, which never passes.
 *
 * `max_abs_over_rms`: max |a − b| / rms(b) (max |a − b| where b is 0 throughout); `max_abs`: max |a − b|;
 * `max_rel`: max |a − b| / |b|; `update_rel_l2`: ‖a − b‖ / ‖b‖, a and b being updates (after − initial);
 * `exact`: max |a − b|.
 */
export const metrics: Record<Metric, (actual: Numbers, expected: Numbers) => number> = {
  max_abs_over_rms: (a, b) => {
    const rms = norm(b) / Math.sqrt(b.length);
    return maxAbs(a, b) / (rms > 0 ? rms : 1);
  },
  max_abs: maxAbs,
  max_rel: (a, b) => largest(a, (x, i) => x === b[i] ? 0 : Math.abs(x - b[i]) / Math.abs(b[i])),
  update_rel_l2: (a, b) => {
    const difference = Float64Array.from(a, (x, i) => x - b[i]);
    return norm(difference) / (norm(b) || 1);
  },
  exact: maxAbs,
};

/** The error of an array by a metric. Throws a RangeError when the lengths differ. */
export function errorOf(actual: Numbers, expected: Numbers, metric: Metric): number {
  if (actual.length !== expected.length) {
    throw new RangeError(
      `Cannot compare arrays as they must have equal lengths: ${actual.length} and ${expected.length}`,
    );
  }
  if (!(metric in metrics)) throw new RangeError(`Cannot compare arrays by metric "${metric}"`);
  return actual.length === 0 ? 0 : metrics[metric](actual, expected);
}

function maxAbs(a: Numbers, b: Numbers): number {
  return largest(a, (x, i) => x === b[i] ? 0 : Math.abs(x - b[i])); // equal infinities agree
}

function largest(a: Numbers, of: (x: number, i: number) => number): number {
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const error = of(a[i], i);
    if (!(error <= worst)) worst = error;
    if (Number.isNaN(worst)) return NaN;
  }
  return worst;
}

function norm(b: Numbers): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += b[i] * b[i];
  return Math.sqrt(sum);
}
