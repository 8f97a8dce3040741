import { randomWords } from "../engine/random.ts";

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
 * Deals `n` rows into groups by a seed, as equal in size as they can be: the group of each row.
 *
 * Errors: RangeError unless 2 <= groups <= n / 2.
 */
export function dealGroups(
  n: number,
  { groups, seed }: { groups: number; seed: number },
): Int32Array {
  if (!(Number.isInteger(groups) && groups >= 2 && groups <= n / 2)) {
    throw new RangeError(
      `Cannot compute the interval as groups must be a whole number from 2 to N / 2: ` +
        `groups is ${groups}, N is ${n}`,
    );
  }
  const words = randomWords({ seed, stream: "metrics/jackknife" }, 0, n);
  const dealt = Array.from(words.keys()).sort((a, b) => words[a] - words[b] || a - b);
  const group = new Int32Array(n);
  dealt.forEach((row, place) => group[row] = place % groups);
  return group;
}

/** The interval of a distance, from its values without each group in turn. */
export function intervalOf(
  value: number,
  { without, least }: { without: readonly number[]; least: number },
): DistanceInterval {
  const groups = without.length;
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
