import { show } from "../config/text.ts";
import type { Density } from "../diffusion/densities.ts";
import { densityFromConfig } from "../diffusion/density_config.ts";
import type { AttentionSpec, HditSpec } from "../models/spec.ts";
import type { LrSchedule } from "../training/lr_schedules.ts";
import {
  type KDiffusionConfig,
  type KDiffusionOptimizer,
  specFromKDiffusion,
} from "./k_diffusion_config.ts";
import { isObject, type Json } from "./k_diffusion_schema.ts";

/** What is written: the model and its size; the rest is the paper's where it is left out. */
export type KDiffusionConfigInput =
  & Pick<KDiffusionConfig, "spec" | "size">
  & Partial<KDiffusionConfig>;

/**
 * The reference's configuration file, as a JSON object, of a model and its settings: what
 * {@link parseKDiffusionConfig} reads back as the same (but for `notes`, which say what was not read).
 *
 * Settings that are left out are the paper's (its Table 7): sigmaData 0.5, sampling from 160 to 0.01, the
 * interpolated cosine density, soft-min-SNR, AdamW with learning rate 5e-4, EMA with power 3/4. Throws a RangeError that names
 * what the format cannot express.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { presets } from "../models/presets.ts";
 * import { parseKDiffusionConfig } from "./k_diffusion_config.ts";
 *
 * const config = toKDiffusionConfig({ spec: presets["imagenet-128/E"], size: [128, 128] });
 * assert.deepEqual(parseKDiffusionConfig(config).spec, presets["imagenet-128/E"]);
 * assert.throws(
 *   () => toKDiffusionConfig({ spec: presets["imagenet-128/A"], size: [128, 128] }),
 *   /position must be rope: it is sincos/,
 * );
 * ```
 */
export function toKDiffusionConfig(
  {
    spec,
    size,
    sigmaData = 0.5,
    sigmaMin = 1e-2,
    sigmaMax = 160,
    density,
    lossConfig = "karras",
    weighting = lossConfig === "simple" ? { kind: "snr" } : { kind: "soft-min-snr" },
    lossScales = 1,
    augmentProb = 0,
    dataset = { kind: "imagefolder", condDropoutRate: 0.1 },
    optimizer = { kind: "adamw", lr: 5e-4, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 1e-2 },
    lrSched = { kind: "constant", warmup: 0 },
    emaSched = { power: 0.75, maxValue: 0.9999 },
  }: KDiffusionConfigInput,
): Json {
  const noise = { sigmaData, sigmaMin, sigmaMax, size };
  const config = {
    model: {
      ...modelEntries(spec),
      input_size: [...size],
      sigma_data: sigmaData,
      sigma_min: sigmaMin,
      sigma_max: sigmaMax,
      sigma_sample_density: densityEntry(density, noise),
      ...lossEntries({ lossConfig, weighting, lossScales, sigmaData }),
      augment_prob: augmentProb,
    },
    dataset: defined({
      type: dataset.kind,
      location: dataset.location,
      image_key: dataset.imageKey,
      class_key: dataset.classKey,
      num_classes: spec.numClasses,
      cond_dropout_rate: dataset.condDropoutRate,
      get_dataset: dataset.getDataset,
      config: dataset.config,
    }),
    optimizer: optimizerEntry(optimizer),
    lr_sched: scheduleEntry(lrSched),
    ema_sched: emaEntry(emaSched),
  };
  checkSame(spec, specFromKDiffusion(config));
  return config;
}

function modelEntries(spec: HditSpec): Json {
  const { levels, mapping } = spec;
  for (
    const [name, kind, wanted] of [
      ["position", spec.position.kind, "rope"],
      ["skip", spec.skip.kind, "lerp"],
      ["feedForward", spec.feedForward.kind, "geglu"],
    ]
  ) {
    if (kind !== wanted) throw inexpressible(`${name} must be ${wanted}: it is ${kind}`);
  }
  if (!(spec.outChannels === spec.inChannels)) {
    throw inexpressible(
      `outChannels must be inChannels: inChannels is ${spec.inChannels}, outChannels ${spec.outChannels}`,
    );
  }
  return {
    type: "image_transformer_v2",
    input_channels: spec.inChannels,
    patch_size: [...spec.patchSize],
    depths: levels.map((level) => level.depth),
    widths: levels.map((level) => level.width),
    d_ffs: levels.map((level) => level.dFf),
    self_attns: levels.map((level, i) => attentionEntry(level.attention, i)),
    dropout_rate: levels.map((level) => level.dropout),
    mapping_depth: mapping.depth,
    mapping_width: mapping.width,
    mapping_d_ff: mapping.dFf,
    mapping_dropout_rate: mapping.dropout,
    mapping_cond_dim: spec.mappingCondDim,
  };
}

function attentionEntry(attention: AttentionSpec, level: number): Json {
  switch (attention.kind) {
    case "global":
      return { type: "global", d_head: attention.dHead };
    case "neighborhood":
      return { type: "neighborhood", d_head: attention.dHead, kernel_size: attention.kernelSize };
    case "shifted-window":
      return { type: "shifted-window", d_head: attention.dHead, window_size: attention.windowSize };
    case "none":
      return { type: "none" };
    default: {
      const { kind }: { kind: string } = attention;
      throw inexpressible(
        `the attention of level ${level} must be global, neighborhood, shifted-window or none: it is ${kind}`,
      );
    }
  }
}

/** Refuses what a spec says besides the keys written, such as parts that the reference does not have. */
function checkSame(spec: unknown, written: unknown, path = ""): void {
  if (!isObject(spec) && !Array.isArray(spec)) {
    if (spec === written) return;
    const wanted = written === undefined ? "left out" : show(written);
    throw inexpressible(`${path} must be ${wanted}: it is ${show(spec)}`);
  }
  for (const [key, value] of Object.entries(spec)) {
    const inner = Array.isArray(spec) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
    checkSame(value, (written as Json | undefined)?.[key], inner);
  }
}

type Noise = {
  sigmaData: number;
  sigmaMin: number;
  sigmaMax: number;
  size: readonly [number, number];
};

/** A density by its type and the values that are not the reference's defaults. */
function densityEntry(density: Density | undefined, noise: Noise): Json {
  if (density === undefined) return { type: "cosine-interpolated" };
  if (density.kind === "uniform") throw inexpressible("density must not be uniform");
  const { sigmaMin, sigmaMax } = noise;
  const names: Record<string, string> = {
    minValue: "min_value",
    maxValue: "max_value",
    imageD: "image_d",
    noiseDLow: "noise_d_low",
    noiseDHigh: "noise_d_high",
    scale1: "scale_1",
    scale2: "scale_2",
  };
  // the reference's cosine schedule knows nothing of sigmaMin and sigmaMax
  const range = density.kind === "v-diffusion"
    ? { sigmaMin: 1e-3, sigmaMax: 1e3 }
    : { sigmaMin, sigmaMax };
  const bare = density.kind === "lognormal" || density.kind === "split-lognormal" // without defaults
    ? {}
    : densityFromConfig({ type: density.kind }, { ...noise, ...range });
  const defaults: Json = bare;
  const entry: Json = { type: density.kind };
  for (const [key, value] of Object.entries(density)) {
    if (key === "kind" || defaults[key] === value) continue;
    if (key === "sigmaData") {
      throw inexpressible(
        `the density's sigmaData must be the model's: it is ${value}, the model's ${noise.sigmaData}`,
      );
    }
    if (!Number.isFinite(value)) {
      throw inexpressible(`the density's ${key} must be finite: it is ${value}`);
    }
    entry[names[key] ?? key] = value;
  }
  return entry;
}

function lossEntries(
  { lossConfig, weighting, lossScales, sigmaData }:
    & Pick<KDiffusionConfig, "lossConfig" | "weighting" | "lossScales">
    & { sigmaData: number },
): Json {
  if (lossConfig === "simple") {
    if (weighting.kind !== "snr") {
      throw inexpressible(`weighting must be snr with the simple loss: it is ${weighting.kind}`);
    }
    if (!(lossScales === 1)) {
      throw inexpressible(`lossScales must be 1 with the simple loss: it is ${lossScales}`);
    }
    return { loss_config: "simple" };
  }
  const entries = (kind: string) => ({
    loss_config: "karras",
    loss_weighting: kind,
    loss_scales: lossScales,
  });
  switch (weighting.kind) {
    case "karras":
    case "snr":
      return entries(weighting.kind);
    case "soft-min-snr": {
      const { gamma } = weighting; // the reference's is sigmaData^-2
      if (gamma === undefined || gamma === 1 / sigmaData ** 2) return entries(weighting.kind);
      throw inexpressible(
        `the gamma of soft-min-snr must be sigmaData^-2, which is ${
          1 / sigmaData ** 2
        }: it is ${gamma}`,
      );
    }
    default:
      throw inexpressible(
        `weighting must be karras, snr or soft-min-snr: it is ${weighting.kind}`,
      );
  }
}

function optimizerEntry(optimizer: KDiffusionOptimizer): Json {
  const { kind: type, lr, weightDecay: weight_decay } = optimizer;
  switch (optimizer.kind) {
    case "adamw":
    case "adam8bit":
      return { type, lr, betas: [...optimizer.betas], eps: optimizer.eps, weight_decay };
    case "sgd":
      return { type, lr, momentum: optimizer.momentum, nesterov: optimizer.nesterov, weight_decay };
  }
}

function scheduleEntry(schedule: LrSchedule): Json {
  const warmup = schedule.warmup ?? 0;
  const minLr = "minLr" in schedule ? schedule.minLr ?? 0 : 0;
  if (!(minLr === 0)) throw inexpressible(`minLr must be 0: it is ${minLr}`);
  if (schedule.warmupSteps) {
    throw inexpressible(`warmupSteps must be 0: it is ${schedule.warmupSteps}`);
  }
  switch (schedule.kind) {
    case "constant":
      return { type: "constant", warmup };
    case "inverse":
      return {
        type: "inverse",
        inv_gamma: schedule.invGamma ?? 1,
        power: schedule.power ?? 1,
        warmup,
      };
    case "exponential":
      return {
        type: "exponential",
        num_steps: schedule.numSteps,
        decay: schedule.decay ?? 0.5,
        warmup,
      };
    case "cosine":
      throw inexpressible("the schedule must be constant, inverse or exponential: it is cosine");
  }
}

function emaEntry(
  { power = 1, maxValue = 1, invGamma = 1, minValue = 0, startAt = 0 }:
    KDiffusionConfig["emaSched"],
): Json {
  const fixed = { invGamma: [invGamma, 1], minValue: [minValue, 0], startAt: [startAt, 0] };
  for (const [name, [value, wanted]] of Object.entries(fixed)) {
    if (!(value === wanted)) {
      throw inexpressible(`the average's ${name} must be ${wanted}: it is ${value}`);
    }
  }
  return { type: "inverse", power, max_value: maxValue };
}

function inexpressible(what: string): RangeError {
  return new RangeError(`Cannot write a k-diffusion configuration as ${what}`);
}

function defined(object: Json): Json {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
