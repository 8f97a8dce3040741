import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addChurn,
  addNoise,
  type AncestralOptions,
  ancestralStep,
  checkSigmas,
  type ChurnOptions,
  combine,
  denoiseAt,
  type SampleOptions,
  type StepInfo,
} from "./common.ts";

/**
 * Midpoint method on the probability-flow ODE with the midpoint in ln s, with optional churn; Euler on
 * the last step to 0.
 *
 * Second order, two calls a step. Source: Lu et al. 2022 (DPM-Solver-2) and EDM, Algorithm 2.
 */
export async function sampleDpm2<R extends tf.Rank>(
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
    x = await midpointStep(denoiser, x, { step: i, sigma, sigmaHat, to: sigmaNext, callback });
  }
  return x;
}

/** As `sampleDpm2`, down to a lower level, then noise back up to the next one. */
export async function sampleDpm2Ancestral<R extends tf.Rank>(
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
    x = await midpointStep(denoiser, x, { step: i, sigma, sigmaHat: sigma, to: down, callback });
    x = await addNoise(x, { noise, weight: sNoise * up, call: i, sigma, sigmaNext });
  }
  return x;
}

async function midpointStep<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { step, sigma, sigmaHat, to, callback }: {
    step: number;
    sigma: number;
    sigmaHat: number;
    to: number;
    callback: ((info: StepInfo<R>) => void | Promise<void>) | undefined;
  },
): Promise<tf.Tensor<R>> {
  const denoised = await denoiseAt(denoiser, x, sigmaHat);
  await callback?.({ step, sigma, sigmaHat, x, denoised });
  if (to === 0) {
    x.dispose();
    return denoised;
  }
  const mid = Math.sqrt(sigmaHat * to);
  const atMid = await combine([mid / sigmaHat, x], [1 - mid / sigmaHat, denoised]);
  const second = await denoiseAt(denoiser, atMid, mid);
  // x + (to - s) (atMid - D2) / mid
  const slope = (to - sigmaHat) / mid;
  const next = await combine([1, x], [slope, atMid], [-slope, second]);
  tf.dispose([x, denoised, atMid, second]);
  return next;
}
