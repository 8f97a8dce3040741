import {
  exponentialSchedule,
  karrasSchedule,
  polyexponentialSchedule,
  vpParameters,
  vpSchedule,
} from "./schedules.ts";

/**
 * How much more noise a size takes than another for the same look: sqrt(pixels of `to` / pixels of `from`).
 *
 * Averaging k x k pixels divides the noise by k and leaves the image, so that an image of k times the
 * side under k times the noise shows as much. Source: Hoogeboom et al. 2023 ("simple diffusion", the
 * log-SNR shift by 2 ln k); Esser et al. 2024 (Stable Diffusion 3, Eq. 23).
 */
export function resolutionShift(
  from: readonly [height: number, width: number],
  to: readonly [height: number, width: number],
): number {
  return Math.sqrt(to[0] * to[1] / (from[0] * from[1]));
}

/**
 * A schedule shifted for another resolution: every level times `shift`, see `resolutionShift`.
 *
 * In the time t = s / (1 + s) of flow matching this is Stable Diffusion 3's shift,
 * t' = shift t / (1 + (shift - 1) t). Throws a RangeError unless shift is a positive number.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { exponentialSchedule } from "./schedules.ts";
 *
 * const sigmas = exponentialSchedule(3, { sigmaMin: 0.01, sigmaMax: 100 });
 * const shift = resolutionShift([256, 256], [512, 512]);
 * assert.deepEqual(shiftSchedule(sigmas, shift), [200, 2 * sigmas[1], 0.02, 0]);
 * ```
 */
export function shiftSchedule(sigmas: readonly number[], shift: number): number[] {
  if (!(shift > 0 && shift < Infinity)) {
    throw new RangeError(
      `Cannot shift the schedule as shift must be a positive number: shift is ${shift}`,
    );
  }
  return sigmas.map((sigma) => shift * sigma);
}

/** A schedule as data. */
export type Schedule =
  | { kind: "karras"; rho?: number }
  | { kind: "exponential" }
  | { kind: "polyexponential"; rho?: number }
  | { kind: "vp"; betaMin?: number };

/** The names of the schedules. */
export const scheduleKinds = ["karras", "exponential", "polyexponential", "vp"] as const;

/** `n` levels of a schedule from sigmaMax to sigmaMin, then 0, all times `shift` (1 unless given). */
export function noiseLevels(
  n: number,
  { schedule, sigmaMin, sigmaMax, shift = 1 }: {
    schedule: Schedule;
    sigmaMin: number;
    sigmaMax: number;
    shift?: number | undefined;
  },
): number[] {
  return shiftSchedule(unshifted(n, schedule, { sigmaMin, sigmaMax }), shift);
}

function unshifted(
  n: number,
  schedule: Schedule,
  range: { sigmaMin: number; sigmaMax: number },
): number[] {
  switch (schedule.kind) {
    case "karras":
      return karrasSchedule(n, { ...schedule, ...range });
    case "exponential":
      return exponentialSchedule(n, range);
    case "polyexponential":
      return polyexponentialSchedule(n, { ...schedule, ...range });
    case "vp":
      return vpSchedule(n, vpParameters({ ...schedule, ...range }));
  }
}
