import { show } from "../config/text.ts";
import type { Density } from "../diffusion/densities.ts";
import { densityFromConfig } from "../diffusion/density_config.ts";
import type { AttentionSpec, HditSpec } from "../models/spec.ts";
import {
  type KDiffusionConfig,
  type KDiffusionOptimizer,
  specFromKDiffusion,
} from "./k_diffusion_config.ts";
import { isObject, type Json } from "./k_diffusion_schema.ts";

/** A schedule of the learning rate as `learningRate` takes it, settings by name. */
type ScheduleInput = { readonly kind: string; readonly [setting: string]: unknown };
/** A warm-up of the averages as `emaDecay` takes it. */
type EmaInput = { readonly [setting: string]: number | undefined };
/** What is written: the model and its size; the rest is the paper's where it is left out. */
export type KDiffusionConfigInput =
  & Pick<KDiffusionConfig, "spec" | "size">
  & Partial<Omit<KDiffusionConfig, "lrSched" | "emaSched">>
  & { lrSched?: ScheduleInput; emaSched?: EmaInput };

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
    lr_sched: lrScheduleEntry(lrSched),
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

/** Keys of the format by the names of settings, each with its default; without one it must be given. */
type Keys = Record<string, readonly [key: string, byDefault?: number]>;
const LR_SCHEDULES: Record<string, Keys> = {
  constant: {},
  inverse: { invGamma: ["inv_gamma", 1], power: ["power", 1] },
  exponential: { numSteps: ["num_steps"], decay: ["decay", 0.5] },
};
/** Settings that the format lacks, with the value that it has for all. */
const LR_FIXED = { minLr: 0, warmupSteps: 0 };
const EMA_FIXED = { invGamma: 1, minValue: 0, startAt: 0 };

function lrScheduleEntry({ kind, ...settings }: ScheduleInput): Json {
  if (!Object.hasOwn(LR_SCHEDULES, kind)) {
    const known = Object.keys(LR_SCHEDULES).join(", ");
    throw inexpressible(`lrSched must be one of ${known}: it is ${kind}`);
  }
  const keys = { ...LR_SCHEDULES[kind], warmup: ["warmup", 0] as const };
  return { type: kind, ...entries("lrSched", settings, { keys, fixed: LR_FIXED }) };
}

function emaEntry(settings: EmaInput): Json {
  const keys = { power: ["power", 1], maxValue: ["max_value", 1] } as const;
  return { type: "inverse", ...entries("emaSched", settings, { keys, fixed: EMA_FIXED }) };
}

/** Settings under the format's keys; refuses those that it has no key for, unless they say what it does anyway. */
function entries(
  name: string,
  settings: Readonly<Record<string, unknown>>,
  { keys, fixed }: { keys: Keys; fixed: Readonly<Record<string, number>> },
): Json {
  for (const [setting, value] of Object.entries(settings)) {
    if (setting in keys || value === undefined || value === fixed[setting]) continue;
    const must = setting in fixed ? `be ${fixed[setting]}` : "be left out";
    throw inexpressible(`${name}.${setting} must ${must}: it is ${show(value)}`);
  }
  return Object.fromEntries(
    Object.entries(keys).map(([setting, [key, byDefault]]) => {
      const value = settings[setting] ?? byDefault;
      if (value === undefined) throw inexpressible(`${name}.${setting} must be given`);
      return [key, value];
    }),
  );
}

function inexpressible(what: string): RangeError {
  return new RangeError(`Cannot write a k-diffusion configuration as ${what}`);
}

function defined(object: Json): Json {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
