import assert from "node:assert/strict";
import ndarray from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import { type Features, frechetDistance } from "../../lib/metrics/frechet.ts";
import { jackknife } from "../../lib/metrics/jackknife.ts";

function column(n: number, { seed = 1, d = 1 } = {}): Features {
  return ndarray(Float64Array.from(normals({ seed, stream: "tests/jackknife" }, 0, n * d)), [n, d]);
}
const rows = (x: Features) => Array.from({ length: x.shape[0] }, (_, i) => x.get(i, 0));
const mean = (x: Features) => rows(x).reduce((s, v) => s + v, 0) / x.shape[0];

Deno.test("jackknife() of a mean has no bias, and its standard error is near s / √N", () => {
  const errors = Array.from({ length: 40 }, (_, seed) => {
    const { bias, standardError } = jackknife(column(200, { seed }), { distance: mean, seed });
    assert.ok(Math.abs(bias) < 1e-10);
    return standardError;
  });
  const typical = Math.sqrt(errors.reduce((s, e) => s + e * e, 0) / errors.length);
  // 40 estimates of a variance with 19 degrees of freedom: 5 % each way for one standard deviation
  assert.ok(Math.abs(typical * Math.sqrt(200) - 1) < 0.15, `${typical * Math.sqrt(200)}`);
});

Deno.test("jackknife() finds the bias of a squared mean, variance / N", () => {
  const x = column(60), m = mean(x);
  const variance = rows(x).reduce((s, v) => s + (v - m) ** 2, 0) / 59;
  const { bias } = jackknife(x, { distance: (y) => mean(y) ** 2, groups: 30, seed: 0 });
  assert.ok(bias > 0.3 * variance / 60 && bias < 3 * variance / 60, `${bias}, ${variance / 60}`);
});

Deno.test("jackknife() covers the expected distance about as often as it says", () => {
  // Fréchet distance of one dimension to N(0, 1) with its finite-sample mean, over fresh draws
  const reference = column(2000, { seed: 999, d: 2 });
  const distance = (x: Features) => frechetDistance(x, reference);
  const intervals = Array.from({ length: 60 }, (_, seed) => {
    const data = Float64Array.from(normals({ seed, stream: "tests/coverage" }, 0, 160 * 2));
    const shifted = ndarray(data.map((v) => v + 1), [160, 2]);
    return jackknife(shifted, { distance, seed });
  });
  const expected = intervals.reduce((s, { value }) => s + value, 0) / 60;
  const covered = intervals.filter(({ low, high }) => low <= expected && expected <= high).length;
  assert.ok(covered >= 51, `${covered} of 60`); // 57 expected, standard deviation 1.7
});

Deno.test("jackknife() is the same for the same seed, and keeps the lower end at least", () => {
  const x = column(40), distance = (y: Features) => mean(y) ** 2;
  assert.deepEqual(
    jackknife(x, { distance, seed: 3, groups: 10 }),
    jackknife(x, { distance, seed: 3, groups: 10 }),
  );
  assert.ok(jackknife(x, { distance, seed: 3, groups: 10, least: 0 }).low >= 0);
  assert.throws(() => jackknife(x, { distance, seed: 0, groups: 21 }), /groups is 21, N is 40/);
});
