import type { Density } from "./densities.ts";

/** What a density takes from the model it is used with. */
export type DensityContext = {
  sigmaData: number;
  sigmaMin: number;
  sigmaMax: number;
  size: readonly [height: number, width: number];
};

type Field = { names: string[]; fallback?: (c: DensityContext) => number };
const wide: Record<string, Field> = {
  minValue: { names: ["min_value"], fallback: () => 1e-3 },
  maxValue: { names: ["max_value"], fallback: () => 1e3 },
};
const atLeastWide: Record<string, Field> = {
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
    ...atLeastWide,
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
