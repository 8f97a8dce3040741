import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { logLikelihood } from "../../lib/diffusion/log_likelihood.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { gaussianDenoiser, gaussianFlow } from "./gaussian.ts";

await setEngine("cpu");

Deno.test("logLikelihood() of Gaussian data is the density of its flow's end times the Jacobian", async () => {
  const data = { mean: 0.3, deviation: 0.5 }, sigmaMin = 0.01, sigmaMax = 50;
  const values = [0.3, 0.9, -0.4, 1.2];
  const found = await logLikelihood(
    gaussianDenoiser<tf.Rank.R2>(data),
    tf.tensor2d(values, [2, 2]),
    { sigmaMin, sigmaMax, v: tf.tensor2d([1, -1, 1, 1], [2, 2]), atol: 1e-6, rtol: 1e-6 },
  );
  // Exactly: the end of the flow scored under N(0, sigmaMax^2), times the flow's Jacobian
  const density = (x: number) => {
    const end = gaussianFlow(x, { ...data, from: sigmaMin, to: sigmaMax });
    const jacobian = gaussianFlow(x + 1, { ...data, from: sigmaMin, to: sigmaMax }) - end;
    return -(end ** 2) / (2 * sigmaMax ** 2) - Math.log(2 * Math.PI * sigmaMax ** 2) / 2 +
      Math.log(jacobian);
  };
  for (const b of [0, 1]) {
    const want = density(values[2 * b]) + density(values[2 * b + 1]);
    assert.ok(Math.abs(found.logLikelihood[b] - want) < 1e-3, `${found.logLikelihood[b]}, ${want}`);
  }
  assert.ok(found.calls < 400, `${found.calls} calls`);
});

Deno.test("logLikelihood() refuses a range that is empty", async () => {
  const x = tf.zeros([1, 1]) as tf.Tensor2D;
  const run = (sigmaMin: number, sigmaMax: number) =>
    logLikelihood(gaussianDenoiser<tf.Rank.R2>({ mean: 0, deviation: 1 }), x, {
      sigmaMin,
      sigmaMax,
      v: x,
    });
  await assert.rejects(run(1, 1), /sigmaMin is 1, sigmaMax is 1/);
  await assert.rejects(run(NaN, 1), RangeError);
});
