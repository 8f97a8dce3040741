/**
 * The reference's configuration files, read as specs.
 *
 * @module
 */
import type { AttentionSpec, HditSpec } from "../models/spec.ts";

type Json = Record<string, unknown>;

/** Default width of a head and kernel size of neighborhood attention in the reference. */
const D_HEAD = 64, KERNEL_SIZE = 7;

/**
 * A spec from the reference's configuration: either its JSON file (`{ model: { type: "image_transformer_v2", … },
 * dataset }`, given or with its defaults merged), or the arguments of its model class (`{ levels, mapping, … }`,
 * where num_classes counts the null class).
 *
 * Throws a TypeError for other model types and for fields of the wrong type.
 */
export function specFromKDiffusion(config: Json): HditSpec {
  return "levels" in config ? fromModelArguments(config) : fromFile(config);
}

function fromModelArguments(config: Json): HditSpec {
  const levels = array(config, "levels") as Json[];
  const mapping = object(config, "mapping");
  const rows = number(config, "num_classes", 0);
  return {
    inChannels: number(config, "in_channels"),
    outChannels: number(config, "out_channels"),
    patchSize: pair(config, "patch_size"),
    levels: levels.map((level) => ({
      depth: number(level, "depth"),
      width: number(level, "width"),
      dFf: number(level, "d_ff"),
      attention: attention(object(level, "self_attn")),
      dropout: number(level, "dropout", 0),
    })),
    mapping: {
      depth: number(mapping, "depth"),
      width: number(mapping, "width"),
      dFf: number(mapping, "d_ff"),
      dropout: number(mapping, "dropout", 0),
    },
    numClasses: Math.max(rows - 1, 0),
    mappingCondDim: number(config, "mapping_cond_dim", 0),
    ...PAPER,
  };
}

function fromFile(config: Json): HditSpec {
  const model = object(config, "model");
  if (model.type !== "image_transformer_v2") {
    throw new TypeError(
      `Cannot read the configuration as model.type must be "image_transformer_v2": model.type is ${
        JSON.stringify(model.type)
      }`,
    );
  }
  const depths = array(model, "depths") as number[];
  const widths = array(model, "widths") as number[];
  const dFfs = model.d_ffs ? array(model, "d_ffs") as number[] : widths.map((width) => 3 * width);
  const selfAttns = model.self_attns
    ? array(model, "self_attns") as Json[]
    : widths.map((_, i) => ({ type: i < widths.length - 1 ? "neighborhood" : "global" }));
  const rates = Array.isArray(model.dropout_rate)
    ? model.dropout_rate as number[]
    : widths.map(() => number(model, "dropout_rate", 0));
  for (
    const [name, list] of Object.entries({
      depths,
      d_ffs: dFfs,
      self_attns: selfAttns,
      dropout_rate: rates,
    })
  ) {
    if (list.length !== widths.length) {
      throw new TypeError(
        `Cannot read the configuration as model.${name} must have one entry a level: it has ${list.length}, model.widths ${widths.length}`,
      );
    }
  }
  const mappingWidth = number(model, "mapping_width", 256);
  const channels = number(model, "input_channels");
  return {
    inChannels: channels,
    outChannels: channels,
    patchSize: pair(model, "patch_size"),
    levels: widths.map((width, i) => ({
      depth: depths[i],
      width,
      dFf: dFfs[i],
      attention: attention(selfAttns[i]),
      dropout: rates[i],
    })),
    mapping: {
      depth: number(model, "mapping_depth", 2),
      width: mappingWidth,
      dFf: number(model, "mapping_d_ff", 0) || 3 * mappingWidth,
      dropout: number(model, "mapping_dropout_rate", 0),
    },
    numClasses: config.dataset ? number(object(config, "dataset"), "num_classes", 0) : 0,
    mappingCondDim: number(model, "mapping_cond_dim", 0),
    ...PAPER,
  };
}

const PAPER = {
  position: { kind: "rope" },
  skip: { kind: "lerp" },
  feedForward: { kind: "geglu" },
} as const;

function attention(spec: Json): AttentionSpec {
  const dHead = number(spec, "d_head", D_HEAD);
  switch (spec.type) {
    case "global":
      return { kind: "global", dHead };
    case "neighborhood":
      return { kind: "neighborhood", dHead, kernelSize: number(spec, "kernel_size", KERNEL_SIZE) };
    case "shifted-window":
      return { kind: "shifted-window", dHead, windowSize: number(spec, "window_size") };
    case "none":
      return { kind: "none" };
    default:
      throw new TypeError(
        `Cannot read the configuration as a self_attn type must be global, neighborhood, shifted-window or none: type is ${
          JSON.stringify(spec.type)
        }`,
      );
  }
}

function number(from: Json, key: string, fallback?: number): number {
  const value = from[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new TypeError(
    `Cannot read the configuration as ${key} must be a number: ${key} is ${JSON.stringify(value)}`,
  );
}

function array(from: Json, key: string): unknown[] {
  const value = from[key];
  if (Array.isArray(value)) return value;
  throw new TypeError(
    `Cannot read the configuration as ${key} must be a list: ${key} is ${JSON.stringify(value)}`,
  );
}

function pair(from: Json, key: string): [number, number] {
  const value = array(from, key);
  if (value.length === 2 && value.every((v) => typeof v === "number")) {
    return value as [number, number];
  }
  throw new TypeError(
    `Cannot read the configuration as ${key} must be two numbers: ${key} is ${
      JSON.stringify(value)
    }`,
  );
}

function object(from: Json, key: string): Json {
  const value = from[key];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new TypeError(
    `Cannot read the configuration as ${key} must be an object: ${key} is ${JSON.stringify(value)}`,
  );
}
