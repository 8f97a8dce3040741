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
      const p = low + u * (high - low);
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
      return d * Math.tan(low + u * (high - low));
    }
    case "cosine-interpolated":
      return cosineInterpolated(density, u);
  }
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

/** What a density takes from the model it is used with. */
export type DensityContext = {
  sigmaData: number;
  sigmaMin: number;
  sigmaMax: number;
  size: readonly [height: number, width: number];
};

type Field = { names: string[]; fallback?: (c: DensityContext) => number };
const wide: Record<string, Field> = { // the training range is at least [1e-3, 1e3]
  minValue: { names: ["min_value"], fallback: (c) => Math.min(c.sigmaMin, 1e-3) },
  maxValue: { names: ["max_value"], fallback: (c) => Math.max(c.sigmaMax, 1e3) },
};
const range: Record<string, Field> = {
  minValue: { names: ["min_value"], fallback: (c) => c.sigmaMin },
  maxValue: { names: ["max_value"], fallback: (c) => c.sigmaMax },
};
const FIELDS: Record<Density["kind"], Record<string, Field>> = {
  "lognormal": { loc: { names: ["loc", "mean"] }, scale: { names: ["scale", "std"] } },
  "split-lognormal": {
    loc: { names: ["loc", "mean"] },
    scale1: { names: ["scale_1", "std_1"] },
    scale2: { names: ["scale_2", "std_2"] },
  },
  "loglogistic": {
    loc: { names: ["loc"], fallback: (c) => Math.log(c.sigmaData) },
    scale: { names: ["scale"], fallback: () => 0.5 },
    minValue: { names: ["min_value"], fallback: () => 0 },
    maxValue: { names: ["max_value"], fallback: () => Infinity },
  },
  "loguniform": range,
  "uniform": range,
  "v-diffusion": { sigmaData: { names: ["sigma_data"], fallback: (c) => c.sigmaData }, ...wide },
  "cosine-interpolated": {
    sigmaData: { names: ["sigma_data"], fallback: (c) => c.sigmaData },
    imageD: { names: ["image_d"], fallback: (c) => Math.max(...c.size) },
    noiseDLow: { names: ["noise_d_low"], fallback: () => 32 },
    noiseDHigh: { names: ["noise_d_high"], fallback: (c) => Math.max(...c.size) },
    ...wide,
  },
};

/**
 * Reads a `sigma_sample_density` entry of a k-diffusion configuration, filling in its defaults.
 *
 * `cosine` is another name of `v-diffusion`; mean and std are other names of loc and scale.
 * Throws a RangeError when the type or a key is unknown, or a value is missing.
 */
export function densityFromConfig(
  config: Readonly<Record<string, unknown>>,
  context: DensityContext,
): Density {
  const type = config.type === "cosine" ? "v-diffusion" : config.type;
  if (!(typeof type === "string" && Object.hasOwn(FIELDS, type))) {
    throw new RangeError(
      `Cannot read the noise density as its type is unknown: type is ${type}, known are cosine, ${
        Object.keys(FIELDS).join(", ")
      }`,
    );
  }
  const fields = FIELDS[type as Density["kind"]];
  const known = ["type", ...Object.values(fields).flatMap((f) => f.names)];
  for (const key of Object.keys(config)) {
    if (!known.includes(key)) {
      throw new RangeError(
        `Cannot read the noise density ${type} as a key is unknown: ${key}, known are ${
          known.join(", ")
        }`,
      );
    }
  }
  const values = Object.entries(fields).map(([key, { names, fallback }]) => {
    const given = names.map((n) => config[n]).find((v) => v !== undefined && v !== null);
    const value = given === undefined ? fallback?.(context) : Number(given);
    if (value === undefined || Number.isNaN(value)) {
      throw new RangeError(
        `Cannot read the noise density ${type} as ${
          names.join(" or ")
        } must be a number: it is ${given}`,
      );
    }
    return [key, value];
  });
  return { kind: type, ...Object.fromEntries(values) } as Density;
}

/**
 * The paper's density for an image side: from 32-pixel noise at the noisy end to unshifted at the clean.
 */
export function paperDensity(
  size: readonly [height: number, width: number],
  { sigmaData = 0.5, sigmaMin = 1e-3, sigmaMax = 1e3 } = {},
): Density {
  return densityFromConfig({ type: "cosine-interpolated" }, {
    sigmaData,
    sigmaMin,
    sigmaMax,
    size,
  });
}
