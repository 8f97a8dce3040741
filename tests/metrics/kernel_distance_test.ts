import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import {
  kernelDistance,
  polynomialKernel,
  roundHalfToEven,
  squaredMmd,
} from "../../lib/metrics/kernel_distance.ts";

function sample(
  { n, d = 4, seed, shift = 0 }: { n: number; d?: number; seed: number; shift?: number },
) {
  const z = normals({ seed, stream: "tests/kernel" }, 0, n * d);
  return ndarray(Float64Array.from(z, (v) => v + shift), [n, d]);
}

Deno.test("polynomialKernel() is (x · y / D + 1)³", () => {
  const x = ndarray(Float64Array.of(1, 2, 0, 0), [2, 2]),
    y = ndarray(Float64Array.of(3, 4), [1, 2]);
  assert.deepEqual([...polynomialKernel(x, y)], [(11 / 2 + 1) ** 3, 1]);
});

Deno.test("squaredMmd() of three and two numbers is the sum by hand", () => {
  const x = ndarray(Float64Array.of(0, 1, 2), [3, 1]), y = ndarray(Float64Array.of(1, 3), [2, 1]);
  const k = (a: number, b: number) => (a * b + 1) ** 3;
  const within = (k(0, 1) + k(0, 2) + k(1, 2)) / 3;
  const across = (k(0, 1) + k(0, 3) + k(1, 1) + k(1, 3) + k(2, 1) + k(2, 3)) / 6;
  assert.ok(Math.abs(squaredMmd(x, y) - (within + k(1, 3) - 2 * across)) < 1e-9);
});

Deno.test("squaredMmd() is symmetric", () => {
  fc.assert(fc.property(fc.nat(1e6), fc.integer({ min: 2, max: 9 }), (seed, n) => {
    const x = sample({ n, seed }), y = sample({ n: n + 3, seed: seed + 1, shift: 0.5 });
    const value = squaredMmd(x, y);
    assert.ok(Math.abs(value - squaredMmd(y, x)) < 1e-9 * (1 + Math.abs(value)));
  }));
});

Deno.test("kernelDistance() has no bias: its mean over draws from one source is 0", () => {
  const draws = 400;
  const values = Array.from(
    { length: draws },
    (_, i) => kernelDistance(sample({ n: 8, seed: 2 * i }), sample({ n: 8, seed: 2 * i + 1 })),
  );
  const mean = values.reduce((s, v) => s + v, 0) / draws;
  const error = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0)) / draws;
  assert.ok(Math.abs(mean) < 4 * error, `${mean} with a standard error of ${error}`);
  const apart = kernelDistance(sample({ n: 60, seed: 1 }), sample({ n: 60, seed: 2, shift: 1 }));
  assert.ok(apart > 1);
});

Deno.test("kernelDistance() is the mean over parts that are cut by rounding half to even", () => {
  const x = sample({ n: 25, seed: 1 }), y = sample({ n: 18, seed: 2, shift: 0.2 });
  const rows = (a: typeof x, from: number, to: number) => a.lo(from, 0).hi(to - from, 4);
  // 2 parts of 25: cut at 12.5, so at 12; of 18: at 9
  const parts = [
    squaredMmd(rows(x, 0, 12), rows(y, 0, 9)),
    squaredMmd(rows(x, 12, 25), rows(y, 9, 18)),
  ];
  const got = kernelDistance(x, y, { maxSize: 13 });
  assert.ok(Math.abs(got - (parts[0] + parts[1]) / 2) < 1e-12);
  assert.throws(() => kernelDistance(x, y, { maxSize: NaN }), /maxSize is NaN/);
});

Deno.test("roundHalfToEven() rounds as Python does", () => {
  const pairs = [[0.5, 0], [1.5, 2], [2.5, 2], [3.5, 4], [2.4, 2], [2.6, 3], [12.5, 12], [-0.5, 0]];
  for (const [x, expected] of pairs) assert.equal(roundHalfToEven(x) + 0, expected);
});
