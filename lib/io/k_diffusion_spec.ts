import { parseConfig } from "../config.ts";
import type { AttentionSpec, HditSpec } from "../models/spec.ts";
import {
  architectureSchema,
  isObject,
  type Json,
  type KDiffusionArchitecture,
  type KDiffusionAttention,
  mergeDefaults,
  modelArgumentsSchema,
} from "./k_diffusion_schema.ts";

/** How errors call a file. */
export const WHAT = "the k-diffusion configuration";
/** Default width of a head and kernel size of neighborhood attention in the reference. */
const D_HEAD = 64, KERNEL_SIZE = 7;

/**
 * The network alone, from less than a whole file: `{ model: { type: "image_transformer_v2", … }, dataset }` without
 * noise levels or sizes, or the arguments of the reference's model class (`{ levels, mapping, … }`, where
 * num_classes counts the null class).
 *
 * Throws as `parseKDiffusionConfig` does.
 */
export function specFromKDiffusion(config: unknown): HditSpec {
  const raw = objectOf(config);
  if ("levels" in raw) return fromModelArguments(raw);
  return specOf(parseConfig(architectureSchema, checkedMerge(raw), { what: WHAT }));
}

/** The size of the images of a configuration, if it says. */
export function sizeFromKDiffusion(config: unknown): [height: number, width: number] | undefined {
  const raw = objectOf(config);
  if ("levels" in raw) return undefined;
  return parseConfig(architectureSchema, checkedMerge(raw), { what: WHAT }).model.input_size;
}

/** A configuration as an object, from JSON text too. */
export function objectOf(json: unknown): Json {
  let value = json;
  if (typeof json === "string") {
    try {
      value = JSON.parse(json);
    } catch (cause) {
      throw new SyntaxError(`Cannot use ${WHAT} as it must be JSON: ${(cause as Error).message}`);
    }
  }
  if (isObject(value)) return value;
  throw new TypeError(`Cannot use ${WHAT} as it must be a JSON object`);
}

/** Fills in the defaults; refuses other models by name. */
export function checkedMerge(raw: Json): Json {
  const type = isObject(raw.model) ? raw.model.type : undefined;
  if (isObject(raw.model) && type !== "image_transformer_v2") {
    throw new TypeError(
      `Cannot use ${WHAT} as model.type must be "image_transformer_v2": model.type is ${
        JSON.stringify(type)
      }`,
    );
  }
  return mergeDefaults(raw);
}

const PAPER = {
  position: { kind: "rope" },
  skip: { kind: "lerp" },
  feedForward: { kind: "geglu" },
} as const;

/** The network of a checked file. */
export function specOf({ model, dataset }: KDiffusionArchitecture): HditSpec {
  const { widths, depths } = model;
  const last = widths.length - 1;
  const dFfs = model.d_ffs?.length ? model.d_ffs : widths.map((width) => 3 * width);
  const attentions: KDiffusionAttention[] = model.self_attns?.length
    ? model.self_attns
    : widths.map((_, i) => ({ type: i < last ? "neighborhood" : "global" }));
  const rate = model.dropout_rate ?? 0;
  const rates = Array.isArray(rate) ? rate : widths.map(() => rate);
  const lists = { depths, d_ffs: dFfs, self_attns: attentions, dropout_rate: rates };
  for (const [name, { length }] of Object.entries(lists)) {
    if (length !== widths.length) {
      throw new TypeError(
        `Cannot use ${WHAT} as model.${name} must have one entry a level: it has ${length}, model.widths ${widths.length}`,
      );
    }
  }
  return {
    inChannels: model.input_channels,
    outChannels: model.input_channels,
    patchSize: [...model.patch_size],
    levels: widths.map((width, i) => ({
      depth: depths[i],
      width,
      dFf: dFfs[i],
      attention: attentionOf(attentions[i]),
      dropout: rates[i],
    })),
    mapping: {
      depth: model.mapping_depth,
      width: model.mapping_width,
      dFf: model.mapping_d_ff || 3 * model.mapping_width,
      dropout: model.mapping_dropout_rate,
    },
    numClasses: dataset.num_classes ?? 0,
    mappingCondDim: model.mapping_cond_dim,
    ...PAPER,
  };
}
function fromModelArguments(raw: Json): HditSpec {
  const model = parseConfig(modelArgumentsSchema, raw, { what: "the model's arguments" });
  const { mapping } = model;
  return {
    inChannels: model.in_channels,
    outChannels: model.out_channels,
    patchSize: [...model.patch_size],
    levels: model.levels.map((level) => ({
      depth: level.depth,
      width: level.width,
      dFf: level.d_ff,
      attention: attentionOf(level.self_attn),
      dropout: level.dropout ?? 0,
    })),
    mapping: {
      depth: mapping.depth,
      width: mapping.width,
      dFf: mapping.d_ff,
      dropout: mapping.dropout ?? 0,
    },
    numClasses: Math.max((model.num_classes ?? 0) - 1, 0),
    mappingCondDim: model.mapping_cond_dim ?? 0,
    ...PAPER,
  };
}

function attentionOf(attention: KDiffusionAttention): AttentionSpec {
  switch (attention.type) {
    case "global":
      return { kind: "global", dHead: attention.d_head ?? D_HEAD };
    case "neighborhood":
      return {
        kind: "neighborhood",
        dHead: attention.d_head ?? D_HEAD,
        kernelSize: attention.kernel_size ?? KERNEL_SIZE,
      };
    case "shifted-window":
      return {
        kind: "shifted-window",
        dHead: attention.d_head ?? D_HEAD,
        windowSize: attention.window_size,
      };
    case "none":
      return { kind: "none" };
  }
}
