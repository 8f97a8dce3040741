import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { discreteSchedule, epsDenoiser, vDenoiser, vTime } from "../../lib/diffusion/external.ts";
import { preconditioned } from "../../lib/diffusion/preconditioning.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

/** The cumulative product of 1 - beta, beta even from 1e-4 to 0.02, as DDPM has it. */
function ddpm(n: number): number[] {
  let product = 1;
  return Array.from({ length: n }, (_, t) => product *= 1 - (1e-4 + (0.02 - 1e-4) * t / (n - 1)));
}

Deno.test("discreteSchedule() has DDPM's noise levels at both ends", () => {
  const { sigmas } = discreteSchedule(ddpm(1000));
  // sqrt(1e-4 / (1 - 1e-4)), and 157.4 as commonly stated for DDPM with 1,000 steps
  assert.ok(Math.abs(sigmas[0] - 0.0100005) < 1e-7);
  assert.ok(Math.abs(sigmas[999] - 157.407) < 1e-2, `${sigmas[999]}`);
});

Deno.test("discreteSchedule() times and levels are inverse to each other", () => {
  const schedule = discreteSchedule(ddpm(50)),
    rounded = discreteSchedule(ddpm(50), { quantize: true });
  fc.assert(fc.property(fc.double({ min: 0, max: 49, noNaN: true }), (t) => {
    assert.ok(Math.abs(schedule.timeOfSigma(schedule.sigmaAtTime(t)) - t) < 1e-9);
    const whole = rounded.timeOfSigma(schedule.sigmaAtTime(t));
    assert.ok(Number.isInteger(whole) && Math.abs(whole - t) <= 0.5 + 1e-9);
  }));
  assert.equal(schedule.timeOfSigma(1e-9), 0);
  assert.equal(schedule.timeOfSigma(1e9), 49);
});

Deno.test("discreteSchedule() gives falling schedules from its last level to its first, then 0", () => {
  const schedule = discreteSchedule(ddpm(30));
  for (const sigmas of [schedule.schedule(), schedule.schedule(7)]) {
    assert.ok(Math.abs(sigmas[0] - schedule.sigmas[29]) < 1e-12);
    assert.ok(Math.abs(sigmas.at(-2)! - schedule.sigmas[0]) < 1e-12);
    assert.equal(sigmas.at(-1), 0);
    for (let i = 1; i < sigmas.length; i++) assert.ok(sigmas[i] < sigmas[i - 1]);
  }
  assert.equal(schedule.schedule().length, 31);
  assert.throws(() => discreteSchedule([0.5, 0.9]), /must fall within/);
});

Deno.test("vDenoiser() is EDM's preconditioning at sigmaData 1 with the sign of F turned", () => {
  const x = tf.tensor4d([0.3, -2, 1, 0.1], [2, 1, 2, 1]), sigma = tf.tensor1d([0.2, 3]);
  const model = (z: tf.Tensor4D) => z.sin() as tf.Tensor4D;
  const v = vDenoiser(model)(x, sigma).dataSync();
  const negative = preconditioned((z) => model(z).neg(), { kind: "edm", sigmaData: 1 });
  const edm = negative(x, sigma).dataSync();
  v.forEach((value, i) => assert.ok(Math.abs(value - edm[i]) < 1e-6));
  assert.ok(Math.abs(vTime(tf.tensor1d([1])).dataSync()[0] - 0.5) < 1e-7);
});

Deno.test("epsDenoiser() takes away the predicted noise and passes the model its time", async () => {
  const schedule = discreteSchedule(ddpm(20)), seen: number[] = [];
  const noise = tf.tensor4d([1, -1], [1, 1, 2, 1]);
  const denoiser = epsDenoiser((_, t) => {
    seen.push(t.dataSync()[0]);
    return noise.clone();
  }, schedule);
  const level = schedule.sigmas[7];
  const x = tf.tensor4d([0.25 + level, 0.5 - level], [1, 1, 2, 1]);
  const out = (await denoiser(x, tf.tensor1d([level]))).dataSync();
  assert.ok(Math.abs(out[0] - 0.25) < 1e-6 && Math.abs(out[1] - 0.5) < 1e-6);
  assert.ok(Math.abs(seen[0] - 7) < 1e-5);
});
