import assert from "node:assert/strict";
import { errorOf } from "./metrics.ts";

Deno.test("errorOf() measures as each metric says", () => {
  const a = [1, 2, 5], b = [1, 2, 4];
  assert.equal(errorOf(a, b, "max_abs"), 1);
  assert.equal(errorOf(a, b, "exact"), 1);
  assert.equal(errorOf(a, b, "max_rel"), 1 / 4);
  assert.ok(Math.abs(errorOf(a, b, "max_abs_over_rms") - 1 / Math.sqrt(7)) < 1e-12);
  assert.ok(Math.abs(errorOf(a, b, "update_rel_l2") - 1 / Math.sqrt(21)) < 1e-12);
});

Deno.test("errorOf() never passes NaN, and takes zeros and infinities as they are", () => {
  assert.ok(Number.isNaN(errorOf([1, NaN, 9], [1, 2, 3], "max_abs")));
  assert.equal(errorOf([Infinity, 0], [Infinity, 0], "max_rel"), 0);
  assert.equal(errorOf([0.5], [0], "max_abs_over_rms"), 0.5);
  assert.throws(() => errorOf([1], [1, 2], "exact"), /equal lengths: 1 and 2/);
});
