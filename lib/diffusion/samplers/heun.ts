import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addNoise,
  checkSigmas,
  churned,
  type ChurnOptions,
  combine,
  denoiseAt,
  type SampleOptions,
} from "./common.ts";

/**
 * Heun's method on the probability-flow ODE, with optional churn; Euler on the last step to 0.
 *
 * Second order, two calls a step. Source: EDM, Algorithm 2.
 */
export async function sampleHeun<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, ...churn }: SampleOptions<R> & ChurnOptions,
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  const { sNoise = 1 } = churn;
  let x = start.clone();
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const sigmaHat = churned(sigma, churn, sigmas.length - 1);
    const weight = sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2);
    x = await addNoise(x, { noise, weight, call: i, sigma, sigmaNext });
    const denoised = await denoiseAt(denoiser, x, sigmaHat);
    await callback?.({ step: i, sigma, sigmaHat, x, denoised });
    const ratio = sigmaNext / sigmaHat;
    const euler = await combine([ratio, x], [1 - ratio, denoised]);
    if (sigmaNext === 0) {
      tf.dispose([x, denoised]);
      x = euler;
      continue;
    }
    const second = await denoiseAt(denoiser, euler, sigmaNext);
    // x + dt / 2 ((x - D) / s + (euler - D2) / s'), with euler written out in x and D
    const half = (sigmaNext - sigmaHat) / 2;
    const next = await combine(
      [ratio, x],
      [half * (1 / sigmaNext - 2 / sigmaHat), denoised],
      [-half / sigmaNext, second],
    );
    tf.dispose([x, denoised, euler, second]);
    x = next;
  }
  return x;
}
