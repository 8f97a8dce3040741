import * as tf from "@tensorflow/tfjs";
import type { Prediction } from "./preconditioning.ts";

/**
 * How much each noise level counts in the loss.
 *
 * Each is given by its weight on the squared error of the clean image, w(s); the loss is taken on the
 * network's own output, where the weight is w(s) cOut(s)^2:
 *
 * - `karras`: w = (s^2 + d^2) / (s d)^2, so that the weight on EDM's output is 1 (EDM, Table 1);
 * - `snr`: w = 1 / s^2, the plain noise-prediction loss;
 * - `min-snr`: w = min(1 / s^2, gamma) (paper, Eq. 4);
 * - `soft-min-snr`: w = 1 / (s^2 + 1 / gamma) (paper, Eq. 5); gamma is d^-2 unless given, which is 4 at
 *   d = 0.5;
 * - `sigmoid`: w = sigmoid(bias - logSnr) / s^2 with logSnr = -2 ln s, the weighting of "Simpler
 *   Diffusion" (SiD2; Hoogeboom et al. 2024). It is `soft-min-snr` with gamma = e^bias;
 * - `unit`: w = 1, the plain image-prediction loss.
 */
export type Weighting =
  | { kind: "karras" }
  | { kind: "snr" }
  | { kind: "min-snr"; gamma: number }
  | { kind: "soft-min-snr"; gamma?: number }
  | { kind: "sigmoid"; bias: number }
  | { kind: "unit" };

/**
 * Weight of the squared error of the network's output at each noise level, w(s) cOut(s)^2.
 *
 * `sigma` is [B], and so is the result; cOut is that of `prediction`, `edm` unless given.
 * Throws a RangeError when gamma is not positive, or bias not a number.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { setEngine } from "../engine/engine.ts";
 *
 * await setEngine("cpu");
 * const w = lossWeight(tf.tensor1d([0.5]), { weighting: { kind: "soft-min-snr" }, sigmaData: 0.5 });
 * assert.equal(w.dataSync()[0], 0.25); // its maximum
 * ```
 */
export function lossWeight(
  sigma: tf.Tensor1D,
  { weighting, sigmaData, prediction = "edm" }: {
    weighting: Weighting;
    sigmaData: number;
    prediction?: Prediction | undefined;
  },
): tf.Tensor1D {
  const d2 = sigmaData * sigmaData;
  return tf.tidy(() => {
    const weight = edmWeight(sigma, weighting, d2);
    const s2 = sigma.square(), variance = s2.add(d2); // [B]
    switch (prediction) { // times cOut^2 over that of edm, s^2 d^2 / (s^2 + d^2)
      case "edm":
      case "v":
        return weight;
      case "x":
        return weight.mul(variance).div(s2.mul(d2));
      case "eps":
        return weight.mul(variance).div(d2);
    }
  }) as tf.Tensor1D;
}

/** The weight on EDM's output. */
function edmWeight(sigma: tf.Tensor1D, weighting: Weighting, d2: number): tf.Tensor {
  const s2 = sigma.square(); // [B]
  const variance = s2.add(d2);
  switch (weighting.kind) {
    case "karras":
      return tf.onesLike(sigma);
    case "snr":
      return tf.div(d2, variance);
    case "min-snr": // min(1 / s^2, gamma) s^2 d^2 / (s^2 + d^2)
      return tf.minimum(s2.mul(checkGamma(weighting.gamma)), 1).mul(d2).div(variance);
    case "soft-min-snr":
      return s2.mul(d2).div(variance).div(s2.add(1 / checkGamma(weighting.gamma ?? 1 / d2)));
    case "sigmoid":
      return edmWeight(sigma, { kind: "soft-min-snr", gamma: Math.exp(weighting.bias) }, d2);
    case "unit":
      return s2.mul(d2).div(variance);
  }
}

function checkGamma(gamma: number): number {
  if (!(gamma > 0 && gamma < Infinity)) {
    throw new RangeError(
      `Cannot weight the loss as gamma must be a positive number: gamma is ${gamma}`,
    );
  }
  return gamma;
}
