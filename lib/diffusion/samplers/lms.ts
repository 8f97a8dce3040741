import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import { checkSigmas, combine, denoiseAt, type SampleOptions } from "./common.ts";

/**
 * Weights of the last `order` slopes in a step of Adams and Bashforth from sigmas[i] to sigmas[i + 1].
 *
 * Weight j is the integral of the Lagrange polynomial that is 1 at sigmas[i - j] and 0 at the other
 * nodes, computed exactly (the reference integrates numerically). Throws a RangeError when there are
 * fewer than `order` levels up to i.
 */
export function lmsWeights(sigmas: readonly number[], i: number, order: number): number[] {
  if (!(Number.isInteger(order) && order >= 1 && order <= i + 1)) {
    throw new RangeError(
      `Cannot take a multistep step as order must be a whole number in [1, i + 1]: order is ${order}, i is ${i}`,
    );
  }
  const from = sigmas[i], h = sigmas[i + 1] - from;
  // Polynomials in t = (s - from) / h, so that the integral over [0, 1] is the sum of c_k / (k + 1).
  const nodes = Array.from({ length: order }, (_, k) => (sigmas[i - k] - from) / h);
  return nodes.map((own, j) => {
    let polynomial = [1];
    nodes.forEach((node, k) => {
      if (k === j) return;
      const shifted = [0, ...polynomial]; // times t
      polynomial = shifted.map((c, p) => (c - node * (polynomial[p] ?? 0)) / (own - node));
    });
    return h * polynomial.reduce((sum, c, k) => sum + c / (k + 1), 0);
  });
}

/**
 * Linear multistep method (Adams and Bashforth in s) on the probability-flow ODE.
 *
 * One call a step; order 4 unless given, lower on the first steps.
 */
export async function sampleLms<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmas, callback, signal, order = 4 }: SampleOptions<R> & { order?: number },
): Promise<tf.Tensor<R>> {
  checkSigmas(sigmas);
  let x = start.clone();
  let slopes: tf.Tensor<R>[] = []; // newest first
  for (let i = 0; i + 1 < sigmas.length; i++) {
    signal?.throwIfAborted();
    const sigma = sigmas[i];
    const denoised = await denoiseAt(denoiser, x, sigma);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    slopes = [await combine([1 / sigma, x], [-1 / sigma, denoised]), ...slopes];
    slopes.splice(order).forEach((old) => old.dispose());
    const weights = lmsWeights(sigmas, i, slopes.length);
    const next = await combine(
      [1, x],
      ...weights.map((w, j) => [w, slopes[j]] as [number, typeof x]),
    );
    tf.dispose([x, denoised]);
    x = next;
  }
  tf.dispose(slopes);
  return x;
}
