/**
 * What a model is: plain data. Sizes of inputs are not part of it: one model runs at any size that its patch and
 * its merges divide.
 *
 * @module
 */
import { checkNeighborhood } from "../nn/neighborhood_attention.ts";
import { checkShiftedWindow } from "../nn/shifted_window_attention.ts";
import type { PatchSize } from "../nn/token_merge.ts";

/** Every token sees every token. */
export type GlobalAttentionSpec = { kind: "global"; dHead: number };
/** Every token sees the kernelSize × kernelSize tokens around it. */
export type NeighborhoodAttentionSpec = {
  kind: "neighborhood";
  dHead: number;
  /** Odd, at most the grid's smaller side. */
  kernelSize: number;
};
/** Tokens see their window; every other layer moves the windows by half a side. */
export type ShiftedWindowAttentionSpec = {
  kind: "shifted-window";
  dHead: number;
  /** Divides both sides of the grid. */
  windowSize: number;
};
/** No attention: feed-forward blocks alone. */
export type NoAttentionSpec = { kind: "none" };
/** How the tokens of a level attend. */
export type AttentionSpec =
  | GlobalAttentionSpec
  | NeighborhoodAttentionSpec
  | ShiftedWindowAttentionSpec
  | NoAttentionSpec;

/** One level of the hourglass; all but the last are passed twice, down and up. */
export type LevelSpec = {
  /** Layers on each pass. */
  depth: number;
  /** Channels, a multiple of dHead. */
  width: number;
  /** Hidden width of the feed-forward block (3 × width in the paper; 4 × with GELU). */
  dFf: number;
  attention: AttentionSpec;
  /** Dropout rate of its blocks, 0 to less than 1. */
  dropout: number;
};
/** The mapping network, from noise level and classes to the condition of every norm. */
export type MappingSpec = { depth: number; width: number; dFf: number; dropout: number };

/** An Hourglass Diffusion Transformer. */
export type HditSpec = {
  inChannels: number;
  outChannels: number;
  patchSize: PatchSize;
  /** Finest level first; the last one is the middle of the hourglass. */
  levels: LevelSpec[];
  mapping: MappingSpec;
  /** Classes without the null class; 0 for an unconditional model. */
  numClasses: number;
  /** Width of an extra condition given as numbers; 0 for none. */
  mappingCondDim: number;
  /** Rotary, or a fixed sin-cos table added after patch-in (paper, Table 1, rows A to C). */
  position: { kind: "rope" } | { kind: "sincos" };
  /** How skips join the upsampled stream (paper, Table 2). */
  skip: { kind: "lerp" } | { kind: "add" } | { kind: "concat" };
  /** Activation of every feed-forward block (paper, Table 1, row C). */
  feedForward: { kind: "geglu" } | { kind: "gelu" };
};

/**
 * The spec for inputs of 2^doublings times the side: the shallowest level is repeated, so that the middle keeps its
 * grid (paper, §4.2; as new levels with parameters of their own, as in the reference).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { presets } from "./presets.ts";
 * import { growLevels } from "./spec.ts";
 *
 * const widths = growLevels(presets["imagenet-128/E"], { doublings: 1 }).levels.map((l) => l.width);
 * assert.deepEqual(widths, [384, 384, 768]);
 * ```
 */
export function growLevels(spec: HditSpec, { doublings }: { doublings: number }): HditSpec {
  const repeated = Array.from({ length: doublings }, () => spec.levels[0]);
  return { ...spec, levels: [...repeated, ...spec.levels] };
}

/** Grid of a level for an input of h × w pixels. */
export function levelGrid(
  { patchSize: [p, q] }: HditSpec,
  { size: [h, w], level }: { size: readonly [number, number]; level: number },
): { h: number; w: number } {
  return { h: h / p / 2 ** level, w: w / q / 2 ** level };
}

/**
 * Checks that a spec makes sense and that inputs of `size` (height, width) run through it.
 *
 * Throws a RangeError that names the field, its value and what it must be, before any work is done.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { presets } from "./presets.ts";
 * import { checkSpec } from "./spec.ts";
 *
 * checkSpec(presets.smoke, [16, 24]);
 * assert.throws(() => checkSpec(presets.smoke, [18, 24]), /height must be a multiple of 8.*16 and 24/);
 * ```
 */
export function checkSpec(spec: HditSpec, size: readonly [h: number, w: number]): void {
  checkModel(spec);
  for (const axis of [0, 1] as const) {
    const name = axis === 0 ? "height" : "width";
    const unit = spec.patchSize[axis] * 2 ** (spec.levels.length - 1);
    const length = size[axis];
    if (!(Number.isInteger(length) && length > 0 && length % unit === 0)) {
      const below = Math.floor(length / unit) * unit;
      const nearest = below > 0 ? `${below} and ${below + unit}` : `${unit}`;
      throw new RangeError(
        `Cannot run the model as the input's ${name} must be a multiple of ${unit} (patch ${
          spec.patchSize[axis]
        }, ${
          spec.levels.length - 1
        } merges by 2): ${name} is ${length}, the nearest valid are ${nearest}`,
      );
    }
  }
  for (const [level, { attention }] of spec.levels.entries()) {
    const grid = levelGrid(spec, { size, level });
    at(`level ${level}, input ${size[0]} × ${size[1]}`, () => {
      switch (attention.kind) {
        case "neighborhood":
          return checkNeighborhood({ ...grid, kernelSize: attention.kernelSize });
        case "shifted-window":
          return checkShiftedWindow({ ...grid, windowSize: attention.windowSize });
        case "global":
        case "none":
          return;
      }
    });
  }
}

/** The checks that need no input size. */
export function checkModel(spec: HditSpec): void {
  whole("inChannels", spec.inChannels, 1);
  whole("outChannels", spec.outChannels, 1);
  whole("patchSize[0]", spec.patchSize[0], 1);
  whole("patchSize[1]", spec.patchSize[1], 1);
  whole("numClasses", spec.numClasses, 0);
  whole("mappingCondDim", spec.mappingCondDim, 0);
  whole("mapping.depth", spec.mapping.depth, 0);
  whole("mapping.width", spec.mapping.width, 1);
  whole("mapping.dFf", spec.mapping.dFf, 1);
  rate("mapping.dropout", spec.mapping.dropout);
  require(spec.mapping.width % 2 === 0, "mapping.width must be even", {
    "mapping.width": spec.mapping.width,
  });
  require(spec.levels.length >= 1, "levels must hold at least one level", {
    "levels.length": spec.levels.length,
  });
  for (const [i, level] of spec.levels.entries()) checkLevel(`levels[${i}]`, level, spec.position);
  if (spec.position.kind === "sincos") {
    const { width } = spec.levels[0];
    require(width % 4 === 0, "levels[0].width must be a multiple of 4 with sin-cos positions", {
      width,
    });
  }
}

function checkLevel(name: string, level: LevelSpec, position: HditSpec["position"]): void {
  whole(`${name}.depth`, level.depth, 0);
  whole(`${name}.width`, level.width, 1);
  whole(`${name}.dFf`, level.dFf, 1);
  rate(`${name}.dropout`, level.dropout);
  if (level.attention.kind === "none") return;
  const { dHead } = level.attention;
  whole(`${name}.attention.dHead`, dHead, 1);
  require(
    level.width % dHead === 0,
    `${name}.width must be divisible by its attention's dHead`,
    { width: level.width, dHead },
  );
  require(
    position.kind !== "rope" || dHead % 8 === 0,
    `${name}.attention.dHead must be a multiple of 8 with rotary positions`,
    { dHead },
  );
}

function whole(name: string, value: number, least: number): void {
  require(Number.isInteger(value) && value >= least, `${name} must be a whole number >= ${least}`, {
    [name]: value,
  });
}

function rate(name: string, value: number): void {
  require(value >= 0 && value < 1, `${name} must be at least 0 and less than 1`, { [name]: value });
}

function require(condition: boolean, rule: string, values: Record<string, number>): void {
  if (condition) return;
  const listed = Object.entries(values).map(([name, value]) => `${name} is ${value}`).join(", ");
  throw new RangeError(`Cannot build the model as ${rule}: ${listed}`);
}

function at(place: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${error.message} (${place})`);
    throw error;
  }
}
