import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addNoise,
  type AncestralOptions,
  ancestralStep,
  checkSigmas,
  combine,
  denoiseAt,
  type SampleOptions,
} from "./common.ts";

/**
 * DPM-Solver++(2S): the exponential midpoint method on D in -ln s, with ancestral noise.
 *
 * Second order at eta 0, two calls a step. Source: Lu et al. 2022 (DPM-Solver++), Algorithm 1.
 */
export async function sampleDpmpp2sAncestral<R extends tf.Rank>(
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
    if (down === 0) {
      x.dispose();
      x = denoised;
    } else {
      const mid = Math.sqrt(sigma * down); // r = 1/2 in ln s
      const atMid = await combine([mid / sigma, x], [1 - mid / sigma, denoised]);
      const second = await denoiseAt(denoiser, atMid, mid);
      const next = await combine([down / sigma, x], [1 - down / sigma, second]);
      tf.dispose([x, denoised, atMid, second]);
      x = next;
    }
    x = await addNoise(x, { noise, weight: sNoise * up, call: i, sigma, sigmaNext });
  }
  return x;
}
