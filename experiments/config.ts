/**
 * What an ablation run is told, and what becomes of it: presets, checks, the resolved configuration.
 *
 * @module
 */
import { z } from "zod";
import { parseConfig } from "../lib/config.ts";
import { type EngineChoice, engineChoices, type EngineName } from "../lib/engine/engine.ts";
import type { Sampler } from "../lib/diffusion/samplers/sampler.ts";
import type { HditSpec } from "../lib/models/spec.ts";
import { type Arm, type Axis, axisNames, oneAtATime, paperRows } from "./arms.ts";
import type { DataSource } from "../lib/data/open_dataset.ts";
import { type FeatureSpec, parseFeatureSpec } from "../lib/metrics/open_features.ts";
import { presets as models } from "../lib/models/presets.ts";

export const presetNames = ["smoke", "emoji", "emoji-all", "imagenet-128"] as const;
export type PresetName = (typeof presetNames)[number];

const whole = z.number().int();

/** What a user says; everything else comes from the preset. */
export const ablationOptionsSchema = z.strictObject({
  preset: z.enum(presetNames).default("emoji"),
  /** Which axes to compare; the preset's own unless given. */
  axes: z.array(z.enum(axisNames)).min(1).optional(),
  /** One training of every arm for each seed. */
  seeds: z.array(whole.min(0)).min(1).default([0]),
  /** How long the whole run may take; turned into a number of images by measuring a few steps. */
  minutes: z.number().positive().optional(),
  /** Training images that every arm sees; in place of `minutes`. */
  images: whole.min(1).optional(),
  /** Side of the training images in pixels. */
  size: whole.min(8).optional(),
  /** A folder of pictures, in place of the preset's data. */
  data: z.string().min(1).optional(),
  batchSize: whole.min(1).optional(),
  learningRate: z.number().positive().optional(),
  /** What Fréchet distances are taken on: `random`, `inception:FILE` or `dinov2:FILE`, with a file of trained weights. */
  features: z.string().min(1).default("random"),
  /** What computes; `auto` takes a GPU where one is set up. */
  engine: z.enum(engineChoices).default("auto"),
});
export type AblationOptions = z.input<typeof ablationOptionsSchema>;

/** Everything that decides the numbers of a run; saved as config.json. */
export type Ablation = {
  preset: PresetName;
  engine: EngineName;
  axes: Axis[];
  seeds: number[];
  size: number;
  batchSize: number;
  data: DataSource;
  model: HditSpec;
  training: {
    learningRate: number;
    /** Multiplies the learning rate by 1 - warmup^(step + 1). */
    warmup: number;
    betas: [number, number];
    weightDecay: number;
    sigmaData: number;
    emaMax: number;
    emaPower: number;
    classDropout: number;
  };
  evaluation: {
    /** Noise levels of the held-out loss. */
    sigmas: number[];
    heldOut: number;
    /** Samples for the Fréchet distance, and for the grid shown. */
    distanceSamples: number;
    features: FeatureSpec;
    gridSamples: number;
    sampler: Sampler;
    schedule: { steps: number; sigmaMin: number; sigmaMax: number };
    batchSize: number;
    /** Sizes of the resolution axis, as multiples of the trained size, with the samples drawn at each. */
    extrapolate: { scale: number; samples: number }[];
  };
};

/** What config.json of a run's folder holds. */
export type SavedRun = { ablation: Ablation; images: number };

type Preset = Omit<Ablation, "preset" | "seeds" | "engine"> & {
  budget: { minutes: number } | { images: number };
};

/** The paper's three ablations, and what they mean for larger images. */
const standardAxes: Axis[] = ["position", "skip", "attention", "resolution"];

/** The arms that a preset can compare. */
export function armsOf(preset: PresetName): readonly Arm[] {
  return preset === "imagenet-128" ? paperRows : oneAtATime;
}

/** Paper, appendix Table 7, but for the learning rate and EMA, which short runs need faster. */
const shortTraining: Ablation["training"] = {
  learningRate: 2e-3,
  warmup: 0.95,
  betas: [0.9, 0.95],
  weightDecay: 1e-2,
  sigmaData: 0.5,
  emaMax: 0.995,
  emaPower: 0.75,
  classDropout: 0.1,
};

const evaluation: Ablation["evaluation"] = {
  sigmas: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 40],
  heldOut: 64,
  distanceSamples: 192,
  features: { kind: "random" },
  gridSamples: 64,
  sampler: { kind: "dpmpp-3m-sde" },
  schedule: { steps: 25, sigmaMin: 1e-2, sigmaMax: 160 },
  batchSize: 32,
  extrapolate: [{ scale: 1.5, samples: 48 }, { scale: 2, samples: 24 }],
};

/** One narrow category: structure shows within a few minutes. A fifth is held out, as there are few. */
const smileys: DataSource = {
  kind: "emoji",
  categories: ["Smileys & Emotion"],
  mirror: true,
  testFraction: 0.2,
};

/** One run a line, as far as it goes; the differences between them are the point. */
const presets: Record<PresetName, () => Preset> = {
  smoke: () => ({
    budget: { images: 64 },
    axes: standardAxes,
    size: 32,
    batchSize: 8,
    data: smileys,
    model: models.smoke,
    training: { ...shortTraining, warmup: 0.5 },
    evaluation: {
      ...evaluation,
      sigmas: [0.1, 0.5, 2],
      heldOut: 16,
      distanceSamples: 16,
      gridSamples: 16,
      batchSize: 16,
      schedule: { ...evaluation.schedule, steps: 6 },
      extrapolate: [{ scale: 1.5, samples: 4 }, { scale: 2, samples: 4 }],
    },
  }),
  emoji: () => ({
    budget: { minutes: 15 },
    axes: standardAxes,
    size: 64,
    batchSize: 8,
    data: smileys,
    model: models["emoji-64"],
    training: shortTraining,
    evaluation,
  }),
  "emoji-all": () => ({
    budget: { minutes: 480 },
    axes: standardAxes,
    size: 64,
    batchSize: 32,
    data: { kind: "emoji", skinTones: false },
    model: models["emoji-64"],
    training: { ...shortTraining, learningRate: 1e-3, emaMax: 0.9995 },
    evaluation: { ...evaluation, heldOut: 256, distanceSamples: 1024 },
  }),
  // paper, Tables 1, 2 and 5, all rows as differences from E; appendix Table 7
  "imagenet-128": () => ({
    budget: { images: 400_000 * 256 },
    axes: axisNames.filter((axis) => axis !== "resolution"),
    size: 128,
    batchSize: 256,
    data: { kind: "folder", path: "" },
    model: models["imagenet-128/E"],
    training: {
      ...shortTraining,
      learningRate: 5e-4,
      warmup: 0,
      emaMax: 0.9999,
    },
    evaluation: {
      ...evaluation,
      heldOut: 1024,
      distanceSamples: 50_000,
      schedule: { ...evaluation.schedule, steps: 50 },
    },
  }),
};

/** A run that is ready to go, but for the number of images where that follows from `minutes`. */
export type ResolvedOptions = {
  ablation: Omit<Ablation, "engine">;
  engine: EngineChoice;
  budget: { minutes: number } | { images: number };
};

/**
 * Checks what a user says and fills in the preset.
 *
 * @throws {TypeError|RangeError} naming every key or value that is wrong.
 */
export function resolveOptions(options: AblationOptions): ResolvedOptions {
  const given = parseConfig(ablationOptionsSchema, options, { what: "the ablation options" });
  if (given.minutes !== undefined && given.images !== undefined) {
    throw new TypeError(
      `Cannot use the ablation options as minutes and images exclude each other: minutes is ${given.minutes}, images is ${given.images}`,
    );
  }
  const { budget, ...preset } = presets[given.preset]();
  if (given.preset === "imagenet-128" && given.data === undefined) {
    throw new TypeError(
      "Cannot use the preset imagenet-128 without pictures: name the folder of ImageNet's training classes with data",
    );
  }
  const ablation: ResolvedOptions["ablation"] = {
    ...preset,
    preset: given.preset,
    axes: checkAxes(given.preset, given.axes ?? preset.axes),
    seeds: [...new Set(given.seeds)],
    size: given.size ?? preset.size,
    batchSize: given.batchSize ?? preset.batchSize,
    data: given.data === undefined ? preset.data : { kind: "folder", path: given.data },
    evaluation: { ...preset.evaluation, features: parseFeatureSpec(given.features) },
    training: {
      ...preset.training,
      ...(given.learningRate && { learningRate: given.learningRate }),
    },
  };
  return {
    ablation,
    engine: given.engine,
    budget: given.images !== undefined
      ? { images: given.images }
      : given.minutes !== undefined
      ? { minutes: given.minutes }
      : budget,
  };
}

/** Axes in the order of the table, each with at least one arm in the preset. */
function checkAxes(preset: PresetName, axes: readonly Axis[]): Axis[] {
  const known = new Set(armsOf(preset).map(({ axis }): Axis => axis));
  if (known.has("position")) known.add("resolution");
  for (const axis of axes) {
    if (known.has(axis)) continue;
    throw new RangeError(
      `Cannot compare the axis ${axis} as the preset ${preset} has no arm on it: its axes are ${
        [...known].join(", ")
      }`,
    );
  }
  return axisNames.filter((axis) => axes.includes(axis));
}
