import type * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addChurn,
  type AncestralOptions,
  ancestralStep,
  checkSigmas,
  type ChurnOptions,
  combine,
  denoiseAt,
  noisySum,
  type SampleOptions,
} from "./common.ts";

/**
 * Euler's method on the probability-flow ODE dx/ds = (x - D(x; s)) / s, with optional churn.
 *
 * x' = (s' / s) x + (1 - s' / s) D. First order. Source: EDM, Algorithm 2 without its correction.
 */
export async function sampleEuler<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, ...churn }: SampleOptions<R> & ChurnOptions,
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const begun = await addChurn(x, { sigmas, step: i, noise, churn }), { sigmaHat } = begun;
    x = begun.x;
    const denoised = await denoiseAt(denoiser, x, sigmaHat);
    await callback?.({ step: i, sigma, sigmaHat, x, denoised });
    const ratio = sigmaNext / sigmaHat;
    const next = await combine([ratio, x], [1 - ratio, denoised]);
    x.dispose();
    denoised.dispose();
    x = next;
  }
  return x;
}

/** Euler steps down to a lower level, then noise back up to the next one (ancestral sampling). */
export async function sampleEulerAncestral<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, eta = 1, sNoise = 1 }: SampleOptions<R> & AncestralOptions,
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const { down, up } = ancestralStep(sigma, sigmaNext, eta);
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    const ratio = down / sigma;
    const added = { noise, weight: sNoise * up, call: i, sigma, sigmaNext };
    const next = await noisySum(added, [ratio, x], [1 - ratio, denoised]);
    x.dispose();
    denoised.dispose();
    x = next;
  }
  return x;
}
