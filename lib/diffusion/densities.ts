import { inverseNormal } from "./inverse_normal.ts";

/**
 * Distribution of noise levels in training, given by its inverse CDF (`sigmaAt`).
 *
 * - `lognormal`: ln s ~ N(loc, scale^2) (EDM);
 * - `split-lognormal`: as lognormal with scale1 below loc and scale2 above it, continuous at loc;
 * - `loglogistic`: ln s logistic, cut to [minValue, maxValue];
 * - `loguniform`, `uniform`: ln s or s uniform on [minValue, maxValue];
 * - `v-diffusion`: the cosine schedule, s = sigmaData tan(theta), theta uniform, cut to the range;
 * - `cosine-interpolated`: the paper's: at the noisy end the cosine schedule shifted to a reference
 *   resolution noiseDLow, at the clean end to noiseDHigh, interpolated between in log-SNR; decreasing in u.
 */
export type Density =
  | { kind: "lognormal"; loc: number; scale: number }
  | { kind: "split-lognormal"; loc: number; scale1: number; scale2: number }
  | { kind: "loglogistic"; loc: number; scale: number; minValue: number; maxValue: number }
  | { kind: "loguniform"; minValue: number; maxValue: number }
  | { kind: "uniform"; minValue: number; maxValue: number }
  | { kind: "v-diffusion"; sigmaData: number; minValue: number; maxValue: number }
  | {
    kind: "cosine-interpolated";
    sigmaData: number;
    imageD: number;
    noiseDLow: number;
    noiseDHigh: number;
    minValue: number;
    maxValue: number;
  };

/**
 * The noise level at quantile `u` of a density (the largest at u = 0 for `cosine-interpolated`).
 *
 * Double precision. Throws a RangeError when u is outside [0, 1].
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const median = sigmaAt({ kind: "v-diffusion", sigmaData: 0.5, minValue: 0, maxValue: Infinity }, 0.5);
 * assert.ok(Math.abs(median - 0.5) < 1e-12);
 * ```
 */
export function sigmaAt(density: Density, u: number): number {
  if (!(u >= 0 && u <= 1)) {
    throw new RangeError(`Cannot draw a noise level as u must be in [0, 1]: u is ${u}`);
  }
  switch (density.kind) {
    case "lognormal":
      return Math.exp(density.loc + density.scale * inverseNormal(inside(u)));
    case "split-lognormal": {
      const left = density.scale1 / (density.scale1 + density.scale2); // mass below loc
      const p = inside(u), tail = p < left ? p / left : (1 - p) / (1 - left); // of |z|, 1 at loc
      return splitLognormal(density, { left: p < left, z: -inverseNormal(tail / 2) });
    }
    case "loglogistic": {
      const { loc, scale, minValue, maxValue } = density;
      const low = 1 / (1 + Math.exp((loc - Math.log(minValue)) / scale));
      const high = 1 / (1 + Math.exp((loc - Math.log(maxValue)) / scale));
      const p = low + clamped(u, density) * (high - low);
      return Math.exp(loc + scale * (Math.log(p) - Math.log1p(-p)));
    }
    case "loguniform": {
      const low = Math.log(density.minValue), high = Math.log(density.maxValue);
      return Math.exp(low + u * (high - low));
    }
    case "uniform":
      return density.minValue + u * (density.maxValue - density.minValue);
    case "v-diffusion": {
      const { sigmaData: d, minValue, maxValue } = density;
      const low = Math.atan(minValue / d), high = Math.atan(maxValue / d);
      return d * Math.tan(low + clamped(u, density) * (high - low));
    }
    case "cosine-interpolated":
      return cosineInterpolated(density, u);
  }
}

/** Keeps u 1e-7 away from an open end of the range, so that levels are positive and finite. */
function clamped(
  u: number,
  { minValue, maxValue }: { minValue: number; maxValue: number },
): number {
  return Math.min(Math.max(u, minValue > 0 ? 0 : 1e-7), maxValue < Infinity ? 1 : 1 - 1e-7);
}

/** Keeps u 1e-7 away from 0 and 1, as the reference does, so that normal quantiles stay finite. */
function inside(u: number): number {
  return u * (1 - 2e-7) + 1e-7;
}

/** Log-normal with two scales from the side of loc and the distance |z| in standard deviations. */
export function splitLognormal(
  { loc, scale1, scale2 }: { loc: number; scale1: number; scale2: number },
  { left, z }: { left: boolean; z: number },
): number {
  return Math.exp(left ? loc - scale1 * Math.abs(z) : loc + scale2 * Math.abs(z));
}

// Paper, Section 4.4 and appendix; cosine schedule shifted by resolution as in "simple diffusion".
function cosineInterpolated(
  { sigmaData: d, imageD, noiseDLow, noiseDHigh, minValue, maxValue }: Extract<
    Density,
    { kind: "cosine-interpolated" }
  >,
  u: number,
): number {
  const logSnr = (noiseD: number) => {
    const k = noiseD / imageD; // shifts the log-SNR by 2 ln k
    const noisy = Math.atan(maxValue * k / d), clean = Math.atan(minValue * k / d);
    const theta = noisy + u * (clean - noisy);
    return 2 * Math.log(k) - 2 * Math.log(Math.tan(theta));
  };
  return d * Math.exp(-((1 - u) * logSnr(noiseDLow) + u * logSnr(noiseDHigh)) / 2);
}

/**
 * The paper's density for an image side: from 32-pixel noise at the noisy end to unshifted at the clean.
 *
 * The range is at least [1e-3, 1e3], as in the reference's configurations.
 */
export function paperDensity(
  size: readonly [height: number, width: number],
  { sigmaData = 0.5, sigmaMin = 1e-3, sigmaMax = 1e3 } = {},
): Density {
  const imageD = Math.max(...size);
  return {
    kind: "cosine-interpolated",
    sigmaData,
    imageD,
    noiseDLow: 32,
    noiseDHigh: imageD,
    minValue: Math.min(sigmaMin, 1e-3),
    maxValue: Math.max(sigmaMax, 1e3),
  };
}
