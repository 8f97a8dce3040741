/**
 * What a training run is told, checked and with every default filled in.
 *
 * @module
 */
import { z } from "zod";
import { parseConfig } from "../config.ts";
import type { DataSource } from "../data/open_dataset.ts";
import type { Sampler } from "../diffusion/samplers/sampler.ts";
import { engineChoices } from "../engine/engine.ts";
import { type ModelPresetName, presets } from "../models/presets.ts";
import { checkSpec, growLevels, type HditSpec } from "../models/spec.ts";
import { asSpec, specSchema } from "../models/spec_schema.ts";
import {
  densitySchema,
  emaSchema,
  featureSchema,
  lrScheduleSchema,
  optimiserSchema,
  positive,
  samplerSchema,
  share,
  weightingSchema,
  whole,
} from "./schemas.ts";

const presetNames = Object.keys(presets) as ModelPresetName[];
const about = (description: string) => ({ description });

const size = z.union([whole(4), z.tuple([whole(4), whole(4)])]);
const sides = (size: number | [number, number]): [number, number] =>
  typeof size === "number" ? [size, size] : size;

const model = z.union([
  z.enum(presetNames),
  z.strictObject({ preset: z.enum(presetNames), ...specSchema.partial().shape }),
  specSchema,
]);

/** A training configuration as it stands in a file; see the descriptions of the keys. */
export const trainConfigSchema = z.strictObject({
  $schema: z.string().exactOptional(),
  data: z.union([z.string().min(1), z.looseObject({ kind: z.string() })]).meta(about(
    "Pictures: a path, whose kind is found by looking, or a source in full, such as { kind: emoji }",
  )),
  size: size.default(64).meta(about(
    "Side of the training images in pixels, or [height, width]",
  )),
  multiScale: z.array(size).min(2).exactOptional().meta(about(
    "Sizes that batches have in turn, so that one model learns all; demos and evaluations keep `size`",
  )),
  superResolution: z.strictObject({ factor: whole(2) }).exactOptional().meta(about(
    "Learn to draw a picture from one that is this many times smaller",
  )),
  model: model.exactOptional().meta(about(
    "A preset's name, a preset with differences, or a whole spec; by default a small HDiT for the size. " +
      "Channels and classes are the data's, unless they are given here",
  )),
  batchSize: whole(1).default(16).meta(about("Images an optimiser step")),
  accumulate: whole(1).default(1).meta(about(
    "Parts that a batch is computed in, one after the other, to save memory",
  )),
  images: whole(1).default(1_000_000).meta(about("Training images in all")),
  seed: whole(0).default(0),
  sigmaData: positive.default(0.5).meta(about("Standard deviation of the data in [-1, 1]")),
  weighting: weightingSchema.default({ kind: "soft-min-snr" }).meta(
    about("Of noise levels in the loss"),
  ),
  prediction: z.enum(["edm", "x", "eps", "v"]).default("edm").meta(about(
    "What the network's output means; edm is the paper's",
  )),
  density: densitySchema.exactOptional().meta(
    about("Of noise levels; by default the paper's for the size"),
  ),
  lossScales: z.number().min(0).default(1).meta(about("1: plain squared error; else multi-scale")),
  optimiser: optimiserSchema.default({ kind: "adamw", lr: 5e-4 }),
  lrSchedule: lrScheduleSchema.default({ kind: "constant" }),
  maxNorm: positive.default(1).meta(about("Gradients of a larger norm are scaled down to it")),
  ema: emaSchema.default({ power: 0.75, maxValue: 0.9999 }),
  postHocEma: z.strictObject({
    sigmaRels: z.array(z.number().gt(0).lt(0.28)).min(1).default([0.05, 0.1]),
    everySteps: whole(1),
  }).exactOptional().meta(
    about("Snapshots from which averages of any length are made afterwards (EDM2)"),
  ),
  classDropout: share.default(0.1).meta(about("How often the class is left out, for guidance")),
  augment: share.default(0).meta(
    about("Probability of each augmentation; 0: none, no mirroring either"),
  ),
  sampling: z.strictObject({
    sampler: samplerSchema.default({ kind: "dpmpp-3m-sde" }),
    steps: whole(1).default(50),
    sigmaMin: positive.default(0.01),
    sigmaMax: positive.default(160),
    guidanceScale: z.number().default(1),
  }).prefault({}).meta(
    about("How demo grids are drawn, and what `sample` does unless told otherwise"),
  ),
  demo: z.strictObject({
    every: whole(0).default(10_000).meta(about("Images between grids of samples; 0: none")),
    n: whole(1).default(36),
  }).prefault({}),
  evaluate: z.strictObject({
    every: whole(0).default(10_000).meta(about("Images between evaluations; 0: none")),
    heldOut: whole(1).default(64).meta(about("Pictures for the held-out loss")),
    sigmas: z.array(positive).min(1).default([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 40]),
    samples: whole(0).refine((n) => n === 0 || n >= 4, "must be 0, or 4 or more for its interval")
      .default(0).meta(about("Samples for the Fréchet distance; 0: not measured")),
    features: featureSchema.default({ kind: "random" }).meta(
      about(
        "What the Fréchet distance is taken on; weights of inception and dinov2 are yours to have",
      ),
    ),
  }).prefault({}),
  log: z.strictObject({
    every: whole(1).default(1000).meta(about("Images between lines of log.jsonl")),
    tensorboard: z.boolean().default(false),
  }).prefault({}),
  save: z.strictObject({
    everySeconds: positive.default(60),
    keep: whole(1).default(2).meta(about("Checkpoints that are kept, besides the best")),
  }).prefault({}),
  engine: z.enum(engineChoices).default("auto"),
});

/** What a user writes. */
export type TrainConfig = z.input<typeof trainConfigSchema>;

/** A configuration with every default filled in; plain JSON. */
export type ResolvedConfig =
  & Omit<
    z.output<typeof trainConfigSchema>,
    "$schema" | "data" | "size" | "multiScale" | "model" | "sampling"
  >
  & {
    data: string | DataSource;
    size: [height: number, width: number];
    multiScale?: [height: number, width: number][];
    /** Without channels and classes where they are the data's to say: see {@link modelFor}. */
    model: HditSpec;
    /** What of the model the configuration gives itself. */
    given: { channels: boolean; classes: boolean };
    sampling: {
      sampler: Sampler;
      steps: number;
      sigmaMin: number;
      sigmaMax: number;
      guidanceScale: number;
    };
  };

/**
 * Checks a configuration and fills in its defaults, before any work.
 *
 * @throws {TypeError|RangeError} naming every key that is wrong, and a model that the size does not fit.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { model } = resolveConfig({ data: "./photos", size: 128 });
 * assert.deepEqual(model.levels.map(({ width }) => width), [64, 128]);
 * assert.throws(() => resolveConfig({ data: "./photos", size: 66 }), /must be a multiple of 8/);
 * ```
 */
export function resolveConfig(config: TrainConfig): ResolvedConfig {
  const what = "the training configuration",
    parsed = parseConfig(trainConfigSchema, config, { what });
  const { $schema: _, size: side, multiScale, model: asked, ...rest } = parsed;
  const size = sides(side), scales = multiScale?.map(sides);
  const given = typeof asked === "object" ? asked : undefined;
  const spec = modelOf(asked, size);
  for (const each of [size, ...scales ?? []]) checkSpec(spec, each);
  const { superResolution: { factor } = { factor: 1 } } = rest;
  for (const side of [size, ...scales ?? []].flat()) {
    if (side % factor === 0) continue;
    throw new RangeError(
      `Cannot train as superResolution.factor must divide the sides of images: factor is ${factor}, a side is ${side}`,
    );
  }
  if (rest.batchSize % rest.accumulate !== 0) {
    throw new RangeError(
      `Cannot train as batchSize must be a multiple of accumulate: batchSize is ${rest.batchSize}, accumulate is ${rest.accumulate}`,
    );
  }
  return {
    ...rest,
    size,
    ...(scales && { multiScale: scales }),
    model: spec,
    given: { channels: given?.inChannels !== undefined, classes: given?.numClasses !== undefined },
  } as ResolvedConfig;
}

function modelOf(
  asked: z.output<typeof model> | undefined,
  size: readonly [number, number],
): HditSpec {
  if (asked === undefined) return defaultModel(size);
  if (typeof asked === "string") return presets[asked];
  if (!("preset" in asked)) return asSpec(asked);
  const { preset, ...differences } = asked;
  const merged = { ...presets[preset], ...asSpec(differences as z.output<typeof specSchema>) };
  return { ...merged, outChannels: differences.outChannels ?? merged.inChannels };
}

/**
 * A small model for a size: two levels, and one more for each doubling above 128 px, so that the middle has at most
 * 16 × 16 tokens, as in the paper (Table 7: ImageNet).
 */
export function defaultModel(size: readonly [number, number]): HditSpec {
  const doublings = Math.max(0, Math.ceil(Math.log2(Math.max(...size) / 128)));
  return growLevels(presets["emoji-64"], { doublings });
}

/**
 * The model for the data: with its channels and classes, unless the configuration gives them.
 *
 * @throws {RangeError} where what the configuration gives does not fit the data.
 */
export function modelFor(
  { model, given, size, superResolution }: ResolvedConfig,
  data: { channels: number; classes: readonly string[] },
): HditSpec {
  const classes = data.classes.length > 1 ? data.classes.length : 0;
  if (given.channels && model.inChannels !== data.channels) {
    throw new RangeError(
      `Cannot train as the model must have the data's channels: model.inChannels is ${model.inChannels}, the data has ${data.channels}`,
    );
  }
  if (given.classes && model.numClasses > 0 && model.numClasses < data.classes.length) {
    throw new RangeError(
      `Cannot train as the model must have a class for each of the data's: model.numClasses is ${model.numClasses}, the data has ${data.classes.length}`,
    );
  }
  const spec: HditSpec = {
    ...model,
    inChannels: data.channels,
    outChannels: data.channels,
    numClasses: given.classes ? model.numClasses : classes,
    ...(superResolution && { selfConditioning: true }),
  };
  checkSpec(spec, size);
  return spec;
}

/** The schema for editors, as JSON Schema. */
export function trainConfigJsonSchema(): unknown {
  return {
    ...z.toJSONSchema(trainConfigSchema, { io: "input" }),
    title: "Training configuration of hdit",
  };
}
