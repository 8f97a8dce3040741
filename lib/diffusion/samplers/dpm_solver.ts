import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import { combine, denoiseAt } from "./common.ts";

/**
 * Single steps of DPM-Solver in t = -ln s, on noise estimates e(x, t) = (x - D(x; s)) / s.
 *
 * `slope` is e at the beginning of the step and is not disposed; `first` is that at t + h / 3 where an
 * order 2 step already took it, and is not disposed either.
 * Source: Lu et al. 2022 (DPM-Solver), Algorithms 1 and 2 of its appendix.
 *
 * @module
 */

const sigmaOf = (t: number) => Math.exp(-t);

/** The noise estimate e(x, t). */
export async function noiseEstimate<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  t: number,
): Promise<{ slope: tf.Tensor<R>; denoised: tf.Tensor<R> }> {
  const sigma = sigmaOf(t);
  const denoised = await denoiseAt(denoiser, x, sigma);
  return { slope: await combine([1 / sigma, x], [-1 / sigma, denoised]), denoised };
}

type Span<R extends tf.Rank> = { from: number; to: number; slope: tf.Tensor<R> };

/** Order 1: x' = x - s' (e^h - 1) e. */
export function dpmSolver1<R extends tf.Rank>(
  x: tf.Tensor<R>,
  { from, to, slope }: Span<R>,
): Promise<tf.Tensor<R>> {
  return combine([1, x], [-sigmaOf(to) * Math.expm1(to - from), slope]);
}

/** Order 2, with an intermediate point at t + r h; returns the estimate there as well. */
export async function dpmSolver2<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { from, to, slope, r = 1 / 2 }: Span<R> & { r?: number },
): Promise<{ x: tf.Tensor<R>; first: tf.Tensor<R> }> {
  const first = await estimateAt(denoiser, x, { from, to: from + r * (to - from), slope });
  const weight = -sigmaOf(to) * Math.expm1(to - from);
  // x - s' (e^h - 1) (e + (e1 - e) / (2 r))
  const out = await combine([1, x], [weight * (1 - 1 / (2 * r)), slope], [weight / (2 * r), first]);
  return { x: out, first };
}

/** Order 3, with intermediate points at t + h / 3 and t + 2 h / 3. */
export async function dpmSolver3<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { from, to, slope, first: given }: Span<R> & { first?: tf.Tensor<R> },
): Promise<tf.Tensor<R>> {
  const h = to - from, r1 = 1 / 3, r2 = 2 / 3;
  const first = given ?? await estimateAt(denoiser, x, { from, to: from + r1 * h, slope });
  const t2 = from + r2 * h;
  const a2 = -sigmaOf(t2) * Math.expm1(r2 * h);
  const b2 = -sigmaOf(t2) * (r2 / r1) * (Math.expm1(r2 * h) / (r2 * h) - 1);
  const x2 = await combine([1, x], [a2 - b2, slope], [b2, first]);
  const { slope: second, denoised } = await noiseEstimate(denoiser, x2, t2);
  const a = -sigmaOf(to) * Math.expm1(h);
  const b = -sigmaOf(to) / r2 * (Math.expm1(h) / h - 1);
  const out = await combine([1, x], [a - b, slope], [b, second]);
  tf.dispose([x2, second, denoised, ...(given ? [] : [first])]);
  return out;
}

async function estimateAt<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  span: Span<R>,
): Promise<tf.Tensor<R>> {
  const moved = await dpmSolver1(x, span);
  const { slope, denoised } = await noiseEstimate(denoiser, moved, span.to);
  tf.dispose([moved, denoised]);
  return slope;
}
