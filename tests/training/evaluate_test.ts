import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../../lib/diffusion/diffusion_model.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { evaluationSigmas, heldOutEvaluator } from "../../lib/training/evaluate.ts";
import { toyModel } from "./toy_model.ts";

await setEngine("cpu");

const images = (n: number) => Float32Array.from({ length: n * 12 }, (_, i) => Math.sin(i));

Deno.test("heldOutEvaluator() scores about 1 for a network that predicts nothing", async () => {
  // The target of EDM's preconditioning has unit variance when the data's deviation is sigmaData.
  const silent: DiffusionModel<Record<string, tf.Tensor>> = {
    ...toyModel() as unknown as DiffusionModel<Record<string, tf.Tensor>>,
    init: () => ({}),
    apply: (_, { x }) => tf.zerosLike(x),
  };
  const evaluator = heldOutEvaluator(silent, { sigmaData: Math.SQRT1_2 }); // of a sine
  const { levels } = await evaluator.evaluate({}, {
    images: images(400),
    size: [2, 3],
    sigmas: [0.05, 0.7, 20],
    batchSize: 64,
  });
  for (const { sigma, mean, standardError } of levels) {
    assert.ok(Math.abs(mean - 1) < 4 * standardError + 0.01, `${sigma}: ${mean}`);
  }
  evaluator.dispose();
});

Deno.test("heldOutEvaluator() gives each image the same loss whatever the batch size", async () => {
  const model = toyModel({ numClasses: 2 }), params = model.init({ seed: 1, stream: "toy" });
  const evaluator = heldOutEvaluator(model);
  const options = { images: images(7), labels: [0, 1, 0, 1, 2, 2, 0], size: [2, 3] as const };
  const run = async (batchSize: number, seed = 0) =>
    (await evaluator.evaluate(params, { ...options, sigmas: evaluationSigmas(3), batchSize, seed }))
      .levels.map((l) => [...l.losses]);
  const whole = await run(7);
  for (const batchSize of [1, 2, 5, 50]) assert.deepEqual(await run(batchSize), whole);
  assert.notDeepEqual(await run(7, 1), whole);
  evaluator.dispose();
});

Deno.test("heldOutEvaluator() leaves no tensors behind and refuses odd inputs", async () => {
  const model = toyModel({ numClasses: 2 }), params = model.init({ seed: 1, stream: "toy" });
  const evaluator = heldOutEvaluator(model);
  const options = { images: images(3), labels: [0, 1, 0], size: [2, 3] as const, sigmas: [1] };
  const before = tf.memory().numTensors;
  await evaluator.evaluate(params, options);
  assert.equal(tf.memory().numTensors, before);
  const { labels: _, ...unlabelled } = options;
  await assert.rejects(evaluator.evaluate(params, unlabelled), /0 labels, 3 images/);
  const odd = { ...options, images: new Float32Array(5) };
  await assert.rejects(evaluator.evaluate(params, odd), /there are 5 numbers/);
});

Deno.test("evaluationSigmas() is even in ln sigma between its ends", () => {
  const sigmas = evaluationSigmas(4, { sigmaMin: 0.01, sigmaMax: 10 });
  [10, 1, 0.1, 0.01].forEach((s, i) => assert.ok(Math.abs(sigmas[i] - s) < 1e-12));
});
