import assert from "node:assert/strict";
import fc from "fast-check";
import type * as tf from "@tensorflow/tfjs";
import { brownianNoise } from "../../lib/diffusion/brownian.ts";
import { seededNormals } from "../../lib/diffusion/noise.ts";
import { type Sampler, sampleWith } from "../../lib/diffusion/samplers/sampler.ts";
import { exponentialSchedule } from "../../lib/diffusion/schedules.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { gaussianDenoiser, logSlope } from "./gaussian.ts";

await setEngine("cpu");

type Interval = { sigma: number; sigmaNext: number };

/** The noise of an interval, from a source that has drawn nothing before. */
async function drawn(at: Interval, { seeds, each }: { seeds: number[]; each: number }) {
  const noise = await brownianNoise<tf.Rank.R2>({ seeds, shape: [seeds.length, each] })({
    call: 0,
    ...at,
  });
  const values = Float64Array.from(await noise.data());
  noise.dispose();
  return values;
}
/** Levels on whole ticks, so that lengths are exact. */
const level = (tick: number) => 2 ** (tick / 2048);
const correlation = (a: Float64Array, b: Float64Array) =>
  a.reduce((sum, v, i) => sum + v * b[i], 0) / a.length;
const N = 20_000;
/** Five standard errors of a mean square over N draws. */
const WITHIN = 5 * Math.sqrt(2 / N);

Deno.test("brownianNoise() over adjoining intervals adds up to that over both", async () => {
  const ticks = fc.uniqueArray(fc.integer({ min: -20_000, max: 20_000 }), {
    minLength: 3,
    maxLength: 3,
  }).map((all) => all.sort((a, b) => b - a));
  await fc.assert(
    fc.asyncProperty(ticks, fc.nat(), async ([a, b, c], seed) => {
      const increment = async (from: number, to: number) => {
        const at = { sigma: level(from), sigmaNext: level(to) };
        return (await drawn(at, { seeds: [seed], each: 3 })).map((v) => v * Math.sqrt(from - to));
      };
      const [first, second] = [await increment(a, b), await increment(b, c)];
      (await increment(a, c)).forEach((both, i) => {
        const error = Math.abs(first[i] + second[i] - both);
        assert.ok(error < 1e-6 * Math.sqrt(a - c) * 8, `${error}`); // float32 in the source
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("brownianNoise() is standard normal over any interval and independent over disjoint ones", async () => {
  const draws = { seeds: [5], each: N };
  const intervals: Interval[] = [
    { sigma: 160, sigmaNext: 143 },
    { sigma: 143, sigmaNext: 5 },
    { sigma: 5, sigmaNext: 4.9 },
    { sigma: 0.0151, sigmaNext: 0.01 },
    { sigma: 0.01, sigmaNext: 0 },
  ];
  const all: Awaited<ReturnType<typeof drawn>>[] = [];
  for (const at of intervals) all.push(await drawn(at, draws));
  for (const [i, a] of all.entries()) {
    for (const [j, b] of all.entries()) {
      const want = i === j ? 1 : 0, found: number = correlation(a, b);
      assert.ok(Math.abs(found - want) < WITHIN, `${i} with ${j}: ${found}`);
    }
    const fourth = a.reduce((sum, v) => sum + v ** 4, 0) / N; // 3 for a normal distribution
    assert.ok(Math.abs(fourth - 3) < 5 * Math.sqrt(96 / N), `${i}: ${fourth}`);
  }
});

Deno.test("brownianNoise() over overlapping intervals correlates by their common part", async () => {
  const draws = { seeds: [2], each: N };
  const a = await drawn({ sigma: level(4000), sigmaNext: level(1000) }, draws);
  const b = await drawn({ sigma: level(2000), sigmaNext: level(-2000) }, draws);
  const want = 1000 / Math.sqrt(3000 * 4000), found = correlation(a, b);
  assert.ok(Math.abs(found - want) < WITHIN, `${found} is not ${want}`);
});

Deno.test("brownianNoise() depends on a sample's own seed alone, in any batch and after any draws", async () => {
  const at = { sigma: 3, sigmaNext: 2 };
  const both = await drawn(at, { seeds: [7, 9], each: 4 });
  assert.deepEqual(await drawn(at, { seeds: [9], each: 4 }), both.slice(4));
  const noise = brownianNoise<tf.Rank.R2>({ seeds: [7, 9], shape: [2, 4] });
  for (const [sigma, sigmaNext] of [[40, 3], [0.5, 0.1], [9, 3]]) {
    (await noise({ call: 0, sigma, sigmaNext })).dispose();
  }
  const later = await noise({ call: 3, ...at });
  assert.deepEqual(Float64Array.from(later.dataSync()), both);
  assert.throws(() => brownianNoise({ seeds: [1], shape: [2, 4] }), /there are 1 seeds/);
  assert.throws(() => noise({ call: 4, sigma: 1, sigmaNext: 0.99999 }), /exceed 2\^-11 octaves/);
});

const stochastic: [Sampler, order: number][] = [
  [{ kind: "euler-ancestral" }, 1],
  [{ kind: "dpmpp-2m-sde" }, 1],
  [{ kind: "dpmpp-3m-sde" }, 1],
];
for (const [sampler, order] of stochastic) {
  Deno.test(`brownianNoise() makes ${sampler.kind} converge for one seed as steps grow`, async () => {
    const seeds = [3], shape = [1, 4, 4, 2];
    const denoiser = gaussianDenoiser<tf.Rank.R4>({ mean: 0.3, deviation: 0.5 });
    const sample = async (steps: number) => {
      const sigmas = exponentialSchedule(steps + 1, { sigmaMin: 0.125, sigmaMax: 8 }).slice(0, -1);
      const start = seededNormals({ seeds, stream: "start", counter: 0, shape }).mul(8);
      const noise = brownianNoise({ seeds, shape });
      const x = start as tf.Tensor4D;
      const out = await sampleWith(denoiser, x, { sampler, sigmas, noise });
      return Float64Array.from(await out.data());
    };
    const exact = await sample(1536), counts = [24, 48, 96, 192];
    const errors = [];
    for (const n of counts) {
      const square = (await sample(n)).reduce((sum, v, i) => sum + (v - exact[i]) ** 2, 0);
      errors.push(Math.sqrt(square / exact.length));
    }
    const slope = -logSlope(counts, errors);
    assert.ok(Math.abs(slope - order) < 0.3, `slope ${slope}, errors ${errors}`);
  });
}
