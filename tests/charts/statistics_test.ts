import assert from "node:assert/strict";
import fc from "fast-check";
import { meanInterval, smooth, spread } from "../../lib/charts/statistics.ts";

const ROUNDING = 1e-9; // of sums of a few dozen numbers below 1000

const numbers = fc.array(fc.double({ min: -1000, max: 1000, noNaN: true }), {
  minLength: 1,
  maxLength: 40,
});

Deno.test("meanInterval() is Student's, with the quantiles of a table", () => {
  // Eleven values with mean 10 and variance 11: t of 10 degrees of freedom is 2.228
  const values = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
  const { value, low, high, n } = meanInterval(values);
  assert.equal(value, 10);
  assert.equal(n, 11);
  assert.ok(Math.abs(high - 10 - 2.228) < ROUNDING); // sqrt(11 / 11) = 1
  assert.ok(Math.abs(10 - low - 2.228) < ROUNDING);
});

Deno.test("meanInterval() goes over from its table to the formula without a jump", () => {
  const half = (n: number) => {
    const values = Array.from({ length: n }, (_, i) => i % 2 === 0 ? 1 : -1);
    const { value, high } = meanInterval(values);
    const variance = values.reduce((sum, v) => sum + (v - value) ** 2, 0) / (n - 1);
    return (high - value) / Math.sqrt(variance / n);
  };
  // 97.5 % quantiles of t for 31, 60 and 120 degrees of freedom
  assert.ok(Math.abs(half(32) - 2.040) < 0.004);
  assert.ok(Math.abs(half(61) - 2.000) < 0.004);
  assert.ok(Math.abs(half(121) - 1.980) < 0.004);
});

Deno.test("meanInterval() has no interval of one value", () => {
  assert.deepEqual(meanInterval([3]), { value: 3, low: NaN, high: NaN, n: 1 });
});

Deno.test("spread() is mean and range of what is finite", () => {
  assert.deepEqual(spread([1, NaN, 3]), { value: 2, low: 1, high: 3, n: 2 });
  assert.deepEqual(spread([NaN]), { value: NaN, low: NaN, high: NaN, n: 0 });
});

Deno.test("smooth() keeps straight lines, ends and gaps, and does not leave the range", () => {
  fc.assert(fc.property(numbers, fc.integer({ min: 0, max: 6 }), (values, reach) => {
    const out = smooth(values, 2 * reach + 1);
    assert.equal(out.length, values.length);
    assert.ok(Math.abs(out[0] - values[0]) < ROUNDING);
    assert.ok(Math.abs(out.at(-1)! - values.at(-1)!) < ROUNDING);
    for (const value of out) {
      assert.ok(value >= Math.min(...values) - ROUNDING && value <= Math.max(...values) + ROUNDING);
    }
    const line = values.map((_, i) => 3 * i - 1);
    smooth(line, 2 * reach + 1).forEach((v, i) => assert.ok(Math.abs(v - line[i]) < ROUNDING));
  }));
  assert.deepEqual(smooth([1, NaN, 3], 3), [1, NaN, 3]);
});

Deno.test("smooth() refuses a width that is not a positive odd integer", () => {
  for (const width of [0, 2, -1, 1.5, NaN]) {
    assert.throws(() => smooth([1], width), { name: "RangeError", message: /width is/ });
  }
});
