import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { type DiffusionModel, hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { seededNormals } from "../../lib/diffusion/noise.ts";
import { imageSampler, sampleImages } from "../../lib/diffusion/sample.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import { presets } from "../../lib/models/presets.ts";

/** F of the exact denoiser for data N(mean, sigmaData^2), mean by class: then D needs no network. */
function gaussianModel(means: number[]): DiffusionModel<Record<string, tf.Tensor>> {
  const numClasses = means.length - 1;
  return {
    config: { means },
    channels: 1,
    numClasses,
    check: () => {},
    init: () => ({ means: tf.tensor1d(means) }),
    isBuffer: () => false,
    paramGroup: () => ({ lrScale: 1, weightDecay: false }),
    // D = (d^2 x + s^2 mean) / (s^2 + d^2) = cSkip x + cOut F, so F = s mean / (d sqrt(s^2 + d^2))
    apply: (params, { x, sigma, cond }) => {
      const mean = cond.classCond
        ? tf.gather(params.means, cond.classCond.toInt())
        : params.means.slice([0], [1]);
      const f = sigma.mul(mean).mul(2).mul(sigma.square().add(0.25).rsqrt());
      return f.reshape([-1, 1, 1, 1]).mul(tf.onesLike(x)) as tf.Tensor4D;
    },
  };
}

Deno.test("imageSampler() samples each class's own mean and the data's deviation", async () => {
  await setEngine("cpu");
  const model = gaussianModel([-2, 3, 0]), params = model.init({ seed: 0, stream: "" });
  const sampler = imageSampler(model, { sigmaData: 0.5 });
  const out = await sampler.sample(params, { size: [40, 40], n: 3, steps: 40, labels: [0, 1, 2] });
  [-2, 3, 0].forEach((mean, i) => {
    const x = out.subarray(i * 1600, (i + 1) * 1600);
    const m = x.reduce((a, b) => a + b, 0) / 1600;
    const d = Math.sqrt(x.reduce((a, b) => a + (b - m) ** 2, 0) / 1600);
    // 1,600 draws: standard errors of 0.013 and 0.009; the mean keeps x_T's, of 160 / 40, over 160
    assert.ok(Math.abs(m - mean) < 0.06 && Math.abs(d - 0.5) < 0.05, `${m}, ${d}`);
  });
  sampler.dispose();
});

Deno.test("imageSampler() gives a seed the same image whatever the batch and the number", async () => {
  await setEngine("cpu");
  const model = gaussianModel([1, 0]), params = model.init({ seed: 0, stream: "" });
  const sampler = imageSampler(model);
  const run = (n: number, batchSize: number, seed: number) =>
    sampler.sample(params, { size: [2, 2], n, batchSize, seed, steps: 6, guidanceScale: 2 });
  const all = await run(5, 5, 10);
  for (const batchSize of [1, 2, 3, 16]) assert.deepEqual(await run(5, batchSize, 10), all);
  assert.deepEqual(await run(2, 1, 13), all.slice(12));
  sampler.dispose();
});

Deno.test("imageSampler() guides away from the null class by the scale", async () => {
  await setEngine("cpu");
  // D_u + w (D_c - D_u) of two Gaussians of one deviation is the Gaussian at mean_u + w (mean_c - mean_u).
  const model = gaussianModel([1, 0]), params = model.init({ seed: 0, stream: "" });
  const direct = gaussianModel([2.5, 0]), shifted = direct.init({ seed: 0, stream: "" });
  const [a, b] = [imageSampler(model), imageSampler(direct)];
  const options = { size: [2, 2] as const, n: 1, steps: 10 };
  const guided = await a.sample(params, { ...options, guidanceScale: 2.5 });
  const plain = await b.sample(shifted, options);
  guided.forEach((x, i) => assert.ok(Math.abs(x - plain[i]) < 1e-4, `${x}, ${plain[i]}`));
  a.dispose();
  b.dispose();
});

Deno.test("imageSampler() with Brownian noise draws nearly the same image in more steps", async () => {
  await setEngine("cpu");
  const model = gaussianModel([1]), params = model.init({ seed: 0, stream: "" });
  const sampler = imageSampler(model);
  const options = { size: [4, 4], n: 2, sampler: { kind: "dpmpp-2m-sde" } } as const;
  const difference = async (noise: "brownian" | "independent", counts: [number, number]) => {
    const [a, b] = await Promise.all(
      counts.map((steps) => sampler.sample(params, { ...options, noise, steps })),
    );
    return Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0) / a.length);
  };
  const coarse = await difference("brownian", [20, 40]),
    fine = await difference("brownian", [80, 160]);
  const other = await difference("independent", [80, 160]);
  assert.ok(coarse < 0.25 && fine < coarse / 2.5, `${coarse}, ${fine}`);
  assert.ok(other > 0.4, `${other}`); // of images with a deviation of 0.5
  sampler.dispose();
});

Deno.test("imageSampler() leaves no tensors behind", async () => {
  await setEngine("cpu");
  const model = gaussianModel([1, 0]), params = model.init({ seed: 0, stream: "" });
  const sampler = imageSampler(model), before = tf.memory().numTensors;
  await sampler.sample(params, { size: [2, 2], n: 3, batchSize: 2, steps: 4, guidanceScale: 2 });
  assert.equal(tf.memory().numTensors, before);
  sampler.dispose();
});

Deno.test("imageSampler() runs the real model on the default engine, traced once, one forward pass a step", async () => {
  await setEngine("onnxruntime");
  const spec = presets.smoke, model = hditModel(spec);
  const params = model.init({ seed: 1, stream: "init" });
  const sampler = imageSampler(model), steps: number[] = [];
  const run = (batchSize: number) =>
    sampler.sample(params, {
      size: [16, 16],
      n: 3,
      batchSize,
      steps: 5,
      onStep: ({ step, steps: all, batch, batches }) => {
        assert.deepEqual([all, batches], [5, Math.ceil(3 / batchSize)]);
        steps.push(batch * 5 + step);
      },
    });
  const whole = await run(3);
  assert.deepEqual(steps, [0, 1, 2, 3, 4]);
  const { calls, traces } = sampler.stats.plain;
  assert.deepEqual({ calls, traces }, { calls: 5, traces: 1 });
  assert.ok(whole.every(Number.isFinite) && whole.length === 3 * 16 * 16 * spec.inChannels);
  // The same seeds in other batches agree to the rounding of the matrix products
  (await run(2)).forEach((x, i) => assert.ok(Math.abs(x - whole[i]) < 1e-4));
  const once = await sampleImages({ params, spec, size: [16, 16], n: 3, batchSize: 3, steps: 5 });
  assert.deepEqual(once, whole);
  sampler.dispose();
  treeDispose(params);
});

Deno.test("imageSampler() refuses what it cannot sample", async () => {
  await setEngine("cpu");
  const conditional = imageSampler(gaussianModel([1, 0])), plain = imageSampler(gaussianModel([1]));
  const params = { means: tf.tensor1d([1, 0]) }, size = [2, 2] as const;
  await assert.rejects(plain.sample(params, { size, n: 0 }), /n is 0/);
  await assert.rejects(plain.sample(params, { size, n: 1, labels: [0] }), /unconditional/);
  await assert.rejects(plain.sample(params, { size, n: 1, guidanceScale: 2 }), /numClasses is 0/);
  await assert.rejects(conditional.sample(params, { size, n: 2, labels: [0] }), /1, not 2/);
  await assert.rejects(conditional.sample(params, { size, n: 1, labels: [2] }), /class 2/);
  await assert.rejects(conditional.sample(params, { size, n: 2, seeds: [1] }), /a seed a sample/);
  assert.throws(
    () => seededNormals({ seeds: [1], stream: "a", counter: 0, shape: [2, 1] }),
    /there are 1 seeds/,
  );
});
