/**
 * The reference's configuration files, read into the library's own types. {@link toKDiffusionConfig} writes them.
 *
 * @module
 */
import { parseConfig } from "../config.ts";
import type { Density } from "../diffusion/densities.ts";
import { densityFromConfig } from "../diffusion/density_config.ts";
import type { Weighting } from "../diffusion/weightings.ts";
import type { HditSpec } from "../models/spec.ts";
import { notesOn } from "./k_diffusion_notes.ts";
import { DENSITY_KEYS, fileSchema, type KDiffusionFile } from "./k_diffusion_schema.ts";
import { checkedMerge, objectOf, specOf, WHAT } from "./k_diffusion_spec.ts";

export { sizeFromKDiffusion, specFromKDiffusion } from "./k_diffusion_spec.ts";

/** The data set that a file names; the library has other means of opening data. */
export type KDiffusionDataset = {
  /** `imagefolder`, `imagefolder-class`, `cifar10`, `mnist`, `huggingface` or `custom`. */
  kind: string;
  location?: string;
  imageKey?: string | number;
  classKey?: string | number;
  /** How often the class is replaced by the null class in training. */
  condDropoutRate: number;
  /** Function of a custom data set, and what it is given. */
  getDataset?: string;
  config?: unknown;
};

/** The optimiser that a file names. */
export type KDiffusionOptimizer =
  | {
    kind: "adamw" | "adam8bit";
    lr: number;
    betas: readonly [number, number];
    eps: number;
    weightDecay: number;
  }
  | { kind: "sgd"; lr: number; momentum: number; nesterov: boolean; weightDecay: number };
/** The learning rate over steps that a file names, as `learningRate` takes it. */
export type KDiffusionLrSchedule =
  & { warmup: number }
  & (
    | { kind: "constant" }
    | { kind: "inverse"; invGamma: number; power: number }
    | { kind: "exponential"; numSteps: number; decay: number }
  );

/** A configuration of the reference. */
export type KDiffusionConfig = {
  spec: HditSpec;
  /** Pixels of the training images. */
  size: [height: number, width: number];
  sigmaData: number;
  /** Range of noise levels in sampling. */
  sigmaMin: number;
  sigmaMax: number;
  /** Noise levels in training. */
  density: Density;
  /** `simple` is the plain noise-prediction loss. */
  lossConfig: "karras" | "simple";
  weighting: Weighting;
  lossScales: number;
  /** How often each augmentation is applied; 0 turns all of them off, the mirroring too. */
  augmentProb: number;
  dataset: KDiffusionDataset;
  optimizer: KDiffusionOptimizer;
  lrSched: KDiffusionLrSchedule;
  /** Warm-up of the averages, as `emaDecay` takes it. */
  emaSched: { power: number; maxValue: number };
  /** What the file says that has no effect, in words. */
  notes: string[];
};

/**
 * Reads a configuration of the reference (`type: image_transformer_v2`), as JSON text or parsed, with its defaults
 * merged as the reference merges them.
 *
 * Keys that are unknown or have no effect are named in `notes`. Throws a SyntaxError for text that is not JSON,
 * a TypeError for another model type, a missing key and a value of the wrong type, and a RangeError for a value out
 * of range.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { spec, density, notes } = parseKDiffusionConfig({
 *   model: {
 *     type: "image_transformer_v2",
 *     input_channels: 3,
 *     input_size: [64, 96],
 *     patch_size: [4, 4],
 *     depths: [2, 4],
 *     widths: [128, 256],
 *     sigma_min: 0.01,
 *     sigma_max: 160,
 *     sigma_sample_density: { type: "cosine-interpolated", nosie_d_low: 64 },
 *   },
 * });
 * assert.deepEqual(spec.levels[0].attention, { kind: "neighborhood", dHead: 64, kernelSize: 7 });
 * assert.equal(density.kind === "cosine-interpolated" && density.noiseDLow, 32);
 * assert.match(notes[0], /nosie_d_low is not a known key: did you mean "noise_d_low"/);
 * ```
 */
export function parseKDiffusionConfig(json: unknown): KDiffusionConfig {
  const raw = objectOf(json);
  const file = parseConfig(fileSchema, checkedMerge(raw), { what: WHAT });
  const { model, dataset, optimizer } = file;
  const size = model.input_size;
  return {
    spec: specOf(file),
    size,
    sigmaData: model.sigma_data,
    sigmaMin: model.sigma_min,
    sigmaMax: model.sigma_max,
    density: densityOf(file),
    lossConfig: model.loss_config,
    weighting: weightingOf(file),
    lossScales: model.loss_config === "simple" ? 1 : model.loss_scales,
    augmentProb: model.augment_prob,
    dataset: defined({
      kind: dataset.type,
      location: dataset.location,
      imageKey: dataset.image_key,
      classKey: dataset.class_key,
      condDropoutRate: dataset.cond_dropout_rate,
      getDataset: dataset.get_dataset,
      config: dataset.config,
    }),
    optimizer: optimizerOf(optimizer),
    lrSched: scheduleOf(file.lr_sched),
    emaSched: { power: file.ema_sched.power, maxValue: file.ema_sched.max_value },
    notes: notesOn(raw, file),
  };
}

/** The density of a file; keys that the reference would not read are left out. */
function densityOf({ model }: KDiffusionFile): Density {
  const { type, ...given } = model.sigma_sample_density;
  const { sigma_data: sigmaData, sigma_min: sigmaMin, sigma_max: sigmaMax, input_size } = model;
  const keys: readonly string[] = DENSITY_KEYS[type];
  const entry = Object.fromEntries(Object.entries(given).filter(([key]) => keys.includes(key)));
  // the reference's cosine schedule knows nothing of sigma_min and sigma_max
  const range = type === "v-diffusion" || type === "cosine"
    ? { sigmaMin: 1e-3, sigmaMax: 1e3 }
    : { sigmaMin, sigmaMax };
  return densityFromConfig({ type, ...entry }, { sigmaData, ...range, size: input_size });
}

function weightingOf({ model }: KDiffusionFile): Weighting {
  if (model.loss_config === "simple") return { kind: "snr" }; // |x − D|² / σ²
  return { kind: model.loss_weighting };
}

function optimizerOf(optimizer: KDiffusionFile["optimizer"]): KDiffusionOptimizer {
  const { lr, weight_decay: weightDecay } = optimizer;
  switch (optimizer.type) {
    case "adamw":
    case "adam8bit": {
      const { type: kind, betas, eps } = optimizer;
      return { kind, lr, betas, eps, weightDecay };
    }
    case "sgd":
      return {
        kind: "sgd",
        lr,
        momentum: optimizer.momentum,
        nesterov: optimizer.nesterov,
        weightDecay,
      };
  }
}

function scheduleOf(schedule: KDiffusionFile["lr_sched"]): KDiffusionLrSchedule {
  const { warmup } = schedule;
  switch (schedule.type) {
    case "constant":
      return { kind: "constant", warmup };
    case "inverse":
      return { kind: "inverse", invGamma: schedule.inv_gamma, power: schedule.power, warmup };
    case "exponential":
      return {
        kind: "exponential",
        numSteps: schedule.num_steps,
        decay: schedule.decay,
        warmup,
      };
  }
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined)) as never;
}
