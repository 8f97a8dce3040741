import { nearest } from "../nearest.ts";
import { DENSITY_KEYS, isObject, type Json, type KDiffusionFile } from "./k_diffusion_schema.ts";

/** Keys of one object of a file. */
type Keys = {
  /** Where the object is: `model`, `model.self_attns[0]`. */
  path: string;
  object: unknown;
  /** Keys that are read. */
  read: readonly string[];
  /** Keys that are known, but not read here. */
  ignored?: readonly string[];
  /** What they do not apply to. */
  to?: string;
};

const ATTENTION_KEYS: Record<string, readonly string[]> = {
  "global": ["d_head"],
  "neighborhood": ["d_head", "kernel_size"],
  "shifted-window": ["d_head", "window_size"],
  "none": [],
};
const DATASET_KEYS: Record<string, readonly string[]> = {
  "imagefolder": ["location"],
  "imagefolder-class": ["location"],
  "cifar10": ["location"],
  "mnist": ["location"],
  "huggingface": ["location", "image_key", "class_key"],
  "custom": ["location", "image_key", "class_key", "get_dataset", "config"],
};
const OPTIMIZER_KEYS: Record<string, readonly string[]> = {
  adamw: ["lr", "betas", "eps", "weight_decay"],
  adam8bit: ["lr", "betas", "eps", "weight_decay"],
  sgd: ["lr", "momentum", "nesterov", "weight_decay"],
};
const SCHEDULE_KEYS: Record<string, readonly string[]> = {
  constant: ["warmup"],
  inverse: ["inv_gamma", "power", "warmup"],
  exponential: ["num_steps", "decay", "warmup"],
};
const MODEL_KEYS = [
  "type",
  "input_channels",
  "input_size",
  "patch_size",
  "depths",
  "widths",
  "d_ffs",
  "self_attns",
  "mapping_width",
  "mapping_depth",
  "mapping_d_ff",
  "mapping_cond_dim",
  "dropout_rate",
  "mapping_dropout_rate",
  "augment_prob",
  "sigma_data",
  "sigma_min",
  "sigma_max",
  "sigma_sample_density",
  "loss_config",
  "loss_weighting",
  "loss_scales",
  "has_variance",
];
/** Keys of the reference's two other models. */
const OTHER_MODELS = [
  "augment_wrapper",
  "skip_stages",
  "mapping_out",
  "channels",
  "self_attn_depths",
  "cross_attn_depths",
  "unet_cond_dim",
  "cross_cond_dim",
  "depth",
  "width",
  "d_ff",
];
const SECTIONS = ["model", "dataset", "optimizer", "lr_sched", "ema_sched"];

/**
 * What a file says that has no effect: keys that nobody reads, each with the nearest known one, and keys that do not
 * apply to the model, density, optimiser … that the file chose. Keys of other models that the reference's own merging puts
 * into a file are not named.
 */
export function notesOn(raw: Json, file: KDiffusionFile): string[] {
  const at = (key: string) => (Object.hasOwn(raw, key) ? raw[key] : undefined) as Json | undefined;
  const model = at("model") ?? {};
  const attentions = Array.isArray(model.self_attns) ? model.self_attns : [];
  const objects: Keys[] = [
    { path: "", object: raw, read: SECTIONS },
    {
      path: "model",
      object: withoutDefaults(model),
      read: MODEL_KEYS,
      ignored: OTHER_MODELS,
      to: "image_transformer_v2",
    },
    ...attentions.map((object, i) =>
      choice(`model.self_attns[${i}]`, object, ATTENTION_KEYS, ["type"])
    ),
    choice("model.sigma_sample_density", model.sigma_sample_density, DENSITY_KEYS, ["type"]),
    choice("dataset", at("dataset"), DATASET_KEYS, ["type", "num_classes", "cond_dropout_rate"]),
    choice("optimizer", at("optimizer"), OPTIMIZER_KEYS, ["type"]),
    choice("lr_sched", at("lr_sched"), SCHEDULE_KEYS, ["type"]),
    {
      path: "ema_sched",
      object: at("ema_sched"),
      read: ["type", "power", "max_value"],
      ignored: ["inv_gamma", "min_value", "start_at"], // of the reference's class, not of its files
      to: "the schedules of configuration files",
    },
  ];
  const notes = objects.flatMap(notesOnKeys);
  const { type } = file.dataset;
  if (!Object.hasOwn(DATASET_KEYS, type)) {
    const near = nearest(type, Object.keys(DATASET_KEYS));
    const hint = near === undefined
      ? `known are ${Object.keys(DATASET_KEYS).join(", ")}`
      : `did you mean "${near}"?`;
    notes.push(`dataset.type is not a known data set: ${hint}`);
  }
  if (file.model.loss_config === "simple") {
    for (const key of ["loss_weighting", "loss_scales"]) {
      const isDefault = key === "loss_scales" ? model[key] === 1 : model[key] === "karras";
      if (Object.hasOwn(model, key) && !isDefault) {
        notes.push(`model.${key} does not apply to the simple loss`);
      }
    }
  }
  return notes;
}

/** An object whose `type` decides which keys it has; keys of other types do not apply. */
function choice(
  path: string,
  object: unknown,
  kinds: Record<string, readonly string[]>,
  common: readonly string[],
): Keys {
  const type = isObject(object) && typeof object.type === "string" ? object.type : undefined;
  const known = Object.values(kinds).flat();
  const own = type === undefined ? known : Object.hasOwn(kinds, type) ? kinds[type] : known;
  return { path, object, read: [...common, ...own], ignored: known, to: type ?? "it" };
}

/** Without the keys of other models that the reference's own defaults put there. */
function withoutDefaults(model: Json): Json {
  const defaults: Json = { augment_wrapper: false, skip_stages: 0 };
  const isDefault = (key: string, value: unknown) =>
    Object.hasOwn(defaults, key) && defaults[key] === value;
  return Object.fromEntries(Object.entries(model).filter(([key, value]) => !isDefault(key, value)));
}

function notesOnKeys({ path, object, read, ignored = [], to }: Keys): string[] {
  if (!isObject(object)) return [];
  return Object.keys(object).filter((key) => !read.includes(key)).map((key) => {
    const name = path === "" ? key : `${path}.${key}`;
    if (ignored.includes(key)) return `${name} does not apply to ${to}`;
    const known = [...new Set([...read, ...ignored])];
    const near = nearest(key, known);
    const hint = near === undefined
      ? `known keys are ${known.join(", ")}`
      : `did you mean "${near}"?`;
    return `${name} is not a known key: ${hint}`;
  });
}
