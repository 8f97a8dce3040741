import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../../lib/diffusion/types.ts";

/** Gaussian data N(mean, deviation^2), where the denoiser and the flow are known exactly. */
export type Gaussian = { mean: number; deviation: number };

/** D(x; s) = (d^2 x + s^2 mean) / (d^2 + s^2), for x of any rank. */
export function gaussianDenoiser<R extends tf.Rank>({ mean, deviation: d }: Gaussian) {
  return (x: tf.Tensor<R>, sigma: tf.Tensor1D): tf.Tensor<R> =>
    tf.tidy(() => {
      const v = sigma.square().reshape([-1, ...new Array(x.rank - 1).fill(1)]);
      return x.mul(d * d).add(v.mul(mean)).div(v.add(d * d)) as tf.Tensor<R>;
    });
}

/** Where the probability-flow ODE takes `x` from level `from` to level `to`. */
export function gaussianFlow(
  x: number,
  { mean, deviation: d, from, to }: Gaussian & { from: number; to: number },
): number {
  return mean + (x - mean) * Math.sqrt((d * d + to * to) / (d * d + from * from));
}

/** A denoiser that counts its calls. */
export function counted<R extends tf.Rank>(denoiser: Denoiser<R>) {
  const calls: number[] = [];
  const wrapped: Denoiser<R> = async (x, sigma) => {
    calls.push((await sigma.data())[0]);
    return denoiser(x, sigma);
  };
  return { denoiser: wrapped, calls };
}

/** Slope of ln y over ln x by least squares. */
export function logSlope(x: number[], y: number[]): number {
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const u = x.map(Math.log), w = y.map(Math.log), mu = mean(u), mw = mean(w);
  return u.reduce((s, a, i) => s + (a - mu) * (w[i] - mw), 0) /
    u.reduce((s, a) => s + (a - mu) ** 2, 0);
}
