import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../../lib/diffusion/diffusion_model.ts";
import type { Guidance } from "../../lib/diffusion/guidance.ts";
import { modelDenoiser } from "../../lib/diffusion/model_denoiser.ts";
import { imageSampler } from "../../lib/diffusion/sample.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

// Classes 0 and 1 are Gaussians at -1 and 1; the null class, number 2, is their even mixture.
const SIGMA_DATA = 0.8;
type Params = { deviation: tf.Scalar };

/** A model whose denoiser is the exact one, by predicting the image. */
function mixtureModel(numClasses: 0 | 2): DiffusionModel<Params> {
  return {
    config: {},
    channels: 1,
    numClasses,
    prediction: "x",
    check: () => {},
    init: () => ({ deviation: tf.scalar(0.4) }),
    isBuffer: () => false,
    paramGroup: () => ({ lrScale: 1, weightDecay: false }),
    apply: ({ deviation }, { x: scaled, sigma, cond }) => {
      const level = sigma.square().reshape([-1, 1, 1, 1]), d2 = deviation.square();
      const x = scaled.mul(level.add(SIGMA_DATA ** 2).sqrt()), total = level.add(d2);
      const both = x.div(total).tanh(); // posterior mean of the centre
      const label = (cond.classCond ?? tf.fill([x.shape[0]], 2, "int32")).reshape([-1, 1, 1, 1]);
      const centre = tf.where(label.equal(2), both, label.cast("float32").mul(2).sub(1));
      return x.mul(d2).add(level.mul(centre)).div(total) as tf.Tensor4D;
    },
  };
}
const classes = mixtureModel(2), params = { deviation: tf.scalar(0.4) };
const weak = { model: classes, params: { deviation: tf.scalar(0.9) } };

/** Scores of the noisy data: of the class at `sign`, or of the mixture. */
function scores(x: number, { s, d }: { s: number; d: number }) {
  const total = s * s + d * d, at = (mean: number) => (mean - x) / total;
  const upper = 1 / (1 + Math.exp(-2 * x / total)); // posterior of the class at 1
  return { ofClass: at, ofMixture: upper * at(1) + (1 - upper) * at(-1) };
}
const S = 0.7, XS = [-0.9, 0.2, 1.4, 0.6];

async function denoised(
  denoiser: ReturnType<typeof modelDenoiser<Params>>,
  guidance: Guidance,
  labels: number[] | undefined = [1, 0],
) {
  const given = labels && tf.tensor1d(labels, "int32");
  const x = tf.tensor4d(XS, [2, 1, 2, 1]), sigma = tf.tensor1d([S, S]);
  const out = await denoiser.of(params, { labels: given, guidance })(x, sigma);
  return [...out.dataSync()];
}
const near = (found: number[], want: number[]) =>
  found.forEach((v, i) => assert.ok(Math.abs(v - want[i]) < 1e-5, `${found} is not ${want}`));

Deno.test("modelDenoiser() with classifier-free guidance follows w grad ln p(x | c) + (1 - w) grad ln p(x)", async () => {
  using denoiser = disposable(modelDenoiser(classes, { sigmaData: SIGMA_DATA }));
  const w = 2.5;
  const want = XS.map((x, i) => {
    const { ofClass, ofMixture } = scores(x, { s: S, d: 0.4 });
    return x + S * S * (w * ofClass(i < 2 ? 1 : -1) + (1 - w) * ofMixture);
  });
  near(await denoised(denoiser, { guidanceScale: w }), want);
});

Deno.test("modelDenoiser() with a guide follows w grad ln p(x | c) + (1 - w) grad ln of the guide's", async () => {
  using denoiser = disposable(modelDenoiser(classes, { sigmaData: SIGMA_DATA, guide: weak }));
  const w = 1.8;
  const want = XS.map((x, i) => {
    const sign = i < 2 ? 1 : -1;
    const strong = scores(x, { s: S, d: 0.4 }), weaker = scores(x, { s: S, d: 0.9 });
    return x + S * S * (w * strong.ofClass(sign) + (1 - w) * weaker.ofClass(sign));
  });
  near(await denoised(denoiser, { guidanceScale: w }), want);
});

Deno.test("modelDenoiser() takes a guide without classes as the unconditional estimate", async () => {
  const guide = { model: mixtureModel(0), params };
  using external = disposable(modelDenoiser(classes, { sigmaData: SIGMA_DATA, guide }));
  using own = disposable(modelDenoiser(classes, { sigmaData: SIGMA_DATA }));
  for (const guidanceRescale of [0, 0.7]) {
    const guidance = { guidanceScale: 3, guidanceRescale };
    near(await denoised(external, guidance), await denoised(own, guidance));
  }
  // and unconditional models are guided by one another
  using plain = disposable(modelDenoiser(mixtureModel(0), { sigmaData: SIGMA_DATA, guide }));
  near(
    await denoised(plain, { guidanceScale: 3 }, undefined),
    await denoised(own, {}, [2, 2]), // by itself: none
  );
});

Deno.test("modelDenoiser() rescales guided images to the contrast of the conditional ones", async () => {
  using denoiser = disposable(modelDenoiser(classes, { sigmaData: SIGMA_DATA }));
  const [plain, guided, rescaled] = [
    await denoised(denoiser, {}),
    await denoised(denoiser, { guidanceScale: 4 }),
    await denoised(denoiser, { guidanceScale: 4, guidanceRescale: 1 }),
  ];
  // of two pixels, the standard deviation is half their difference
  for (const i of [0, 2]) {
    const ratio = (plain[i] - plain[i + 1]) / (guided[i] - guided[i + 1]);
    near(rescaled.slice(i, i + 2), guided.slice(i, i + 2).map((v) => v * Math.abs(ratio)));
  }
});

Deno.test("imageSampler() outside the guidance interval is the plain sampler, at the cost of plain calls", async () => {
  const sampler = imageSampler(classes, { sigmaData: SIGMA_DATA });
  const run = (guidance: Guidance) =>
    sampler.sample(params, {
      size: [2, 2],
      n: 3,
      sampler: { kind: "heun" },
      sigmas: [8, 4, 2, 1, 0.5, 0],
      ...guidance,
    });
  const plain = await run({});
  assert.deepEqual(await run({ guidanceScale: 3, guidanceInterval: [8, 20] }), plain);
  assert.deepEqual(await run({ guidanceScale: 3, guidanceInterval: [0, 0.4] }), plain);
  assert.equal(sampler.stats.guided.calls, 0);
  const everywhere = await run({ guidanceScale: 3 });
  assert.deepEqual(await run({ guidanceScale: 3, guidanceInterval: [0.4, 8] }), everywhere);
  const { plain: { calls: before } } = sampler.stats, guidedBefore = sampler.stats.guided.calls;
  const some = await run({ guidanceScale: 3, guidanceInterval: [1, 4] });
  // Heun: calls at 8 4, 4 2, 2 1, 1 0.5, 0.5; those at 4 and 2 are guided
  assert.equal(sampler.stats.guided.calls - guidedBefore, 4);
  assert.equal(sampler.stats.plain.calls - before, 5);
  assert.notDeepEqual(some, plain);
  assert.notDeepEqual(some, everywhere);
  sampler.dispose();
});

Deno.test("imageSampler() compiles each kind of call once, whatever the scales", async () => {
  await setEngine("onnxruntime");
  const strong = { deviation: tf.scalar(0.4) };
  const guide = { model: classes, params: { deviation: tf.scalar(0.9) } };
  const sampler = imageSampler(classes, { sigmaData: SIGMA_DATA, guide });
  const before = tf.memory().numTensors;
  for (const guidanceScale of [1, 1.5, 2.5]) {
    const options = { size: [2, 2], n: 2, steps: 4, guidanceScale, guidanceRescale: 0.5 } as const;
    const out = await sampler.sample(strong, options);
    assert.ok(out.every(Number.isFinite));
  }
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual([sampler.stats.plain.traces, sampler.stats.guided.traces], [1, 1]);
  sampler.dispose();
  await setEngine("cpu");
});

Deno.test("modelDenoiser() refuses a guide of other classes or channels", () => {
  const guideOf = (change: Partial<DiffusionModel<Params>>) =>
    modelDenoiser(classes, { sigmaData: 1, guide: { model: { ...classes, ...change }, params } });
  assert.throws(() => guideOf({ numClasses: 3 }), /it has 3, the model 2/);
  assert.throws(() => guideOf({ channels: 3 }), /it has 3, the model 1/);
});

function disposable<T extends { dispose(): void }>(of: T): T & Disposable {
  return Object.assign(of, { [Symbol.dispose]: () => of.dispose() });
}
