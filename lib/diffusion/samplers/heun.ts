import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addChurn,
  checkSigmas,
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
  let x = start.clone();
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const begun = await addChurn(x, { sigmas, step: i, noise, churn }), { sigmaHat } = begun;
    x = begun.x;
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
