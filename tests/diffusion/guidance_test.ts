import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { guide, guidedDenoise } from "../../lib/diffusion/guidance.ts";
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
