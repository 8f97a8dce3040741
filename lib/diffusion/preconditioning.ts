import * as tf from "@tensorflow/tfjs";
import { type Cond, type Model, perSample } from "./types.ts";

/**
 * What the inner network predicts, F in D(x; s) = cSkip x + cOut F(cIn x, s).
 *
 * - `edm`: a mixture of image and noise with unit variance at every s (the paper's choice);
 * - `x`: the clean image (JiT's choice); `eps`: the noise;
 * - `v`: alpha noise - sigma image / sigmaData, in the angles of v-diffusion (v = -F of `edm`).
 */
export type Prediction = "edm" | "x" | "eps" | "v";

/** What the network predicts, and the standard deviation of the data. */
export type Preconditioning = { kind: Prediction; sigmaData: number };

/** Coefficients of the preconditioning, one a sample. */
export type Scalings = { cSkip: tf.Tensor1D; cOut: tf.Tensor1D; cIn: tf.Tensor1D }; // [B] each

/**
 * Coefficients of D(x; s) = cSkip x + cOut F(cIn x, s).
 *
 * With d = sigmaData and r = sqrt(s^2 + d^2): cIn = 1 / r for every kind, and
 * `edm`: cSkip = (d / r)^2, cOut = s d / r; `v`: the same with cOut = -s d / r;
 * `x`: cSkip = 0, cOut = 1; `eps`: cSkip = 1, cOut = -s.
 *
 * Source: Karras et al. 2022 (EDM), Table 1; Salimans & Ho 2022 for v.
 */
export function scalings(sigma: tf.Tensor1D, { kind, sigmaData }: Preconditioning): Scalings {
  checkSigmaData(sigmaData);
  const d = sigmaData;
  const variance = sigma.square().add(d * d); // [B]
  const cIn = variance.rsqrt() as tf.Tensor1D;
  switch (kind) {
    case "edm":
      return { cSkip: tf.div(d * d, variance), cOut: sigma.mul(cIn).mul(d), cIn };
    case "v":
      return { cSkip: tf.div(d * d, variance), cOut: sigma.mul(cIn).mul(-d), cIn };
    case "x":
      return { cSkip: tf.zerosLike(sigma), cOut: tf.onesLike(sigma), cIn };
    case "eps":
      return { cSkip: tf.onesLike(sigma), cOut: sigma.neg(), cIn };
  }
}

/** The same coefficients for one noise level, in double precision. */
export function scalingsAt(
  sigma: number,
  { kind, sigmaData }: Preconditioning,
): { cSkip: number; cOut: number; cIn: number } {
  checkSigmaData(sigmaData);
  const r = Math.hypot(sigma, sigmaData), cIn = 1 / r;
  switch (kind) {
    case "edm":
      return { cSkip: (sigmaData / r) ** 2, cOut: sigma * sigmaData / r, cIn };
    case "v":
      return { cSkip: (sigmaData / r) ** 2, cOut: -sigma * sigmaData / r, cIn };
    case "x":
      return { cSkip: 0, cOut: 1, cIn };
    case "eps":
      return { cSkip: 1, cOut: -sigma, cIn };
  }
}

/**
 * Makes a denoiser from an inner network: D(x; s) = cSkip x + cOut F(cIn x, s).
 *
 * The result is an ordinary function of tensors, fit for tracing; intermediates are released.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { setEngine } from "../engine/engine.ts";
 *
 * await setEngine("cpu");
 * const zero = (x: tf.Tensor4D) => tf.zerosLike(x);
 * const denoise = preconditioned(zero, { kind: "edm", sigmaData: 0.5 });
 * const x = tf.ones([1, 1, 1, 1]) as tf.Tensor4D;
 * assert.equal(denoise(x, tf.tensor1d([0.5])).dataSync()[0], 0.5); // d^2 / (s^2 + d^2)
 * ```
 */
export function preconditioned(
  model: Model,
  preconditioning: Preconditioning,
): (x: tf.Tensor4D, sigma: tf.Tensor1D, cond?: Cond) => tf.Tensor4D {
  return (x, sigma, cond = {}) =>
    tf.tidy(() => {
      const { cSkip, cOut, cIn } = scalings(sigma, preconditioning);
      const inner = model(x.mul(perSample(cIn, x)), sigma, cond); // [B, H, W, C]
      return x.mul(perSample(cSkip, x)).add(inner.mul(perSample(cOut, x))) as tf.Tensor4D;
    });
}

function checkSigmaData(sigmaData: number): void {
  if (!(sigmaData > 0 && sigmaData < Infinity)) {
    throw new RangeError(
      `Cannot precondition as sigmaData must be a positive number: sigmaData is ${sigmaData}`,
    );
  }
}
