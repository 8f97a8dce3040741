/**
 * Rows of an array of rows of `each` numbers, in the order given; a row may come more than once.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { takeRows } from "./take_rows.ts";
 *
 * assert.deepEqual([...takeRows(Int32Array.of(1, 2, 3, 4), [1, 0, 1], { each: 2 })], [3, 4, 1, 2, 3, 4]);
 * ```
 */
export function takeRows<T extends Float32Array | Int32Array>(
  from: T,
  rows: readonly number[],
  { each }: { each: number },
): T {
  const out = new (from.constructor as new (n: number) => T)(rows.length * each);
  rows.forEach((row, i) => out.set(from.subarray(row * each, (row + 1) * each), i * each));
  return out;
}
