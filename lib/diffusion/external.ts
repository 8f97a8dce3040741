import * as tf from "@tensorflow/tfjs";
import { type Cond, type Denoiser, perSample } from "./types.ts";
import { preconditioned } from "./preconditioning.ts";

/** Noise level to v-diffusion time: t = 2 atan(s) / pi, in [0, 1). */
export function vTime(sigma: tf.Tensor1D): tf.Tensor1D {
  return sigma.atan().mul(2 / Math.PI);
}

/**
 * Makes a denoiser from a network that predicts v at time t = 2 atan(s) / pi (v-diffusion), for data of
 * standard deviation 1: D = x / (s^2 + 1) - s / sqrt(s^2 + 1) v(x / sqrt(s^2 + 1), t).
 *
 * Source: Salimans & Ho 2022, Appendix D, in the variables of EDM.
 */
export function vDenoiser(
  model: (x: tf.Tensor4D, t: tf.Tensor1D, cond: Cond) => tf.Tensor4D,
): (x: tf.Tensor4D, sigma: tf.Tensor1D, cond?: Cond) => tf.Tensor4D {
  return preconditioned((x, sigma, cond) => model(x, vTime(sigma), cond), {
    kind: "v",
    sigmaData: 1,
  });
}

/** Mean squared error of v, one number a sample; [B]. */
export function vLoss(
  model: (x: tf.Tensor4D, t: tf.Tensor1D, cond: Cond) => tf.Tensor4D,
  { images, noise, sigma, cond = {} }: {
    images: tf.Tensor4D; // [B, H, W, C]
    noise: tf.Tensor4D; // [B, H, W, C]
    sigma: tf.Tensor1D; // [B]
    cond?: Cond;
  },
): tf.Tensor1D {
  const cIn = perSample(sigma.square().add(1).rsqrt() as tf.Tensor1D, images);
  const level = perSample(sigma, images);
  const v = model(images.add(noise.mul(level)).mul(cIn), vTime(sigma), cond);
  // v = alpha noise - sin image, alpha = cIn, sin = s cIn
  const target = noise.sub(images.mul(level)).mul(cIn);
  return v.sub(target).square().mean([1, 2, 3]) as tf.Tensor1D;
}

/**
 * The noise levels of a discrete-time diffusion model, and continuous or rounded times between them.
 *
 * Level t has s_t = sqrt((1 - a_t) / a_t), a_t the cumulative product of 1 - beta. Between whole times
 * ln s is linear. Throws a RangeError unless 0 < a_t < 1 falls.
 */
export function discreteSchedule(
  alphasCumprod: ArrayLike<number>,
  { quantize = false }: { quantize?: boolean } = {},
): DiscreteSchedule {
  const sigmas = Float64Array.from(alphasCumprod, (a) => Math.sqrt((1 - a) / a));
  const n = sigmas.length;
  if (!(n >= 2 && sigmas[0] > 0 && sigmas.every((s, i) => i === 0 || s > sigmas[i - 1]))) {
    throw new RangeError(
      `Cannot make a discrete schedule as alphasCumprod must fall within (0, 1): there are ${n} values`,
    );
  }
  const logs = sigmas.map(Math.log);
  const sigmaAtTime = (t: number) => {
    const low = Math.min(Math.max(Math.floor(t), 0), n - 1), high = Math.min(low + 1, n - 1);
    return Math.exp(logs[low] + Math.min(Math.max(t - low, 0), 1) * (logs[high] - logs[low]));
  };
  const timeOfSigma = (sigma: number) => {
    const log = Math.log(sigma);
    let low = 0;
    while (low < n - 2 && logs[low + 1] <= log) low++;
    const w = Math.min(Math.max((log - logs[low]) / (logs[low + 1] - logs[low]), 0), 1);
    return quantize ? low + (w > 0.5 ? 1 : 0) : low + w;
  };
  return {
    sigmas,
    sigmaAtTime,
    timeOfSigma,
    schedule: (steps) => {
      if (steps === undefined) return [...sigmas.toReversed(), 0];
      const at = (i: number) => sigmaAtTime(steps === 1 ? n - 1 : (n - 1) * (1 - i / (steps - 1)));
      return [...Array.from({ length: steps }, (_, i) => at(i)), 0];
    },
  };
}

/** See `discreteSchedule`. */
export type DiscreteSchedule = {
  sigmas: Float64Array; // rising
  sigmaAtTime(t: number): number;
  timeOfSigma(sigma: number): number;
  /** Falling levels evenly spaced in time, then 0; all of them when `steps` is left out. */
  schedule(steps?: number): number[];
};

/**
 * Makes a denoiser from a network that predicts noise at discrete times (DDPM), D = x - s e(cIn x, t),
 * cIn = 1 / sqrt(s^2 + 1).
 */
export function epsDenoiser(
  model: (x: tf.Tensor4D, t: tf.Tensor1D) => tf.Tensor4D,
  schedule: DiscreteSchedule,
): Denoiser {
  return async (x, sigma) => {
    const t = tf.tensor1d(Array.from(await sigma.data(), schedule.timeOfSigma)); // [B]
    const denoise = preconditioned((z) => model(z, t), { kind: "eps", sigmaData: 1 });
    const denoised = denoise(x, sigma);
    t.dispose();
    return denoised;
  };
}
