/**
 * The form of the reference's configuration files, with its defaults.
 *
 * Source: k-diffusion at 4601bf0, `config.py` for defaults and the model, `train.py` for the rest.
 *
 * @module
 */
import { z } from "zod";

/** A JSON object. */
export type Json = Record<string, unknown>;

/** What the reference fills in where a file is silent. */
const DEFAULTS: Json = {
  model: {
    mapping_width: 256,
    mapping_depth: 2,
    mapping_d_ff: null,
    mapping_cond_dim: 0,
    mapping_dropout_rate: 0,
    d_ffs: null,
    self_attns: null,
    dropout_rate: null,
    augment_wrapper: false,
    skip_stages: 0,
    has_variance: false,
    sigma_data: 1,
    augment_prob: 0,
    loss_config: "karras",
    loss_weighting: "karras",
    loss_scales: 1,
  },
  dataset: { type: "imagefolder", num_classes: 0, cond_dropout_rate: 0.1 },
  optimizer: { type: "adamw", lr: 5e-4, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 1e-4 },
  lr_sched: { type: "constant", warmup: 0 },
  ema_sched: { type: "inverse", power: 0.6667, max_value: 0.9999 },
};

/** The configuration over the defaults: objects are merged key by key, anything else replaces. */
export function mergeDefaults(config: Json): Json {
  return merge(DEFAULTS, config) as Json;
}

function merge(base: unknown, over: unknown): unknown {
  if (!(isObject(base) && isObject(over))) return over;
  const own = (from: Json, key: string) => Object.hasOwn(from, key) ? from[key] : undefined;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(over)])];
  return Object.fromEntries(keys.map((key) => [
    key,
    Object.hasOwn(over, key) ? merge(own(base, key), over[key]) : base[key],
  ]));
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const whole = (least: number) => z.int().min(least);
const positive = z.number().positive();
const rate = z.number().min(0).max(1);
const wholePair = z.tuple([whole(1), whole(1)]);
const dHead = whole(1).optional();

const attention = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("global"), d_head: dHead }),
  z.looseObject({
    type: z.literal("neighborhood"),
    d_head: dHead,
    kernel_size: whole(1).optional(),
  }),
  z.looseObject({ type: z.literal("shifted-window"), d_head: dHead, window_size: whole(1) }),
  z.looseObject({ type: z.literal("none") }),
]);
/** How a level attends, in the reference's words. */
export type KDiffusionAttention = z.output<typeof attention>;

/** Keys of each noise density. */
export const DENSITY_KEYS = {
  "lognormal": ["mean", "loc", "std", "scale"],
  "split-lognormal": ["mean", "loc", "std_1", "scale_1", "std_2", "scale_2"],
  "loglogistic": ["loc", "scale", "min_value", "max_value"],
  "loguniform": ["min_value", "max_value"],
  "v-diffusion": ["min_value", "max_value"],
  "cosine": ["min_value", "max_value"],
  "cosine-interpolated": ["min_value", "max_value", "image_d", "noise_d_low", "noise_d_high"],
} as const satisfies Record<string, readonly string[]>;
type DensityType = keyof typeof DENSITY_KEYS;
const number = z.number().optional();
const density = z.looseObject({
  type: z.enum(Object.keys(DENSITY_KEYS) as DensityType[]),
  mean: number,
  std: number,
  loc: number,
  scale: number,
  std_1: number,
  std_2: number,
  scale_1: number,
  scale_2: number,
  min_value: number,
  max_value: number,
  image_d: number,
  noise_d_low: number,
  noise_d_high: number,
});

const architecture = z.looseObject({
  type: z.literal("image_transformer_v2"),
  input_channels: whole(1),
  input_size: wholePair.optional(),
  patch_size: wholePair,
  depths: z.array(whole(0)).min(1),
  widths: z.array(whole(1)).min(1),
  d_ffs: z.array(whole(1)).nullable(),
  self_attns: z.array(attention).nullable(),
  mapping_width: whole(1),
  mapping_depth: whole(0),
  mapping_d_ff: whole(0).nullable(),
  mapping_cond_dim: whole(0),
  dropout_rate: z.union([rate, z.array(rate)]).nullable(),
  mapping_dropout_rate: rate,
});
const classes = z.looseObject({ num_classes: whole(0).nullable() });
/** What decides the network, with the defaults filled in. */
export const architectureSchema = z.looseObject({ model: architecture, dataset: classes });
/** What decides the network, checked. */
export type KDiffusionArchitecture = z.output<typeof architectureSchema>;

const key = z.union([z.string(), z.int()]).optional();
const betas = z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]);
const adam = { lr: positive, betas, eps: positive, weight_decay: z.number().min(0) };
const warmup = z.number().min(0).lt(1);
/** A whole file, with the defaults filled in. */
export const fileSchema = z.looseObject({
  model: architecture.extend({
    input_size: wholePair,
    sigma_data: positive,
    sigma_min: positive,
    sigma_max: positive,
    sigma_sample_density: density,
    loss_config: z.enum(["karras", "simple"]),
    loss_weighting: z.enum(["karras", "soft-min-snr", "snr"]),
    loss_scales: z.number(),
    augment_prob: rate,
    has_variance: z.literal(false),
  }),
  dataset: classes.extend({
    type: z.string(),
    location: z.string().optional(),
    image_key: key,
    class_key: key,
    cond_dropout_rate: rate,
    get_dataset: z.string().optional(),
    config: z.unknown().optional(),
  }),
  optimizer: z.discriminatedUnion("type", [
    z.looseObject({ type: z.literal("adamw"), ...adam }),
    z.looseObject({ type: z.literal("adam8bit"), ...adam }),
    z.looseObject({
      type: z.literal("sgd"),
      lr: positive,
      momentum: z.number().min(0).default(0),
      nesterov: z.boolean().default(false),
      weight_decay: z.number().min(0),
    }),
  ]),
  lr_sched: z.discriminatedUnion("type", [
    z.looseObject({ type: z.literal("constant"), warmup }),
    z.looseObject({ type: z.literal("inverse"), inv_gamma: positive, power: z.number(), warmup }),
    z.looseObject({
      type: z.literal("exponential"),
      num_steps: positive,
      decay: positive,
      warmup,
    }),
  ]),
  ema_sched: z.looseObject({ type: z.literal("inverse"), power: z.number(), max_value: rate }),
});
/** A whole file, checked. */
export type KDiffusionFile = z.output<typeof fileSchema>;

/** The arguments of the reference's model class; `num_classes` counts the null class. */
export const modelArgumentsSchema = z.looseObject({
  levels: z.array(z.looseObject({
    depth: whole(0),
    width: whole(1),
    d_ff: whole(1),
    self_attn: attention,
    dropout: rate.nullish(),
  })).min(1),
  mapping: z.looseObject({
    depth: whole(0),
    width: whole(1),
    d_ff: whole(1),
    dropout: rate.nullish(),
  }),
  in_channels: whole(1),
  out_channels: whole(1),
  patch_size: wholePair,
  num_classes: whole(0).nullish(),
  mapping_cond_dim: whole(0).nullish(),
});
