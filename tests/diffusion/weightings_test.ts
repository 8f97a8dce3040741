import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { type Prediction, scalingsAt } from "../../lib/diffusion/preconditioning.ts";
import { lossWeight, type Weighting } from "../../lib/diffusion/weightings.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

const at = (sigma: number, weighting: Weighting, sigmaData: number, prediction?: Prediction) =>
  tf.tidy(() =>
    lossWeight(tf.tensor1d([sigma]), { weighting, sigmaData, prediction }).dataSync()[0]
  );
const close = (a: number, b: number) =>
  // a few roundings of float32
  assert.ok(Math.abs(a - b) <= 1e-5 * Math.abs(b), `${a} is not ${b}`);
const level = fc.double({ min: -2, max: 2, noNaN: true }).map((e) => 10 ** e);

Deno.test("lossWeight() has the soft-min-snr values of the reference at sigmaData 1/2", () => {
  // Computed from the reference's formula, (s d)^2 / (s^2 + d^2)^2.
  const known = [[0.01, 3.9968e-4], [0.1, 0.0369822], [0.5, 0.25], [1, 0.16], [10, 0.00248755]];
  for (const [sigma, want] of known) close(at(sigma, { kind: "soft-min-snr" }, 0.5), want);
});

Deno.test("lossWeight() over cOut^2 is the weight of the image error that each kind states", () => {
  const deviation = fc.double({ min: 0.2, max: 2, noNaN: true });
  const predictions = fc.constantFrom<Prediction[]>("edm", "x", "eps", "v");
  fc.assert(fc.property(level, deviation, predictions, (s, d, prediction) => {
    const { cOut } = scalingsAt(s, { kind: prediction, sigmaData: d });
    const onImage = (w: Weighting) => at(s, w, d, prediction) / cOut ** 2;
    close(onImage({ kind: "unit" }), 1);
    close(onImage({ kind: "snr" }), 1 / s ** 2);
    close(onImage({ kind: "karras" }), (s * s + d * d) / (s * d) ** 2);
    close(onImage({ kind: "min-snr", gamma: 5 }), Math.min(1 / s ** 2, 5));
    close(onImage({ kind: "soft-min-snr", gamma: 5 }), 1 / (s ** 2 + 0.2));
    close(onImage({ kind: "soft-min-snr" }), 1 / (s ** 2 + d ** 2));
    const logSnr = -2 * Math.log(s);
    close(onImage({ kind: "sigmoid", bias: -1.5 }), 1 / (1 + Math.exp(logSnr + 1.5)) / s ** 2);
  }));
});

Deno.test("lossWeight() soft-min-snr is symmetric in ln sigma about sigmaData and at most 1/4", () => {
  fc.assert(fc.property(level, fc.double({ min: 0.2, max: 2, noNaN: true }), (ratio, d) => {
    const w: Weighting = { kind: "soft-min-snr" };
    close(at(d * ratio, w, d), at(d / ratio, w, d));
    assert.ok(at(d * ratio, w, d) <= 0.25 + 1e-7);
  }));
});

Deno.test("lossWeight() soft-min-snr lies between half of min-snr and min-snr", () => {
  fc.assert(fc.property(level, fc.double({ min: 0.5, max: 20, noNaN: true }), (s, gamma) => {
    const hard = at(s, { kind: "min-snr", gamma }, 0.5);
    const soft = at(s, { kind: "soft-min-snr", gamma }, 0.5);
    assert.ok(soft <= hard * (1 + 1e-5) && soft >= hard / 2 * (1 - 1e-5));
  }));
});

Deno.test("lossWeight() refuses a gamma that is not positive", () => {
  for (const gamma of [0, -1, NaN, Infinity]) {
    assert.throws(() => at(1, { kind: "soft-min-snr", gamma }, 0.5), /gamma must be a positive/);
    assert.throws(() => at(1, { kind: "min-snr", gamma }, 0.5), RangeError);
  }
  for (const bias of [NaN, Infinity]) {
    assert.throws(() => at(1, { kind: "sigmoid", bias }, 0.5), RangeError);
  }
});
