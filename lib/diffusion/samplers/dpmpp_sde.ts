import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  type AncestralOptions,
  ancestralStep,
  checkSigmas,
  denoiseAt,
  noisySum,
  type SampleOptions,
} from "./common.ts";

/**
 * DPM-Solver++ (stochastic), two calls a step, the second at a fraction `r` of the step in -ln s.
 *
 * Takes noise twice a step: calls 2 i (towards the intermediate level) and 2 i + 1.
 * Source: Lu et al. 2022 (DPM-Solver++), with ancestral noise in both stages.
 */
export async function sampleDpmppSde<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, eta = 1, sNoise = 1, r = 1 / 2 }:
    & SampleOptions<R>
    & AncestralOptions
    & { r?: number },
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    if (sigmaNext === 0) {
      x.dispose();
      x = denoised;
      continue;
    }
    const mid = sigma * (sigmaNext / sigma) ** r;
    const toMid = ancestralStep(sigma, mid, eta);
    const atMid = await noisySum(
      { noise, weight: sNoise * toMid.up, call: 2 * i, sigma, sigmaNext: mid },
      [toMid.down / sigma, x],
      [1 - toMid.down / sigma, denoised],
    );
    const second = await denoiseAt(denoiser, atMid, mid);
    const { down, up } = ancestralStep(sigma, sigmaNext, eta);
    const weight = 1 - down / sigma, share = 1 / (2 * r); // of the second estimate
    const next = await noisySum(
      { noise, weight: sNoise * up, call: 2 * i + 1, sigma, sigmaNext },
      [down / sigma, x],
      [weight * (1 - share), denoised],
      [weight * share, second],
    );
    tf.dispose([x, denoised, atMid, second]);
    x = next;
  }
  return x;
}
