import type { DiffusionModel } from "./diffusion_model.ts";
import { checkGuidance, type Guidance } from "./guidance.ts";
import { noiseLevels, type Schedule } from "./noise_levels.ts";
import type { StepInfo } from "./samplers/common.ts";
import type { Sampler } from "./samplers/sampler.ts";

/** What to sample; everything but `size` and `n` has a default. */
export type SampleImagesOptions = Guidance & {
  size: readonly [height: number, width: number];
  n: number;
  /** Falling noise levels ending in 0; by default `steps` of the schedule from sigmaMax to sigmaMin. */
  sigmas?: readonly number[];
  schedule?: Schedule; // Karras, rho 7
  steps?: number; // 50
  sigmaMin?: number; // 0.01, as the paper's configurations
  sigmaMax?: number; // 160
  /** Factor on all levels, for another resolution: see `resolutionShift`. */
  shift?: number; // 1
  sampler?: Sampler; // DPM++(3M) SDE, the paper's
  /** Sample i has seed seed + i, unless seeds are given one by one. */
  seed?: number; // 0
  seeds?: readonly number[];
  /** A class a sample; required to be absent for unconditional models, by default i mod numClasses. */
  labels?: ArrayLike<number>;
  /** For models with selfConditioning: an image a sample, [n, H, W, C], such as one with little detail. */
  selfCond?: Float32Array;
  /**
   * Noise that stochastic samplers add: `independent` in each step, or increments of one `brownian` path,
   * with which a seed's sample converges as the steps grow.
   */
  noise?: "independent" | "brownian"; // independent
  batchSize?: number; // 16
  onStep?: (
    progress: { step: number; steps: number; batch: number; batches: number; info: StepInfo },
  ) => void | Promise<void>;
  signal?: AbortSignal;
};

/**
 * Fills in the defaults and checks the options against the model.
 *
 * Throws a RangeError where something is out of range, and a TypeError for labels of an unconditional model.
 */
export function resolveSampleOptions<P>(
  model: DiffusionModel<P>,
  options: SampleImagesOptions,
  { hasGuide = false }: { hasGuide?: boolean } = {},
) {
  const { n, size, seed = 0, steps = 50, guidanceScale = 1, noise = "independent" } = options;
  const { sampler = { kind: "dpmpp-3m-sde" }, schedule = { kind: "karras" } } = options;
  const { sigmaMin = 0.01, sigmaMax = 160, shift } = options;
  requireCount("n", n);
  const batchSize = Math.min(options.batchSize ?? 16, n);
  requireCount("batchSize", batchSize);
  model.check(size);
  const seeds = options.seeds ?? Array.from({ length: n }, (_, i) => seed + i);
  if (!(seeds.length === n)) {
    throw new RangeError(
      `Cannot sample as there must be a seed a sample: ${seeds.length}, not ${n}`,
    );
  }
  const { selfCond } = options, pixels = n * size[0] * size[1] * model.channels;
  if (!(selfCond === undefined || selfCond.length === pixels)) {
    throw new RangeError(
      `Cannot sample as selfCond must be an image a sample, ${pixels} numbers: it has ${selfCond.length}`,
    );
  }
  checkGuidance(options);
  if (!(guidanceScale === 1 || model.numClasses > 0 || hasGuide)) {
    throw new RangeError(
      `Cannot guide as guidance needs a class-conditional model, or a guide: guidanceScale is ${guidanceScale}, numClasses is ${model.numClasses}`,
    );
  }
  return {
    n,
    size,
    batchSize,
    seeds,
    sampler: sampler as Sampler,
    noise,
    sigmas: options.sigmas ?? noiseLevels(steps, { schedule, sigmaMin, sigmaMax, shift }),
    labels: resolveLabels(model.numClasses, n, options.labels),
  };
}

function requireCount(name: string, value: number): void {
  if (!(Number.isInteger(value) && value >= 1)) {
    throw new RangeError(
      `Cannot sample as ${name} must be a whole number >= 1: ${name} is ${value}`,
    );
  }
}

function resolveLabels(
  numClasses: number,
  n: number,
  labels: ArrayLike<number> | undefined,
): ArrayLike<number> | undefined {
  if (numClasses === 0) {
    if (labels === undefined) return undefined;
    throw new TypeError("Cannot sample classes as the model is unconditional: leave out labels");
  }
  const all = labels ?? Array.from({ length: n }, (_, i) => i % numClasses);
  if (!(all.length === n)) {
    throw new RangeError(
      `Cannot sample as there must be a label a sample: ${all.length}, not ${n}`,
    );
  }
  for (let i = 0; i < n; i++) {
    // The null class, number numClasses, samples without a class.
    if (!(Number.isInteger(all[i]) && all[i] >= 0 && all[i] <= numClasses)) {
      throw new RangeError(
        `Cannot sample class ${all[i]} as classes are 0 to ${numClasses} (none): label ${i}`,
      );
    }
  }
  return all;
}
