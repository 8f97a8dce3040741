import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { adamw, type AdamWOptions, adamwStep } from "../../lib/training/adamw.ts";
import { clipFactor, globalNorm } from "../../lib/training/clip.ts";

await setEngine("cpu");

/** AdamW as torch's documentation states it, in double precision, for one number. */
function plainAdamW(p: number, gradients: number[], o: AdamWOptions & { decays: boolean }): number {
  let m = 0, v = 0;
  gradients.forEach((g, i) => {
    if (o.decays) p -= o.lr * o.weightDecay * p;
    m = o.betas[0] * m + (1 - o.betas[0]) * g;
    v = o.betas[1] * v + (1 - o.betas[1]) * g * g;
    const mHat = m / (1 - o.betas[0] ** (i + 1)), vHat = v / (1 - o.betas[1] ** (i + 1));
    p -= o.lr * mHat / (Math.sqrt(vHat) + o.eps);
  });
  return p;
}

function ours(p: number, gradients: number[], o: AdamWOptions & { decays: boolean }): number {
  return tf.tidy(() => {
    let leaf = { param: tf.tensor([p]), m: tf.tensor([0]), v: tf.tensor([0]) };
    gradients.forEach((g, step) => {
      const { size, epsilon, keep } = adamwStep(o, { step, decays: o.decays });
      const grad = tf.tensor([g]);
      leaf = adamw({ ...leaf, grad, square: grad.square() }, {
        betas: o.betas,
        scale: tf.scalar(1 - o.betas[0]),
        scaleSquared: tf.scalar(1 - o.betas[1]),
        size: tf.scalar(size),
        epsilon: tf.scalar(epsilon),
        keep: o.decays ? tf.scalar(keep) : undefined,
      }) as typeof leaf;
    });
    return leaf.param.dataSync()[0];
  });
}

Deno.test("adamw() agrees with the textbook update over many steps", () => {
  const gradient = fc.double({ min: -2, max: 2, noNaN: true }).filter((g) => Math.abs(g) > 1e-3);
  fc.assert(fc.property(
    fc.double({ min: -3, max: 3, noNaN: true }),
    fc.array(gradient, { minLength: 1, maxLength: 12 }),
    fc.constantFrom<readonly [number, number]>([0.9, 0.95], [0.9, 0.999], [0, 0.5]),
    fc.boolean(),
    (p, gradients, betas, decays) => {
      const o = { lr: 0.01, betas, eps: 1e-3, weightDecay: 0.1, decays };
      const [a, b] = [ours(p, gradients, o), plainAdamW(p, gradients, o)];
      assert.ok(Math.abs(a - b) < 1e-5 * (1 + Math.abs(p)), `${a} is not ${b}`);
    },
  ));
});

Deno.test("adamw() moves a parameter by the learning rate on its first step, whatever the gradient", () => {
  const o = { lr: 0.25, betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0, decays: false } as const;
  for (const g of [1e-3, 5, -700]) {
    assert.ok(Math.abs(ours(1, [g], o) - (1 - 0.25 * Math.sign(g))) < 1e-6);
  }
});

Deno.test("adamwStep() scales learning rate and decay together, as torch's parameter groups do", () => {
  const o: AdamWOptions = { lr: 0.3, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.5 };
  const whole = adamwStep(o, { step: 4 }), third = adamwStep(o, { step: 4, lrScale: 1 / 3 });
  assert.ok(Math.abs(third.size * 3 - whole.size) < 1e-15);
  assert.ok(Math.abs(third.keep - (1 - 0.1 * 0.5)) < 1e-15);
  assert.equal(adamwStep(o, { step: 4, decays: false }).keep, 1);
});

Deno.test("clipFactor() brings a larger norm to maxNorm and leaves a smaller one, as torch does", () => {
  const factor = (norm: number, maxNorm = 1) => clipFactor(tf.scalar(norm), maxNorm).dataSync()[0];
  assert.equal(factor(0.25), 1);
  assert.equal(factor(0), 1);
  assert.ok(Math.abs(factor(4) - 1 / (4 + 1e-6)) < 1e-7);
  assert.ok(Math.abs(factor(1) - 1 / (1 + 1e-6)) < 1e-7); // torch's 1e-6 shows at the limit
  assert.ok(Number.isNaN(factor(NaN)));
  assert.throws(() => factor(1, 0), /maxNorm is 0/);
});

Deno.test("globalNorm() is the norm of all numbers together", () => {
  const squares = [tf.tensor1d([9, 16]), tf.tensor2d([[144]])];
  assert.equal(globalNorm(squares).dataSync()[0], 13);
});
