import * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import {
  addNoise,
  type AncestralOptions,
  ancestralStep,
  type NoiseSource,
  type StepInfo,
} from "./common.ts";
import { dpmSolver1, dpmSolver2, dpmSolver3, noiseEstimate } from "./dpm_solver.ts";

/** Where DPM-Solver begins and ends; it has no step to sigma 0. */
export type DpmRange<R extends tf.Rank> = AncestralOptions & {
  sigmaMin: number;
  sigmaMax: number;
  noise?: NoiseSource<R> | undefined;
  callback?: ((info: StepInfo<R>) => void | Promise<void>) | undefined;
  signal?: AbortSignal | undefined;
};

/** Throws a RangeError unless 0 < sigmaMin < sigmaMax. */
export function checkDpmRange(
  { sigmaMin, sigmaMax }: { sigmaMin: number; sigmaMax: number },
): void {
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && sigmaMax < Infinity)) {
    throw new RangeError(
      `Cannot sample as 0 < sigmaMin < sigmaMax must hold: sigmaMin is ${sigmaMin}, sigmaMax is ${sigmaMax}`,
    );
  }
}

/** The deterministic end of a step in t = -ln s, and the noise to add after it. */
export function ancestralEnd(
  { t, tNext, tEnd, eta }: { t: number; tNext: number; tEnd: number; eta: number },
): { to: number; up: number } {
  if (eta === 0) return { to: tNext, up: 0 };
  const { down } = ancestralStep(Math.exp(-t), Math.exp(-tNext), eta);
  const to = Math.min(tEnd, -Math.log(down));
  return { to, up: Math.sqrt(Math.max(0, Math.exp(-2 * tNext) - Math.exp(-2 * to))) };
}

/**
 * DPM-Solver of order 3 with a fixed number of calls; its last steps are of order 2 and 1.
 *
 * Steps are even in ln s, each of 3 calls, the remainder of `calls` / 3 at the end. Ends at sigmaMin.
 * Source: Lu et al. 2022 (DPM-Solver), Section 3.4 and appendix ("DPM-Solver-fast").
 */
export async function sampleDpmFast<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  { sigmaMin, sigmaMax, calls, noise, callback, signal, eta = 0, sNoise = 1 }:
    & DpmRange<R>
    & { calls: number },
): Promise<tf.Tensor<R>> {
  checkDpmRange({ sigmaMin, sigmaMax });
  if (!(Number.isInteger(calls) && calls >= 1)) {
    throw new RangeError(
      `Cannot sample as the number of calls must be a whole number >= 1: calls is ${calls}`,
    );
  }
  const steps = Math.floor(calls / 3) + 1, rest = calls % 3;
  const orders = rest === 0
    ? [...new Array(steps - 2).fill(3), 2, 1]
    : [...new Array(steps - 1).fill(3), rest];
  const tStart = -Math.log(sigmaMax), tEnd = -Math.log(sigmaMin);
  const at = (i: number) => i === steps ? tEnd : tStart + i / steps * (tEnd - tStart);
  let x = start.clone();
  for (let i = 0; i < steps; i++) {
    signal?.throwIfAborted();
    const t = at(i), tNext = at(i + 1), sigma = Math.exp(-t), sigmaNext = Math.exp(-tNext);
    const { to, up } = ancestralEnd({ t, tNext, tEnd, eta });
    const { slope, denoised } = await noiseEstimate(denoiser, x, t);
    await callback?.({ step: i, sigma, sigmaHat: sigma, x, denoised });
    const next = await dpmSolverStep(denoiser, x, { order: orders[i], from: t, to, slope });
    tf.dispose([x, slope, denoised]);
    x = await addNoise(next, { noise, weight: sNoise * up, call: i, sigma, sigmaNext });
  }
  return x;
}

async function dpmSolverStep<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { order, ...span }: { order: number; from: number; to: number; slope: tf.Tensor<R> },
): Promise<tf.Tensor<R>> {
  switch (order) {
    case 1:
      return dpmSolver1(x, span);
    case 2: {
      const { x: out, first } = await dpmSolver2(denoiser, x, span);
      first.dispose();
      return out;
    }
    default:
      return dpmSolver3(denoiser, x, span);
  }
}
