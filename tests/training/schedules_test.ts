import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { averagedParams, emaDecay, emaLerp } from "../../lib/training/ema.ts";
import { learningRate } from "../../lib/training/lr_schedules.ts";
import { initNoiseScale, updateNoiseScale } from "../../lib/training/noise_scale.ts";
import { roundToPowerOfTwo } from "../../lib/training/round_to_power_of_two.ts";

await setEngine("cpu");

Deno.test("emaDecay() has the paper's warm-up: 0 first, 0.999 at 10,000 steps, 0.9999 at 215,443", () => {
  const paper = { power: 0.75, maxValue: 0.9999 };
  assert.equal(emaDecay(paper, 0), 0);
  assert.ok(Math.abs(emaDecay(paper, 9999) - 0.999) < 1e-6);
  assert.ok(emaDecay(paper, 215_000) < 0.9999);
  assert.equal(emaDecay(paper, 215_500), 0.9999);
});

Deno.test("emaDecay() never falls and stays within its bounds", () => {
  const step = fc.integer({ min: 0, max: 1e6 });
  const power = fc.double({ min: 0.1, max: 2, noNaN: true });
  fc.assert(fc.property(step, step, power, (a, b, power) => {
    const at = (t: number) => emaDecay({ power, minValue: 0.1, maxValue: 0.99, startAt: 5 }, t);
    assert.ok(at(Math.min(a, b)) <= at(Math.max(a, b)) && at(a) >= 0.1 && at(a) <= 0.99);
  }));
});

Deno.test("emaLerp() takes the value itself at decay 0 and averagedParams() keeps buffers", () => {
  const at = (decay: number) => ({ decay: tf.scalar(decay), rate: tf.scalar(1 - decay) });
  const average = tf.tensor1d([5]), value = tf.tensor1d([0.1]);
  assert.deepEqual(emaLerp(average, value, at(0)).dataSync(), value.dataSync());
  assert.ok(Math.abs(emaLerp(average, value, at(0.9)).dataSync()[0] - 4.51) < 1e-6);
  const params = { w: value, buf: tf.tensor1d([7]) };
  const tree = averagedParams(params, { w: average });
  assert.deepEqual([tree.w, tree.buf], [average, params.buf]);
});

Deno.test("learningRate() warms up to its schedule and does not fall under minLr", () => {
  const step = fc.integer({ min: 0, max: 5000 });
  fc.assert(fc.property(step, (step) => {
    const constant = learningRate({ kind: "constant", warmup: 0.9 }, { base: 2, step });
    assert.ok(constant > 0 && constant <= 2);
    const inverse = { kind: "inverse", invGamma: 10, power: 0.5, minLr: 0.3 } as const;
    const rate = learningRate(inverse, { base: 2, step });
    assert.ok(rate >= 0.3 && Math.abs(rate - Math.max(0.3, 2 / Math.sqrt(1 + step / 10))) < 1e-12);
    const half = { kind: "exponential", numSteps: 100 } as const;
    const [now, later] = [step, step + 100].map((s) => learningRate(half, { base: 2, step: s }));
    assert.ok(Math.abs(later / now - 0.5) < 1e-9); // halves every 100 steps
  }));
  assert.throws(
    () => learningRate({ kind: "constant", warmup: 1 }, { base: 1, step: 0 }),
    /warmup/,
  );
});

Deno.test("learningRate() warms up linearly, and falls along half a cosine to minLr", () => {
  const constant = (step: number) =>
    learningRate({ kind: "constant", warmupSteps: 4 }, { base: 2, step });
  assert.deepEqual([0, 1, 2, 3, 4, 9].map(constant), [0.5, 1, 1.5, 2, 2, 2]);
  const schedule = { kind: "cosine", numSteps: 110, warmupSteps: 10, minLr: 0.2 } as const;
  const at = (step: number) => learningRate(schedule, { base: 1, step });
  assert.deepEqual([at(9), at(10), at(110), at(5000)], [1, 1, 0.2, 0.2]);
  assert.ok(
    Math.abs(at(60) - 0.6) < 1e-12 && Math.abs(at(35) - (0.6 + 0.4 * Math.SQRT1_2)) < 1e-12,
  );
  const step = fc.integer({ min: 10, max: 109 });
  fc.assert(fc.property(step, (step) => {
    assert.ok(at(step + 1) < at(step) && Math.abs(at(step) + at(120 - step) - 1.2) < 1e-12);
  }));
  const wrong = { kind: "cosine", numSteps: 5, warmupSteps: 5 } as const;
  assert.throws(() => learningRate(wrong, { base: 1, step: 0 }), /numSteps is 5, warmupSteps is 5/);
  const negative = { kind: "constant", warmupSteps: -1 } as const;
  assert.throws(() => learningRate(negative, { base: 1, step: 0 }), /warmupSteps is -1/);
});

Deno.test("updateNoiseScale() recovers the noise scale of exact squared norms", () => {
  // E |g_n|^2 = |G|^2 + tr(S) / n
  const [signal, noise] = [0.3, 12], square = (n: number) => signal + noise / n;
  let state = initNoiseScale();
  for (let i = 0; i < 4; i++) {
    const found = updateNoiseScale(state, {
      sqSmall: square(8),
      sqLarge: square(64),
      nSmall: 8,
      nLarge: 64,
      beta: 0.9,
    });
    state = found.state;
    assert.ok(Math.abs(found.noiseScale - noise / signal) < 1e-9);
  }
  const wrong = { sqSmall: 1, sqLarge: 1, nSmall: 8, nLarge: 8 };
  assert.throws(() => updateNoiseScale(state, wrong), /nSmall is 8, nLarge is 8/);
});

Deno.test("roundToPowerOfTwo() stays within its tolerance by the coarsest unit that can", () => {
  fc.assert(fc.property(fc.double({ min: 16, max: 5000, noNaN: true }), (x) => {
    const y = roundToPowerOfTwo(x, 0.05);
    assert.ok(Number.isInteger(y) && Math.abs(y - x) <= 0.05 * x);
  }));
  assert.equal(roundToPowerOfTwo(1365.3, 0.05), 1408); // stored with the reference, a hidden width
  assert.throws(() => roundToPowerOfTwo(NaN, 0.05), /x is NaN/);
});
