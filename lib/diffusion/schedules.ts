/**
 * Sequences of falling noise levels for sampling; all end with an appended 0.
 *
 * @module
 */

/**
 * Levels evenly spaced in s^(1 / rho), from sigmaMax to sigmaMin, then 0.
 *
 * s_i = (sMax^(1/rho) + i / (n - 1) (sMin^(1/rho) - sMax^(1/rho)))^rho. Source: EDM, Eq. 5.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(karrasSchedule(2, { sigmaMin: 1, sigmaMax: 80 }).at(-1), 0);
 * ```
 */
export function karrasSchedule(
  n: number,
  { sigmaMin, sigmaMax, rho = 7 }: { sigmaMin: number; sigmaMax: number; rho?: number },
): number[] {
  checkRange(n, sigmaMin, sigmaMax);
  const high = sigmaMax ** (1 / rho), low = sigmaMin ** (1 / rho);
  return withEnds(n, { sigmaMin, sigmaMax }, (t) => (high + t * (low - high)) ** rho);
}

/** Levels evenly spaced in ln s, from sigmaMax to sigmaMin, then 0. */
export function exponentialSchedule(
  n: number,
  range: { sigmaMin: number; sigmaMax: number },
): number[] {
  return polyexponentialSchedule(n, { ...range, rho: 1 });
}

/** Levels whose ln s is sMin + (1 - t)^rho (sMax - sMin) in logarithms, then 0. */
export function polyexponentialSchedule(
  n: number,
  { sigmaMin, sigmaMax, rho = 1 }: { sigmaMin: number; sigmaMax: number; rho?: number },
): number[] {
  checkRange(n, sigmaMin, sigmaMax);
  const low = Math.log(sigmaMin), high = Math.log(sigmaMax);
  return withEnds(
    n,
    { sigmaMin, sigmaMax },
    (t) => Math.exp(low + (1 - t) ** rho * (high - low)),
  );
}

/**
 * Levels of the continuous variance-preserving process, then 0.
 *
 * s(t) = sqrt(exp(betaD t^2 / 2 + betaMin t) - 1), t evenly from 1 to epsS.
 * Source: Song et al. 2021, as tabulated in EDM, Table 1.
 */
export function vpSchedule(
  n: number,
  { betaD = 19.9, betaMin = 0.1, epsS = 1e-3 }: {
    betaD?: number;
    betaMin?: number;
    epsS?: number;
  } = {},
): number[] {
  checkCount(n);
  const sigmas = Array.from({ length: n }, (_, i) => {
    const t = n === 1 ? 1 : 1 + i / (n - 1) * (epsS - 1);
    return Math.sqrt(Math.expm1(betaD * t * t / 2 + betaMin * t));
  });
  return [...sigmas, 0];
}

/**
 * The parameters of `vpSchedule` that take it from sigmaMax at t = 1 to sigmaMin at t = epsS.
 *
 * betaD = 2 (ln(1 + sMax^2) - betaMin), and epsS solves betaD t^2 / 2 + betaMin t = ln(1 + sMin^2).
 * Throws a RangeError unless 0 < sigmaMin < sigmaMax and betaD is positive.
 */
export function vpParameters(
  { sigmaMin, sigmaMax, betaMin = 0.1 }: { sigmaMin: number; sigmaMax: number; betaMin?: number },
): { betaD: number; betaMin: number; epsS: number } {
  checkRange(1, sigmaMin, sigmaMax);
  const betaD = 2 * (Math.log1p(sigmaMax ** 2) - betaMin);
  if (!(betaD > 0)) {
    throw new RangeError(
      `Cannot make a VP schedule as sigmaMax must be above ${
        Math.sqrt(Math.expm1(betaMin)).toPrecision(3)
      }: sigmaMax is ${sigmaMax}`,
    );
  }
  const end = Math.log1p(sigmaMin ** 2);
  return { betaD, betaMin, epsS: (Math.sqrt(betaMin ** 2 + 2 * betaD * end) - betaMin) / betaD };
}

/** n levels by `at`, with the ends exactly those asked for, then 0. */
function withEnds(
  n: number,
  { sigmaMin, sigmaMax }: { sigmaMin: number; sigmaMax: number },
  at: (t: number) => number,
): number[] {
  const inner = Array.from(
    { length: n },
    (_, i) => i === 0 ? sigmaMax : i === n - 1 ? sigmaMin : at(i / (n - 1)),
  );
  return [...inner, 0];
}

function checkCount(n: number): void {
  if (!(Number.isInteger(n) && n >= 1)) {
    throw new RangeError(
      `Cannot make a schedule as the number of steps must be a whole number >= 1: n is ${n}`,
    );
  }
}

function checkRange(n: number, sigmaMin: number, sigmaMax: number): void {
  checkCount(n);
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && sigmaMax < Infinity)) {
    throw new RangeError(
      `Cannot make a schedule as 0 < sigmaMin < sigmaMax must hold: sigmaMin is ${sigmaMin}, sigmaMax is ${sigmaMax}`,
    );
  }
}
