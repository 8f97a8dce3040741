import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import {
  checkGuidance,
  guide,
  guidedDenoise,
  isGuided,
  rescaleGuided,
} from "../../lib/diffusion/guidance.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

/** Two classes, Gaussians at -1 and 1 of deviation d; the null class is their even mixture. */
const d = 0.4;
function mixture(x: tf.Tensor4D, sigma: tf.Tensor1D, { classCond }: { classCond: tf.Tensor1D }) {
  const v = sigma.square().reshape([-1, 1, 1, 1]), total = v.add(d * d);
  const label = classCond.cast("float32").reshape([-1, 1, 1, 1]);
  const both = x.div(total).tanh(); // posterior mean of the centre
  const isNull = label.equal(tf.scalar(2)).cast("float32");
  const centre = isNull.mul(both).add(tf.sub(1, isNull).mul(label.mul(2).sub(1)));
  return x.mul(d * d).add(v.mul(centre)).div(total) as tf.Tensor4D;
}
const inputs = () => ({
  x: tf.tensor4d([0.3, -0.2, 1.1, 0.4], [2, 1, 2, 1]),
  sigma: tf.tensor1d([0.8, 2]),
  labels: tf.tensor1d([0, 1], "int32"),
  nullClass: 2,
});
const numbers = (t: tf.Tensor) => [...t.dataSync()];

Deno.test("guidedDenoise() at scale 1 is the conditional denoiser and at 0 the unconditional one", () => {
  const { x, sigma, labels, nullClass } = inputs();
  const at = (scale: number) =>
    numbers(guidedDenoise(mixture, { ...inputs(), scale: tf.scalar(scale) }));
  const near = (a: number[], b: number[]) =>
    a.forEach((v, i) => assert.ok(Math.abs(v - b[i]) < 1e-6));
  near(at(1), numbers(mixture(x, sigma, { classCond: labels })));
  near(at(0), numbers(mixture(x, sigma, { classCond: tf.fill([2], nullClass, "int32") })));
});

Deno.test("guidedDenoise() at scale w follows the score of p(x) p(c | x)^w", () => {
  // For the mixture, D_c - D_u = s^2 grad ln p(c | x), p(c | x) = sigmoid(2 +-x / total), exactly.
  const { x, sigma, labels } = inputs(), w = 2.5;
  const found = numbers(guidedDenoise(mixture, { ...inputs(), scale: tf.scalar(w) }));
  const xs = numbers(x), levels = numbers(sigma);
  found.forEach((value, i) => {
    const s = levels[i >> 1], sign = labels.dataSync()[i >> 1] === 1 ? 1 : -1;
    const total = s * s + d * d, v = xs[i];
    const score = (mean: number) => (mean - v) / total;
    const posterior = 1 / (1 + Math.exp(-2 * v / total)); // of the class at 1
    const unconditional = posterior * score(1) + (1 - posterior) * score(-1);
    const ofClass = 2 * sign / total * (1 - (sign === 1 ? posterior : 1 - posterior));
    const want = v + s * s * (unconditional + w * ofClass);
    assert.ok(Math.abs(value - want) < 1e-5, `${value} is not ${want}`);
  });
});

Deno.test("guide() is linear between and beyond the two estimates and leaves no tensors behind", () => {
  const conditional = tf.tensor4d([2], [1, 1, 1, 1]),
    unconditional = tf.tensor4d([1], [1, 1, 1, 1]);
  const scale = tf.scalar(3), before = tf.memory().numTensors;
  const out = guide({ conditional, unconditional, scale });
  assert.equal(out.dataSync()[0], 4);
  out.dispose();
  assert.equal(tf.memory().numTensors, before);
});

Deno.test("rescaleGuided() gives the conditional image's contrast at 1, nothing at 0, and is linear between", () => {
  fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (phi) => {
    tf.tidy(() => {
      const conditional = tf.tensor4d([1, 3, 0, -1, 5, 0.5, 2, 2], [2, 2, 2, 1]);
      const guided = tf.tensor4d([4, -2, 7, 0.1, 9, 9, 1, -4], [2, 2, 2, 1]);
      const out = rescaleGuided({ guided, conditional, rescale: tf.scalar(phi) });
      const deviations = (x: tf.Tensor) => [...tf.moments(x, [1, 2, 3]).variance.sqrt().dataSync()];
      const [o, c, g] = [out, conditional, guided].map(deviations);
      o.forEach((found, i) => {
        assert.ok(Math.abs(found - (phi * c[i] + (1 - phi) * g[i])) < 1e-5, `${found}`);
        // a multiple of the guided image
        const [a, b] = [out, guided].map((x) => [...x.dataSync()].slice(4 * i, 4 * i + 4));
        a.forEach((v, j) => assert.ok(Math.abs(v * g[i] - b[j] * found) < 1e-4));
      });
    });
  }));
  const flat = tf.ones([1, 2, 2, 1]) as tf.Tensor4D;
  const same = rescaleGuided({ guided: flat, conditional: flat, rescale: tf.scalar(1) });
  assert.deepEqual(numbers(same), [1, 1, 1, 1]);
});

Deno.test("isGuided() is so above the lower bound up to and with the upper one, and never at scale 1", () => {
  const at = (sigma: number) => isGuided(sigma, { guidanceScale: 2, guidanceInterval: [0.1, 3] });
  assert.deepEqual([0.05, 0.1, 0.11, 3, 3.01].map(at), [false, false, true, true, false]);
  assert.ok(isGuided(1e5, { guidanceScale: 0 }) && !isGuided(1, { guidanceInterval: [0, 9] }));
});

Deno.test("checkGuidance() refuses what is out of range", () => {
  assert.throws(() => checkGuidance({ guidanceScale: NaN }), /guidanceScale is NaN/);
  assert.throws(() => checkGuidance({ guidanceInterval: [2, 1] }), /it is \[2, 1\]/);
  assert.throws(() => checkGuidance({ guidanceInterval: [NaN, 1] }), RangeError);
  assert.throws(() => checkGuidance({ guidanceRescale: 1.5 }), /guidanceRescale is 1\.5/);
  checkGuidance({ guidanceInterval: [0, Infinity] });
});
