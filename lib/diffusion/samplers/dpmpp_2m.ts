import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import { checkSigmas, combine, denoiseAt, type SampleOptions } from "./common.ts";

/**
 * DPM-Solver++(2M): second-order multistep on D in -ln s, one call a step.
 *
 * x' = (s' / s) x + (1 - s' / s) ((1 + 1 / 2r) D - D_last / 2r), r the ratio of the last step to this
 * one in ln s; first order on the first step and on a step to 0.
 * Source: Lu et al. 2022 (DPM-Solver++), Algorithm 2.
 */
export async function sampleDpmpp2m<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, callback, signal }: SampleOptions<R>,
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  let last: tf.Tensor<R> | undefined;
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    const ratio = sigmaNext / sigma, weight = 1 - ratio;
    let next: tf.Tensor<R>;
    if (last && sigmaNext > 0) {
      const r = Math.log(sigmas[i - 1] / sigma) / Math.log(sigma / sigmaNext);
      next = await combine(
        [ratio, x],
        [weight * (1 + 1 / (2 * r)), denoised],
        [-weight / (2 * r), last],
      );
    } else {
      next = await combine([ratio, x], [weight, denoised]);
    }
    tf.dispose([x, ...(last ? [last] : [])]);
    x = next;
    last = denoised;
  }
  last?.dispose();
  return x;
}
