import assert from "node:assert/strict";
import fc from "fast-check";
import {
  noiseLevels,
  resolutionShift,
  type Schedule,
  scheduleKinds,
  shiftSchedule,
} from "../../lib/diffusion/noise_levels.ts";
import {
  exponentialSchedule,
  karrasSchedule,
  polyexponentialSchedule,
  vpParameters,
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

Deno.test("vpParameters() of the continuous process's own range are its own", () => {
  const sigmas = vpSchedule(9), range = { sigmaMin: sigmas[8], sigmaMax: sigmas[0] };
  const { betaD, betaMin, epsS } = vpParameters(range);
  assert.ok(Math.abs(betaD - 19.9) < 1e-9 && betaMin === 0.1 && Math.abs(epsS - 1e-3) < 1e-9);
  assert.throws(
    () => vpParameters({ sigmaMin: 0.1, sigmaMax: 0.3 }),
    /above 0\.324: sigmaMax is 0\.3/,
  );
});

Deno.test("noiseLevels() of every kind fall from sigmaMax to sigmaMin, then 0, all times the shift", () => {
  const schedules = fc.constantFrom<Schedule>(...scheduleKinds.map((kind) => ({ kind })));
  const shifts = fc.double({ min: 0.2, max: 8, noNaN: true });
  fc.assert(fc.property(schedules, counts, range, shifts, (schedule, n, r, shift) => {
    const sigmas = noiseLevels(n, { schedule, ...r, shift });
    assert.equal(sigmas.length, n + 1);
    const near = (a: number, b: number) =>
      assert.ok(Math.abs(a - b) <= 1e-9 * b, `${a} is not ${b}`);
    near(sigmas[0], shift * r.sigmaMax);
    near(sigmas[n - 1], shift * r.sigmaMin);
    assert.equal(sigmas[n], 0);
    assertFalls(sigmas);
  }));
});

Deno.test("shiftSchedule() is Stable Diffusion 3's shift in the time of flow matching", () => {
  const time = (s: number) => s / (1 + s);
  fc.assert(fc.property(range, fc.double({ min: 0.2, max: 8, noNaN: true }), (r, shift) => {
    const sigmas = karrasSchedule(8, r);
    shiftSchedule(sigmas, shift).forEach((s, i) => {
      const t = time(sigmas[i]);
      assert.ok(Math.abs(time(s) - shift * t / (1 + (shift - 1) * t)) < 1e-12);
    });
  }));
  assert.throws(() => shiftSchedule([1], 0), /shift is 0/);
  assert.throws(() => shiftSchedule([1], NaN), RangeError);
});

Deno.test("resolutionShift() keeps the noise of an average over blocks of pixels", () => {
  assert.equal(resolutionShift([64, 64], [256, 256]), 4);
  assert.equal(resolutionShift([64, 32], [128, 64]), 2);
  // the paper samples 256 px from sigma 160 and 1024 px from 640
  assert.equal(160 * resolutionShift([256, 256], [1024, 1024]), 640);
});

Deno.test("schedules refuse ranges and counts that make no sense", () => {
  assert.throws(() => karrasSchedule(0, { sigmaMin: 1, sigmaMax: 2 }), /n is 0/);
  assert.throws(() => karrasSchedule(2.5, { sigmaMin: 1, sigmaMax: 2 }), /n is 2.5/);
  assert.throws(() => karrasSchedule(5, { sigmaMin: 0, sigmaMax: 2 }), /sigmaMin is 0/);
  assert.throws(() => exponentialSchedule(5, { sigmaMin: 2, sigmaMax: NaN }), RangeError);
});
