import type * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  type AncestralOptions,
  checkSigmas,
  denoiseAt,
  noisySum,
  type SampleOptions,
} from "./common.ts";

/**
 * DPM-Solver++(3M) SDE, the paper's sampler: third-order multistep on D for the reverse SDE, one call
 * a step.
 *
 * With h = ln(s / s'), g = h (1 + eta): x' = e^(-g) x + (1 - e^(-g)) D + phi2 d1 - phi3 d2
 * + s' sqrt(1 - e^(-2 eta h)) noise, phi2 = (e^(-g) - 1) / g + 1, phi3 = phi2 / g - 1/2, d1 and d2 the
 * first and second divided differences of the last three D; lower order on the first two steps; x' = D
 * at s' = 0. With eta 0 it is an ODE solver.
 *
 * The exact integral of the interpolating parabola has 2 phi3 d2, where the reference has phi3 d2: the
 * reference's solver is of second order with a small constant. `curvature: "exact"` gives third order.
 */
export async function sampleDpmpp3mSde<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, noise, callback, signal, eta = 1, sNoise = 1, curvature = "reference" }:
    & SampleOptions<R>
    & AncestralOptions
    & { curvature?: "reference" | "exact" },
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  let past: { denoised: tf.Tensor<R>; h: number }[] = []; // newest first
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i], sigmaNext = sigmas[i + 1];
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    if (sigmaNext === 0) {
      x.dispose();
      x = denoised.clone();
      past = [{ denoised, h: Infinity }, ...past];
      continue;
    }
    const h = Math.log(sigma / sigmaNext), g = h * (1 + eta);
    const [w, w1, w2] = multistepWeights(g, {
      ratios: past.map((p) => p.h / h),
      bend: curvature === "exact" ? 2 : 1,
    });
    const weight = sNoise * sigmaNext * Math.sqrt(-Math.expm1(-2 * eta * h));
    const next = await noisySum(
      { noise, weight, call: i, sigma, sigmaNext },
      [Math.exp(-g), x],
      [w, denoised],
      ...past.map((p, k) => [[w1, w2][k], p.denoised] as [number, tf.Tensor<R>]),
    );
    x.dispose();
    x = next;
    past = [{ denoised, h }, ...past];
    past.splice(2).forEach((p) => p.denoised.dispose());
  }
  past.forEach((p) => p.denoised.dispose());
  return x;
}

/** Weights of D, D_last and the one before, from g and the lengths of the last steps over this one. */
function multistepWeights(
  g: number,
  { ratios: [r0, r1], bend }: { ratios: number[]; bend: number },
): [number, number, number] {
  const gain = -Math.expm1(-g), phi2 = 1 - gain / g, phi3 = bend * (phi2 / g - 0.5);
  if (r0 === undefined) return [gain, 0, 0];
  if (r1 === undefined) return [gain + phi2 / r0, -phi2 / r0, 0];
  // a = (D - D1) / r0, b = (D1 - D2) / r1; d1 = a + (a - b) r0 / (r0 + r1); d2 = (a - b) / (r0 + r1)
  const mixed = (phi2 * r0 - phi3) / (r0 + r1); // weight of a - b
  const a = phi2 + mixed, b = -mixed;
  return [gain + a / r0, -a / r0 + b / r1, -b / r1];
}
