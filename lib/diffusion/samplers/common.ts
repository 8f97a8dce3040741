/**
 * What all samplers share: their options, evaluation of the denoiser, and linear combinations.
 *
 * Every sampler here is a loop over linear combinations of the current image, of denoised estimates and
 * of noise, with coefficients computed in double precision from the noise levels. The coefficients are
 * inputs of one compiled combination, so that no step makes a new graph, and n steps cost n calls of
 * the denoiser (2 n for the two-call samplers).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../engine/compile.ts";
import type { Denoiser } from "../types.ts";

/**
 * Standard normal noise in the shape of the images; the sampler owns and disposes the result.
 *
 * `call` counts the places where a sampler takes noise, from 0; the noise belongs to the interval from
 * `sigma` down to `sigmaNext`.
 */
export type NoiseSource<R extends tf.Rank = tf.Rank.R4> = (
  at: { call: number; sigma: number; sigmaNext: number },
) => tf.Tensor<R> | Promise<tf.Tensor<R>>;

/** What a callback sees at each step: its tensors live only until it returns. */
export type StepInfo<R extends tf.Rank = tf.Rank.R4> = {
  step: number; // from 0
  sigma: number; // level at the beginning of the step
  sigmaHat: number; // level at which the denoiser was called (above sigma with churn)
  x: tf.Tensor<R>; // noisy image at sigmaHat
  denoised: tf.Tensor<R>;
};

/** Options that every sampler over a schedule takes. */
export type SampleOptions<R extends tf.Rank = tf.Rank.R4> = {
  /** Falling noise levels, the last may be 0. */
  sigmas: readonly number[];
  /** Required by samplers that add noise. */
  noise?: NoiseSource<R> | undefined;
  callback?: ((info: StepInfo<R>) => void | Promise<void>) | undefined;
  /** Stops between steps, with the signal's reason as the error. */
  signal?: AbortSignal | undefined;
};

/** Multiplies noise that is added back; `eta` 1 is the full reverse process, 0 the ODE. */
export type AncestralOptions = { eta?: number; sNoise?: number };

/** Noise added before steps with sigma in [sTmin, sTmax] (EDM, Algorithm 2). */
export type ChurnOptions = { sChurn?: number; sTmin?: number; sTmax?: number; sNoise?: number };

/** Throws a RangeError unless there are at least two levels that fall and end at 0 or above. */
export function checkSigmas(sigmas: readonly number[]): void {
  if (!(sigmas.length >= 2)) {
    throw new RangeError(
      `Cannot sample as at least 2 noise levels are needed: there are ${sigmas.length}`,
    );
  }
  sigmas.forEach((sigma, i) => {
    if (!(i === 0 ? sigma > 0 && sigma < Infinity : sigma < sigmas[i - 1] && sigma >= 0)) {
      throw new RangeError(
        `Cannot sample as noise levels must fall and be >= 0: level ${i} is ${sigma}, the one before is ${
          sigmas[i - 1]
        }`,
      );
    }
  });
}

/** Calls the denoiser with the same level for every sample. */
export async function denoiseAt<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  sigma: number,
): Promise<tf.Tensor<R>> {
  const levels = tf.tensor1d(new Float32Array(x.shape[0]).fill(sigma)); // [B]
  const denoised = await denoiser(x, levels);
  levels.dispose();
  return denoised;
}

const weightedSum = compile(
  ({ weights, terms }: { weights: tf.Tensor[]; terms: tf.Tensor[] }) =>
    terms.map((t, i) => t.mul(weights[i])).reduce((sum, t) => sum.add(t)),
  { threads: 1 },
);

/** The sum of weight times tensor; terms with weight 0 are left out. */
export async function combine<R extends tf.Rank>(
  ...pairs: [weight: number, tensor: tf.Tensor<R>][]
): Promise<tf.Tensor<R>> {
  const used = pairs.filter(([weight]) => weight !== 0);
  if (used.length === 0) return tf.zerosLike(pairs[0][1]);
  if (used.length === 1 && used[0][0] === 1) return used[0][1].clone();
  const weights = used.map(([weight]) => tf.scalar(weight));
  const sum = await weightedSum({ weights, terms: used.map(([, tensor]) => tensor) });
  tf.dispose(weights);
  return sum as tf.Tensor<R>;
}

/** The noise that a sampler adds on an interval, times `weight`; none for weight 0. */
export type AddedNoise<R extends tf.Rank> = {
  noise: NoiseSource<R> | undefined;
  weight: number;
  call: number;
  sigma: number;
  sigmaNext: number;
};

/** The sum of weight times tensor, as `combine` has it, and of the noise of one interval. */
export async function noisySum<R extends tf.Rank>(
  { noise, weight, ...at }: AddedNoise<R>,
  ...pairs: [weight: number, tensor: tf.Tensor<R>][]
): Promise<tf.Tensor<R>> {
  if (weight === 0) return await combine(...pairs);
  if (!noise) {
    throw new TypeError(
      "Cannot sample as this sampler adds noise: pass noise, for instance from seededNoise()",
    );
  }
  const eps = await noise(at);
  const noisy = await combine(...pairs, [weight, eps]);
  eps.dispose();
  return noisy;
}

/** Adds the noise of one interval to `x`, which is disposed. */
export async function addNoise<R extends tf.Rank>(
  x: tf.Tensor<R>,
  added: AddedNoise<R>,
): Promise<tf.Tensor<R>> {
  const noisy = await noisySum(added, [1, x]);
  x.dispose();
  return noisy;
}

/**
 * Splits a step from sigma to sigmaNext into a deterministic part down to `down` and noise of standard
 * deviation `up`, with down^2 + up^2 = sigmaNext^2.
 */
export function ancestralStep(
  sigma: number,
  sigmaNext: number,
  eta: number,
): { down: number; up: number } {
  if (eta === 0) return { down: sigmaNext, up: 0 };
  const most = eta * Math.sqrt(sigmaNext ** 2 * (sigma ** 2 - sigmaNext ** 2) / sigma ** 2);
  const up = Math.min(sigmaNext, most);
  return { down: Math.sqrt(sigmaNext ** 2 - up ** 2), up };
}

/** The level after churn: sigma (1 + gamma), gamma as in EDM, Algorithm 2, for a run of `steps`. */
export function churned(
  sigma: number,
  { sChurn = 0, sTmin = 0, sTmax = Infinity }: ChurnOptions,
  steps: number,
): number {
  const gamma = sTmin <= sigma && sigma <= sTmax ? Math.min(sChurn / steps, Math.SQRT2 - 1) : 0;
  return sigma * (1 + gamma);
}

/**
 * Begins a step with churn: noise takes `x`, which is disposed, from sigmas[step] up to `sigmaHat`.
 *
 * Source: EDM, Algorithm 2, lines 4 to 6.
 */
export async function addChurn<R extends tf.Rank>(
  x: tf.Tensor<R>,
  { sigmas, step, noise, churn }: {
    sigmas: readonly number[];
    step: number;
    noise: NoiseSource<R> | undefined;
    churn: ChurnOptions;
  },
): Promise<{ x: tf.Tensor<R>; sigmaHat: number }> {
  const sigma = sigmas[step], sigmaHat = churned(sigma, churn, sigmas.length - 1);
  const weight = (churn.sNoise ?? 1) * Math.sqrt(sigmaHat ** 2 - sigma ** 2);
  const at = { noise, weight, call: step, sigma, sigmaNext: sigmas[step + 1] };
  return { x: await addNoise(x, at), sigmaHat };
}
