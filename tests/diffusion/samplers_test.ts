import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { seededNoise } from "../../lib/diffusion/noise.ts";
import { ancestralStep, combine } from "../../lib/diffusion/samplers/common.ts";
import { sampleDpmAdaptive } from "../../lib/diffusion/samplers/dpm_adaptive.ts";
import { sampleEuler } from "../../lib/diffusion/samplers/euler.ts";
import { lmsWeights } from "../../lib/diffusion/samplers/lms.ts";
import {
  addsNoise,
  denoiserCalls,
  type Sampler,
  sampleWith,
} from "../../lib/diffusion/samplers/sampler.ts";
import { karrasSchedule } from "../../lib/diffusion/schedules.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { counted, gaussianDenoiser, gaussianFlow, logSlope } from "./gaussian.ts";

await setEngine("cpu");

const data = { mean: 0.3, deviation: 0.5 };
const values = [2.7, -3.1, 0.9];
const image = () => tf.tensor4d(values, [1, 1, 3, 1]);

/** Levels even in ln s, after short first steps that keep low-order starts from showing. */
function levels(n: number, { from, to, start }: { from: number; to: number; start: number[] }) {
  const whole = Math.log(from / to), h = whole / n;
  const times = start.reduce((t, power) => [...t, t.at(-1)! + h ** power], [0]);
  const begun = times.at(-1)!, rest = Math.round((whole - begun) / h);
  for (let i = 1; i <= rest; i++) times.push(begun + (whole - begun) * i / rest);
  return times.map((t) => from * Math.exp(-t));
}

async function errorOf(sampler: Sampler, sigmas: number[]): Promise<number> {
  const x = image();
  const out = await sampleWith(gaussianDenoiser<tf.Rank.R4>(data), x, { sampler, sigmas });
  const found = await out.data();
  const span = { ...data, from: sigmas[0], to: sigmas.at(-1)! };
  tf.dispose([x, out]);
  return Math.max(...values.map((v, i) => Math.abs(found[i] - gaussianFlow(v, span))));
}

// Kept above float32's rounding, some 1e-6. `from` and `to` avoid chance cancellations of two error terms.
const wide = { from: 2, to: 0.2, start: [] as number[], counts: [12, 18, 27, 40] };
const orders: [Sampler, number, Partial<typeof wide>][] = [
  [{ kind: "euler" }, 1, {}],
  [{ kind: "euler-ancestral", eta: 0 }, 1, {}],
  [{ kind: "heun" }, 2, {}],
  [{ kind: "dpm-2" }, 2, {}],
  [{ kind: "dpm-2-ancestral", eta: 0 }, 2, {}],
  [{ kind: "dpmpp-2s-ancestral", eta: 0 }, 2, {}],
  [{ kind: "dpmpp-sde", eta: 0 }, 2, {}],
  [{ kind: "dpmpp-2m" }, 2, { from: 4, to: 0.4 }],
  [{ kind: "dpmpp-2m-sde", eta: 0 }, 2, { from: 4, to: 0.4 }],
  [{ kind: "dpmpp-2m-sde", eta: 0, solver: "heun" }, 2, { from: 4, to: 1 }],
  // The reference's 3M halves the second difference, which leaves it at second order.
  [{ kind: "dpmpp-3m-sde", eta: 0 }, 2, { from: 4, to: 1, start: [1.5] }],
  [{ kind: "dpmpp-3m-sde", eta: 0, curvature: "exact" }, 3, { from: 4, to: 0.4, start: [1.5] }],
  [{ kind: "lms", order: 1 }, 1, {}],
  [{ kind: "lms", order: 2 }, 2, {}],
  [{ kind: "lms", order: 3 }, 3, { start: [1.5] }],
  [{ kind: "lms", order: 4 }, 4, { start: [2, 4 / 3] }],
  // Its remainder steps are of order 1 and 2, so that the whole is of second order.
  [{ kind: "dpm-fast" }, 2, { counts: [10, 13, 19, 25, 37] }],
];
const ORDER_TOLERANCE = 0.4;
for (const [sampler, order, where] of orders) {
  const name = Object.values(sampler).join(" ");
  Deno.test(`sampleWith() by ${name} converges with order ${order} on Gaussian data`, async () => {
    const { counts, ...range } = { ...wide, ...where };
    const errors: number[] = [];
    for (const n of counts) errors.push(await errorOf(sampler, levels(n, range)));
    const slope = -logSlope(counts, errors);
    assert.ok(Math.abs(slope - order) < ORDER_TOLERANCE, `slope ${slope}, errors ${errors}`);
  });
}

const everyKind: Sampler[] = [
  { kind: "euler" },
  { kind: "heun" },
  { kind: "dpm-2" },
  { kind: "euler-ancestral" },
  { kind: "dpm-2-ancestral" },
  { kind: "lms" },
  { kind: "dpm-fast", eta: 1 },
  { kind: "dpm-adaptive" },
  { kind: "dpmpp-2s-ancestral" },
  { kind: "dpmpp-sde" },
  { kind: "dpmpp-2m" },
  { kind: "dpmpp-2m-sde" },
  { kind: "dpmpp-3m-sde" },
];

Deno.test("sampleWith() gives samples of the data's mean and deviation by every sampler", async () => {
  // 4,000 draws: standard errors of mean and deviation are 0.008 and 0.006; the steps add some bias.
  const seeds = [0], shape = [1, 4000];
  const sigmas = karrasSchedule(60, { sigmaMin: 0.02, sigmaMax: 20 });
  for (const sampler of everyKind) {
    const noise = seededNoise<tf.Rank.R2>({ seeds, shape });
    const start = (await noise({ call: 1000, sigma: 0, sigmaNext: 0 })).mul(20) as tf.Tensor2D;
    const out = await sampleWith(gaussianDenoiser<tf.Rank.R2>(data), start, {
      sampler,
      sigmas,
      noise,
    });
    const { mean, variance } = tf.moments(out);
    const [m, d] = [mean.dataSync()[0], Math.sqrt(variance.dataSync()[0])];
    assert.ok(Math.abs(m - data.mean) < 0.05, `${sampler.kind}: mean ${m}`);
    assert.ok(Math.abs(d - data.deviation) < 0.05, `${sampler.kind}: deviation ${d}`);
  }
});

Deno.test("denoiserCalls() counts what each sampler calls", async () => {
  const sigmas = karrasSchedule(9, { sigmaMin: 0.05, sigmaMax: 10 });
  const noise = seededNoise({ seeds: [0], shape: [1, 1, 3, 1] });
  for (const sampler of everyKind) {
    const { denoiser, calls } = counted(gaussianDenoiser<tf.Rank.R4>(data));
    await sampleWith(denoiser, image(), { sampler, sigmas, noise });
    const expected = denoiserCalls(sampler, 9);
    if (sampler.kind !== "dpm-adaptive") assert.equal(calls.length, expected, sampler.kind);
    else assert.ok(Number.isNaN(expected) && calls.length > 0);
  }
});

Deno.test("addsNoise() is so just where a sampler draws some", async () => {
  const sigmas = karrasSchedule(5, { sigmaMin: 0.05, sigmaMax: 10 });
  const quiet: Sampler[] = orders.map(([sampler]) => sampler);
  for (const sampler of [...everyKind, ...quiet, { kind: "heun", sChurn: 2 } as const]) {
    let draws = 0;
    const from = seededNoise({ seeds: [0], shape: [1, 1, 3, 1] });
    const noise: typeof from = (at) => (draws++, from(at));
    await sampleWith(gaussianDenoiser<tf.Rank.R4>(data), image(), { sampler, sigmas, noise });
    assert.equal(addsNoise(sampler), draws > 0, JSON.stringify(sampler));
  }
});

Deno.test("sampleWith() leaves no tensors behind, by every sampler", async () => {
  const sigmas = karrasSchedule(5, { sigmaMin: 0.05, sigmaMax: 10 });
  const noise = seededNoise({ seeds: [0], shape: [1, 1, 3, 1] });
  const x = image();
  for (const sampler of everyKind) {
    const before = tf.memory().numTensors;
    for (let i = 0; i < 2; i++) {
      const denoiser = gaussianDenoiser<tf.Rank.R4>(data);
      (await sampleWith(denoiser, x, { sampler, sigmas, noise })).dispose();
    }
    assert.equal(tf.memory().numTensors, before, sampler.kind);
  }
});

Deno.test("ancestralStep() keeps down^2 + up^2 = sigmaNext^2, between the ODE and full noise", () => {
  const level = fc.double({ min: 0.01, max: 10, noNaN: true });
  fc.assert(
    fc.property(level, fc.double({ min: 0, max: 1, noNaN: true }), level, (to, eta, gap) => {
      const { down, up } = ancestralStep(to + gap, to, eta);
      assert.ok(Math.abs(down ** 2 + up ** 2 - to ** 2) < 1e-9 * to ** 2);
      assert.ok(down >= 0 && up >= 0);
      if (eta === 0) assert.deepEqual({ down, up }, { down: to, up: 0 });
      // At eta 1, down = sigmaNext^2 / sigma: the posterior of DDPM
      const full = ancestralStep(to + gap, to, 1).down;
      assert.ok(Math.abs(full - to ** 2 / (to + gap)) < 1e-6 * to);
    }),
  );
  assert.deepEqual(ancestralStep(3, 0, 1), { down: 0, up: 0 });
});

Deno.test("lmsWeights() sum to the step and integrate polynomials of lower degree exactly", () => {
  const falling = fc.array(fc.double({ min: 0.1, max: 1, noNaN: true }), {
    minLength: 5,
    maxLength: 5,
  }).map((gaps) => gaps.reduceRight((all, gap) => [all[0] + gap, ...all], [0.1]));
  fc.assert(fc.property(falling, fc.integer({ min: 1, max: 4 }), (sigmas, order) => {
    const i = 3, weights = lmsWeights(sigmas, i, order);
    for (let degree = 0; degree < order; degree++) {
      const exact = (sigmas[i + 1] ** (degree + 1) - sigmas[i] ** (degree + 1)) / (degree + 1);
      const found = weights.reduce((sum, w, j) => sum + w * sigmas[i - j] ** degree, 0);
      assert.ok(Math.abs(found - exact) < 1e-7 * (1 + Math.abs(exact)), `${found}, ${exact}`);
    }
  }));
  assert.throws(() => lmsWeights([3, 2, 1], 1, 3), /order is 3, i is 1/);
});

Deno.test("sampleDpmAdaptive() takes more steps for a smaller tolerance and gets nearer", async () => {
  const run = async (rtol: number) => {
    const { x, info } = await sampleDpmAdaptive(gaussianDenoiser<tf.Rank.R4>(data), image(), {
      sigmaMin: 0.2,
      sigmaMax: 4,
      rtol,
      atol: rtol / 6,
    });
    const want = values.map((v) => gaussianFlow(v, { ...data, from: 4, to: 0.2 }));
    const found = await x.data();
    return { error: Math.max(...want.map((w, i) => Math.abs(w - found[i]))), ...info };
  };
  const loose = await run(0.3), tight = await run(0.003);
  assert.ok(tight.calls > loose.calls && tight.error < loose.error && tight.error < 2e-3);
  assert.equal(tight.steps, tight.accepted + tight.rejected);
});

Deno.test("combine() is the weighted sum and leaves out zero weights, NaN terms with them", async () => {
  const a = tf.tensor1d([1, 2]), b = tf.tensor1d([10, NaN]);
  assert.deepEqual([...await (await combine([2, a], [0, b])).data()], [2, 4]);
  assert.deepEqual([...await (await combine([0, a], [0, b])).data()], [0, 0]);
  const same = await combine([1, a]);
  assert.notEqual(same, a); // the caller owns it
});

Deno.test("sampleEuler() sees its callback at every step and stops when aborted", async () => {
  const sigmas = karrasSchedule(6, { sigmaMin: 0.1, sigmaMax: 5 }), abort = new AbortController();
  const seen: number[] = [];
  const run = sampleEuler(gaussianDenoiser<tf.Rank.R4>(data), image(), {
    sigmas,
    signal: abort.signal,
    callback: ({ step, sigma, sigmaHat }) => {
      assert.equal(sigma, sigmaHat);
      seen.push(step);
      if (step === 2) abort.abort(new RangeError("Stopped by the test"));
    },
  });
  await assert.rejects(run, /Stopped by the test/);
  assert.deepEqual(seen, [0, 1, 2]);
});

Deno.test("samplers refuse levels that do not fall and noise that is missing", async () => {
  const denoiser = gaussianDenoiser<tf.Rank.R4>(data);
  const run = (sigmas: number[], sampler: Sampler = { kind: "euler" }) =>
    sampleWith(denoiser, image(), { sampler, sigmas });
  await assert.rejects(run([1]), /at least 2 noise levels/);
  await assert.rejects(run([1, 2]), /level 1 is 2, the one before is 1/);
  await assert.rejects(run([1, NaN]), RangeError);
  await assert.rejects(run([0, 0]), RangeError);
  await assert.rejects(run([2, 1], { kind: "dpmpp-3m-sde" }), /pass noise/);
  await assert.rejects(run([2, 0], { kind: "dpm-adaptive", rtol: NaN }), RangeError);
});
