import * as tf from "@tensorflow/tfjs";
import { compile } from "../../engine/compile.ts";
import type { Denoiser } from "../types.ts";
import { addNoise } from "./common.ts";
import { ancestralEnd, checkDpmRange, type DpmRange } from "./dpm_fast.ts";
import { dpmSolver1, dpmSolver2, dpmSolver3, noiseEstimate } from "./dpm_solver.ts";

/** Tolerances and step control of `sampleDpmAdaptive`. */
export type AdaptiveOptions = {
  order?: 2 | 3;
  rtol?: number;
  atol?: number;
  hInit?: number; // first step in -ln s
  pcoeff?: number;
  icoeff?: number;
  dcoeff?: number;
  acceptSafety?: number;
  /** Sees the error of each proposed step and the next step length. */
  onProposal?: (proposal: { error: number; h: number; accepted: boolean }) => void;
};

/** What an adaptive run took. */
export type AdaptiveInfo = { steps: number; calls: number; accepted: number; rejected: number };

/**
 * DPM-Solver-12 or -23 with adaptive steps; one step length for the whole batch. Ends at sigmaMin.
 *
 * A step's error is the root mean square of (low - high) / max(atol, rtol max(|low|, |previous|)); the
 * step length follows a PID controller. Since the error is taken over the batch, a sample depends on
 * the others in it, unlike with every other sampler here. The callback sees the image and level after
 * each proposed step, whether accepted or not, and the estimate at its beginning.
 * Source: Lu et al. 2022 (DPM-Solver), appendix; Söderlind 2003 for the controller.
 */
export async function sampleDpmAdaptive<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  start: tf.Tensor<R>,
  options: DpmRange<R> & AdaptiveOptions,
): Promise<{ x: tf.Tensor<R>; info: AdaptiveInfo }> {
  const { sigmaMin, sigmaMax, noise, callback, signal, eta = 0, sNoise = 1 } = options;
  const { order = 3, rtol = 0.05, atol = 0.0078, hInit = 0.05 } = options;
  checkDpmRange({ sigmaMin, sigmaMax });
  if (!(rtol >= 0 && atol >= 0 && rtol + atol > 0 && hInit > 0)) {
    throw new RangeError(
      `Cannot sample as tolerances and the first step must be positive: rtol is ${rtol}, atol is ${atol}, hInit is ${hInit}`,
    );
  }
  const controller = pidController({ ...options, h: hInit, order: eta > 0 ? 1.5 : order });
  const scales = { rtol: tf.scalar(rtol), atol: tf.scalar(atol) };
  const info = { steps: 0, calls: 0, accepted: 0, rejected: 0 };
  const tEnd = -Math.log(sigmaMin);
  let t = -Math.log(sigmaMax), x = start.clone(), previous = start.clone();
  while (t < tEnd - 1e-5) {
    signal?.throwIfAborted();
    const tNext = Math.min(tEnd, t + controller.h), sigma = Math.exp(-t);
    const { to, up } = ancestralEnd({ t, tNext, tEnd, eta });
    const { slope, denoised } = await noiseEstimate(denoiser, x, t);
    const { low, high } = await embeddedPair(denoiser, x, { order, from: t, to, slope });
    const square = await scaledError({ low, high, previous, ...scales });
    const error = Math.sqrt((await square.data())[0]);
    const accepted = controller.propose(error);
    options.onProposal?.({ error, h: controller.h, accepted });
    tf.dispose([slope, square]);
    info.calls += order;
    if (accepted) {
      tf.dispose([x, previous]);
      previous = low;
      const sigmaNext = Math.exp(-tNext);
      x = await addNoise(high, {
        noise,
        weight: sNoise * up,
        call: info.accepted++,
        sigma,
        sigmaNext,
      });
      t = tNext;
    } else {
      tf.dispose([low, high]);
      info.rejected++;
    }
    const level = Math.exp(-t);
    await callback?.({ step: info.steps, sigma: level, sigmaHat: level, x, denoised });
    info.steps++;
    denoised.dispose();
  }
  tf.dispose([previous, scales.rtol, scales.atol]);
  return { x, info };
}

async function embeddedPair<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { order, ...span }: { order: 2 | 3; from: number; to: number; slope: tf.Tensor<R> },
): Promise<{ low: tf.Tensor<R>; high: tf.Tensor<R> }> {
  if (order === 2) {
    const { x: high, first } = await dpmSolver2(denoiser, x, span);
    first.dispose();
    return { low: await dpmSolver1(x, span), high };
  }
  const { x: low, first } = await dpmSolver2(denoiser, x, { ...span, r: 1 / 3 });
  const high = await dpmSolver3(denoiser, x, { ...span, first });
  first.dispose();
  return { low, high };
}

const scaledError = compile(
  ({ low, high, previous, rtol, atol }: Record<string, tf.Tensor>) => {
    const size = tf.maximum(low.abs(), previous.abs()).mul(rtol);
    return low.sub(high).div(tf.maximum(size, atol)).square().mean();
  },
);

/** Step length from the last three errors: h times a limited product of powers of 1 / error. */
function pidController(
  { h, order, pcoeff = 0, icoeff = 1, dcoeff = 0, acceptSafety = 0.81 }:
    & Omit<AdaptiveOptions, "order">
    & { h: number; order: number },
): { h: number; propose(error: number): boolean } {
  const powers = [
    (pcoeff + icoeff + dcoeff) / order,
    -(pcoeff + 2 * dcoeff) / order,
    dcoeff / order,
  ];
  let inverses: number[] | undefined; // of the errors: now, last accepted, the one before
  return {
    h,
    propose(error) {
      if (!(error < Infinity)) {
        throw new RangeError(`Cannot go on sampling as the step's error is ${error}`);
      }
      const inverse = 1 / (error + 1e-8);
      inverses = [inverse, inverses?.[1] ?? inverse, inverses?.[2] ?? inverse];
      const raw = powers.reduce((product, p, i) => product * inverses![i] ** p, 1);
      const factor = 1 + Math.atan(raw - 1); // smooth limiter
      const accepted = factor >= acceptSafety;
      if (accepted) inverses = [inverse, inverse, inverses[1]];
      this.h *= factor;
      return accepted;
    },
  };
}
