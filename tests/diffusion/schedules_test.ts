import assert from "node:assert/strict";
import fc from "fast-check";
import {
  exponentialSchedule,
  karrasSchedule,
  polyexponentialSchedule,
  vpSchedule,
} from "../../lib/diffusion/schedules.ts";

const range = fc.tuple(
  fc.double({ min: 1e-3, max: 0.5, noNaN: true }),
  fc.double({ min: 1, max: 200, noNaN: true }),
).map(([sigmaMin, sigmaMax]) => ({ sigmaMin, sigmaMax }));
const counts = fc.integer({ min: 2, max: 60 });

function assertFalls(sigmas: number[]): void {
  for (let i = 1; i < sigmas.length; i++) assert.ok(sigmas[i] < sigmas[i - 1], `at ${i}`);
}

Deno.test("karrasSchedule() has the reference's 50 steps from 160 to 0.01", () => {
  const sigmas = karrasSchedule(50, { sigmaMin: 0.01, sigmaMax: 160 });
  assert.ok(Math.abs(sigmas[1] - 143.642) < 5e-4);
  assert.ok(Math.abs(sigmas[48] - 0.0151307) < 5e-8);
});

Deno.test("schedules fall strictly, with exact ends and an appended 0", () => {
  fc.assert(fc.property(counts, range, fc.double({ min: 1, max: 9, noNaN: true }), (n, r, rho) => {
    for (
      const sigmas of [
        karrasSchedule(n, { ...r, rho }),
        exponentialSchedule(n, r),
        polyexponentialSchedule(n, { ...r, rho }),
      ]
    ) {
      assert.equal(sigmas.length, n + 1);
      assert.deepEqual([sigmas[0], sigmas[n - 1], sigmas[n]], [r.sigmaMax, r.sigmaMin, 0]);
      assertFalls(sigmas);
    }
  }));
});

Deno.test("exponentialSchedule() has a constant ratio; karrasSchedule() with rho 1 a constant step", () => {
  fc.assert(fc.property(fc.integer({ min: 3, max: 30 }), range, (n, r) => {
    const e = exponentialSchedule(n, r), k = karrasSchedule(n, { ...r, rho: 1 });
    for (let i = 2; i < n; i++) {
      assert.ok(Math.abs(e[i] / e[i - 1] - e[1] / e[0]) < 1e-9);
      assert.ok(Math.abs((k[i] - k[i - 1]) - (k[1] - k[0])) < 1e-9 * r.sigmaMax);
    }
  }));
});

Deno.test("vpSchedule() begins at sqrt(exp(betaD / 2 + betaMin) - 1) and falls", () => {
  const sigmas = vpSchedule(20);
  assert.ok(Math.abs(sigmas[0] - Math.sqrt(Math.exp(10.05) - 1)) < 1e-9);
  assertFalls(sigmas);
});

Deno.test("schedules refuse ranges and counts that make no sense", () => {
  assert.throws(() => karrasSchedule(0, { sigmaMin: 1, sigmaMax: 2 }), /n is 0/);
  assert.throws(() => karrasSchedule(2.5, { sigmaMin: 1, sigmaMax: 2 }), /n is 2.5/);
  assert.throws(() => karrasSchedule(5, { sigmaMin: 0, sigmaMax: 2 }), /sigmaMin is 0/);
  assert.throws(() => exponentialSchedule(5, { sigmaMin: 2, sigmaMax: NaN }), RangeError);
});
