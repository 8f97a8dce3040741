import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  type AncestralOptions,
  checkSigmas,
  denoiseAt,
  noisySum,
  type SampleOptions,
} from "./common.ts";

/**
 * DPM-Solver++(2M) SDE: second-order multistep on D for the reverse SDE, one call a step.
 *
 * With h = ln(s / s'), g = h (1 + eta) and r the ratio of the last step to this one:
 * x' = (s' / s) e^(-eta h) x + (1 - e^(-g)) D + c (D - D_last) / r + s' sqrt(1 - e^(-2 eta h)) noise,
 * c = (1 - e^(-g)) / 2 (`midpoint`) or 1 - (1 - e^(-g)) / g (`heun`); x' = D at s' = 0. With eta 0 it
 * is an ODE solver. Source: Lu et al. 2022 (DPM-Solver++), its SDE variant.
 */
export async function sampleDpmpp2mSde<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, eta = 1, sNoise = 1, solver = "midpoint" }:
    & SampleOptions<R>
    & AncestralOptions
    & { solver?: "midpoint" | "heun" },
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  let last: { denoised: tf.Tensor<R>; h: number } | undefined;
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    if (sigmaNext === 0) {
      tf.dispose([x, ...(last ? [last.denoised] : [])]);
      x = denoised.clone();
      last = { denoised, h: Infinity };
      continue;
    }
    const h = Math.log(sigma / sigmaNext), g = h * (1 + eta);
    const keep = Math.exp(-g), gain = -Math.expm1(-g);
    const pull = last ? (solver === "heun" ? 1 - gain / g : gain / 2) * h / last.h : 0;
    const weight = sNoise * sigmaNext * Math.sqrt(-Math.expm1(-2 * eta * h));
    const added = { noise, weight, call: i, sigma, sigmaNext };
    const next = last
      ? await noisySum(added, [keep, x], [gain + pull, denoised], [-pull, last.denoised])
      : await noisySum(added, [keep, x], [gain, denoised]);
    tf.dispose([x, ...(last ? [last.denoised] : [])]);
    last = { denoised, h };
    x = next;
  }
  last?.denoised.dispose();
  return x;
}
