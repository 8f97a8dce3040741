import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { dct2, dctMatrix, frequencyWeights } from "../../lib/diffusion/dct.ts";
import { denoisingLoss } from "../../lib/diffusion/loss.ts";
import {
  preconditioned,
  type Prediction,
  scalingsAt,
} from "../../lib/diffusion/preconditioning.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

const model = (x: tf.Tensor4D) => x.mul(0.7).sin() as tf.Tensor4D;
function batch() {
  const shape: [number, number, number, number] = [3, 4, 6, 2];
  const n = 3 * 4 * 6 * 2;
  return {
    images: tf.tensor4d(Float32Array.from({ length: n }, (_, i) => Math.sin(i)), shape),
    noise: tf.tensor4d(Float32Array.from({ length: n }, (_, i) => Math.cos(3 * i)), shape),
    sigma: tf.tensor1d([0.1, 1, 7]),
  };
}

Deno.test("dctMatrix() is orthonormal", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), (n) => {
    const m = dctMatrix(n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < n; b++) {
        let dot = 0;
        for (let i = 0; i < n; i++) dot += m[a * n + i] * m[b * n + i];
        assert.ok(Math.abs(dot - (a === b ? 1 : 0)) < 1e-5, `row ${a} with ${b}: ${dot}`);
      }
    }
  }));
});

Deno.test("dct2() keeps the norm and puts a constant image into one coefficient", () => {
  const x = tf.ones([1, 3, 5, 2]) as tf.Tensor4D;
  const y = dct2(x), values = y.dataSync();
  assert.ok(
    Math.abs(values[0] - Math.sqrt(15)) < 1e-5 && Math.abs(values[1] - Math.sqrt(15)) < 1e-5,
  );
  assert.ok(values.slice(2).every((v) => Math.abs(v) < 1e-5));
});

Deno.test("frequencyWeights() falls along both axes from log2(2 n), at most the cap", () => {
  const [H, W] = [5, 8], free = frequencyWeights([H, W], 0), capped = frequencyWeights([H, W], 2);
  assert.ok(Math.abs(free[0] - Math.log2(10)) < 1e-6); // the smaller of the axes
  assert.ok(Math.abs(free[H * W - 1] - 1) < 1e-6);
  free.forEach((w, i) => assert.ok(Math.abs(capped[i] - Math.min(w, 2)) < 1e-6));
});

Deno.test("denoisingLoss() is the weighted error of the denoised image, by the weighting's own definition", () => {
  // soft-min-snr weighs the image error by 1 / (s^2 + d^2), an independent path through D.
  const { images, noise, sigma } = batch(), sigmaData = 0.5;
  const loss = denoisingLoss(model, { images, noise, sigma }, {
    sigmaData,
    weighting: { kind: "soft-min-snr" },
  }).dataSync();
  const noisy = images.add(noise.mul(sigma.reshape([3, 1, 1, 1]))) as tf.Tensor4D;
  const denoised = preconditioned(model, { kind: "edm", sigmaData })(noisy, sigma);
  const error = denoised.sub(images).square().mean([1, 2, 3]).dataSync();
  const s = sigma.dataSync();
  loss.forEach((l, i) => {
    const want = error[i] / (s[i] ** 2 + sigmaData ** 2);
    assert.ok(Math.abs(l - want) < 1e-4 * want, `${l} is not ${want}`);
  });
});

const predictions: Prediction[] = ["edm", "x", "eps", "v"];

Deno.test("denoisingLoss() is w(s) times the error of the denoised image, whatever is predicted", () => {
  const { images, noise, sigma } = batch(), sigmaData = 0.7;
  const noisy = images.add(noise.mul(sigma.reshape([3, 1, 1, 1]))) as tf.Tensor4D;
  for (const prediction of predictions) {
    const options = { sigmaData, weighting: { kind: "snr" }, prediction } as const;
    const loss = denoisingLoss(model, { images, noise, sigma }, options).dataSync();
    const denoised = preconditioned(model, { kind: prediction, sigmaData })(noisy, sigma);
    const error = denoised.sub(images).square().mean([1, 2, 3]).dataSync();
    sigma.dataSync().forEach((s, i) => {
      const want = error[i] / s ** 2;
      assert.ok(Math.abs(loss[i] - want) < 1e-4 * want, `${prediction}: ${loss[i]} is not ${want}`);
    });
  }
});

for (const kind of predictions) {
  Deno.test(`denoisingLoss() is 0 for the network that predicts its target, ${kind}`, () =>
    isZeroForItsTarget(kind));
}

function isZeroForItsTarget(kind: Prediction): void {
  const { images, noise, sigma } = batch(), sigmaData = 0.5, s = sigma.dataSync();
  const weights = Array.from(s, (v) => scalingsAt(v, { kind, sigmaData }));
  const column = (f: (w: typeof weights[0], i: number) => number) =>
    tf.tensor4d(weights.map(f), [3, 1, 1, 1]);
  const perfect = () =>
    images.mul(column((w) => (1 - w.cSkip) / w.cOut))
      .sub(noise.mul(column((w, i) => w.cSkip * s[i] / w.cOut))) as tf.Tensor4D;
  for (const scales of [1, 0, 3]) {
    const loss = denoisingLoss(perfect, { images, noise, sigma }, {
      sigmaData,
      weighting: { kind: "soft-min-snr" },
      scales,
      prediction: kind,
    });
    assert.ok(loss.dataSync().every((l) => l < 1e-9), `${loss.dataSync()}`);
  }
}

Deno.test("denoisingLoss() has a gradient through the multi-scale weights that matches central differences", () => {
  const { images, noise, sigma } = batch();
  const f = (w: tf.Tensor) =>
    denoisingLoss((x) => x.mul(w).sin() as tf.Tensor4D, { images, noise, sigma }, {
      sigmaData: 0.5,
      weighting: { kind: "soft-min-snr" },
      scales: 2,
    }).mean() as tf.Scalar;
  const slope = tf.grad(f)(tf.scalar(0.7)).dataSync()[0], h = 1e-2;
  const difference = (f(tf.scalar(0.7 + h)).dataSync()[0] - f(tf.scalar(0.7 - h)).dataSync()[0]) /
    (2 * h);
  assert.ok(Math.abs(slope - difference) < 1e-3 * Math.max(1, Math.abs(slope)), `${slope}`);
});
