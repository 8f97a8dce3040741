/**
 * What a model is: plain data. Sizes of inputs are not part of it: one model runs at any size that its patch and
 * its merges divide.
 *
 * @module
 */
import type { NormSpec } from "../nn/ada_norm.ts";
import { ROPE_FREQUENCIES } from "../nn/axial_rope.ts";
import type { Grid } from "../nn/attention_kind.ts";
import { attentionKind, type AttentionSpec } from "../nn/attention_spec.ts";
import type { FeedForwardKind } from "../nn/feed_forward.ts";
import type { Similarity } from "../nn/self_attention.ts";
import type { Patch } from "../nn/token_merge.ts";

export type { AttentionSpec } from "../nn/attention_spec.ts";
export type { AxialAttentionSpec } from "../nn/axial_attention.ts";
export type { GlobalAttentionSpec } from "../nn/global_attention.ts";
export type { NeighborhoodAttentionSpec } from "../nn/neighborhood_attention.ts";
export type { NoAttentionSpec } from "../nn/no_attention.ts";
export type { ShiftedWindowAttentionSpec } from "../nn/shifted_window_attention.ts";
export type { SlidingWindowAttentionSpec } from "../nn/sliding_window_attention.ts";

/** One level of the hourglass; all but the last are passed twice, down and up. */
export type LevelSpec = {
  /** Layers on each pass. */
  depth: number;
  /** Channels, a multiple of dHead. */
  width: number;
  /** Hidden width of the feed-forward block (3 × width in the paper; 4 × with GELU). */
  dFf: number;
  attention: AttentionSpec;
  /** Attention to a sequence (`crossCondDim` numbers a token) after self-attention in every layer; none by default. */
  crossAttention?: { dHead: number };
  /** Dropout rate of its blocks, 0 to less than 1. */
  dropout: number;
};
/** The mapping network, from noise level and classes to the condition of every norm. */
export type MappingSpec = {
  depth: number;
  width: number;
  dFf: number;
  dropout: number;
  /** Activation of its blocks; that of all others by default. */
  feedForward?: FeedForwardSpec;
};
/** Activation of feed-forward blocks (paper, Table 1, row C). */
export type FeedForwardSpec = { kind: FeedForwardKind };

/** Axial rotary positions (paper, §4.2). */
export type RopeSpec =
  & {
    kind: "rope";
    /** Range of the frequencies in units of π; [1, 10] by default. */
    frequencies?: readonly [lowest: number, highest: number];
  }
  & (
    /** The grid's longer side spans [−1, 1] at any size, as in the reference: the default. */
    | { positions?: "rescaled" }
    /** Tokens keep the distances that they have on `trainingGrid`, the finest level's at training. */
    | { positions: "training-pitch"; trainingGrid: Grid }
  );
/** Where tokens get their positions from. */
export type PositionSpec =
  | RopeSpec
  /** A fixed table added after patch-in (paper, Table 1, rows R1 to C). */
  | { kind: "sincos" }
  /** A learned table for a grid of the finest level, added after patch-in; interpolated on other grids. */
  | { kind: "learned"; grid: Grid }
  | { kind: "none" };

/** An Hourglass Diffusion Transformer; with one level, an isotropic one. */
export type HditSpec = {
  inChannels: number;
  outChannels: number;
  /** Sides of a patch, one an axis: two for images, one for sound, three for video. */
  patchSize: Patch;
  /** Finest level first; the last one is the middle of the hourglass. */
  levels: LevelSpec[];
  mapping: MappingSpec;
  /** Classes without the null class; 0 for an unconditional model. */
  numClasses: number;
  /** Width of an extra condition given as numbers; 0 for none. */
  mappingCondDim: number;
  position: PositionSpec;
  /** How skips join the upsampled stream (paper, Table 2). */
  skip: { kind: "lerp" } | { kind: "add" } | { kind: "concat" } | { kind: "none" };
  /** Activation of every feed-forward block; the mapping network may have one of its own. */
  feedForward: FeedForwardSpec;
  /** Norm of every block (paper, Table 5, rows G and H); AdaRMSNorm without a gate by default. */
  norm?: NormSpec;
  /** Norm before patch-out: conditioned as in DiT, or, by default, an RMSNorm with a learned scale. */
  outNorm?: NormSpec;
  /** Logits of self-attention; "cosine" by default, "dot-product" in DiT. */
  similarity?: Similarity;
  /** Channels between the two linear maps of patch-in (JiT); one linear map by default. */
  patchBottleneck?: number;
  /**
   * Class tokens that join the others before layer `from` of the middle level and leave after the last one (JiT's
   * in-context conditioning): the class embedding and a learned vector each. The level's attention is global or none,
   * its width the mapping network's; none by default.
   */
  inContext?: { tokens: number; from: number };
  /** Width of a sequence that levels with `crossAttention` attend to; 0, for none, by default. */
  crossCondDim?: number;
  /** Whether an earlier estimate of the image is an input too (Chen et al. 2022, "Analog Bits"); no by default. */
  selfConditioning?: boolean;
};

/**
 * The spec for inputs of 2^doublings times the side: the shallowest level is repeated, so that the middle keeps its
 * grid (paper, §4.2; as new levels with parameters of their own, as in the reference). Grids that positions are tied
 * to grow with the input. `growLevelsParams` carries trained weights over.
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
  const grown = (grid: Grid) => grid.map((n) => n * 2 ** doublings);
  const { position } = spec;
  const tied = position.kind === "learned"
    ? { grid: grown(position.grid) }
    : "trainingGrid" in position
    ? { trainingGrid: grown(position.trainingGrid) }
    : {};
  return {
    ...spec,
    levels: [...repeated, ...spec.levels],
    position: { ...position, ...tied } as PositionSpec,
  };
}

/** Grid of a level for an input of `size`, slowest axis first: [height, width] in pixels for images. */
export function levelGrid(
  { patchSize }: HditSpec,
  { size, level }: { size: Grid; level: number },
): number[] {
  return size.map((length, axis) => length / patchSize[axis] / 2 ** level);
}

/** Class tokens among the tokens of a layer of a level. */
export function extraTokens(
  { inContext, levels }: HditSpec,
  { level, layer }: { level: number; layer: number },
): number {
  const joined = inContext && level === levels.length - 1 && layer >= inContext.from;
  return joined ? inContext.tokens : 0;
}

/** What the axes of a model's inputs are called. */
export function inputSides({ patchSize }: HditSpec): string[] {
  return AXES[patchSize.length];
}
const AXES: Record<number, string[]> = {
  1: ["length"],
  2: ["height", "width"],
  3: ["depth", "height", "width"],
};

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
export function checkSpec(spec: HditSpec, size: Grid): void {
  checkModel(spec);
  const axes = spec.patchSize.length;
  if (!(size.length === axes)) {
    throw new RangeError(
      `Cannot run the model as the input's size must have as many sides as patches have: patch is ${
        spec.patchSize.join(" × ")
      }, size is ${size.join(" × ")}`,
    );
  }
  for (const [axis, length] of size.entries()) {
    const name = inputSides(spec)[axis];
    const unit = spec.patchSize[axis] * 2 ** (spec.levels.length - 1);
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
    at(
      `level ${level}, input ${size.join(" × ")}`,
      () => attentionKind(attention).check(attention, grid),
    );
  }
}

/** The checks that need no input size. */
export function checkModel(spec: HditSpec): void {
  whole("inChannels", spec.inChannels, 1);
  whole("outChannels", spec.outChannels, 1);
  const axes = spec.patchSize.length;
  require(axes in AXES, "patchSize must have 1 to 3 sides", { "patchSize.length": axes });
  spec.patchSize.forEach((side, axis) => whole(`patchSize[${axis}]`, side, 1));
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
  const { patchBottleneck = 1, crossCondDim = 0 } = spec;
  whole("patchBottleneck", patchBottleneck, 1);
  whole("crossCondDim", crossCondDim, 0);
  require(!spec.outNorm?.gate, "outNorm must have no gate as it ends no block", {
    "outNorm.gate": Number(spec.outNorm?.gate),
  });
  for (const [i, level] of spec.levels.entries()) checkLevel(`levels[${i}]`, level, spec);
  checkPosition(spec);
  checkInContext(spec);
}

function checkInContext({ inContext, levels, mapping, numClasses }: HditSpec): void {
  if (!inContext) return;
  const { depth, width, attention } = levels[levels.length - 1], { from } = inContext;
  whole("inContext.tokens", inContext.tokens, 1);
  whole("inContext.from", from, 0);
  require(from < depth, "inContext.from must be below the depth of the middle level", {
    from,
    depth,
  });
  require(numClasses > 0, "inContext must come with classes", { numClasses });
  require(
    width === mapping.width,
    "inContext needs a middle level as wide as the mapping network",
    {
      width,
      "mapping.width": mapping.width,
    },
  );
  if (attention.kind === "global" || attention.kind === "none") return;
  throw new RangeError(
    `Cannot build the model as inContext needs global attention or none in the middle level, whose tokens are not a grid any more: attention is ${attention.kind}`,
  );
}

function checkPosition({ position, levels, patchSize }: HditSpec): void {
  const axes = patchSize.length;
  const checkGrid = (name: string, grid: Grid) => {
    const rule = `${name} must have a side for each of the patch's`;
    require(grid.length === axes, rule, { [`${name}.length`]: grid.length });
    grid.forEach((side, axis) => whole(`${name}[${axis}]`, side, 1));
  };
  switch (position.kind) {
    case "rope": {
      const [lowest, highest] = position.frequencies ?? ROPE_FREQUENCIES;
      require(0 < lowest && lowest <= highest, "position.frequencies must rise from above 0", {
        lowest,
        highest,
      });
      if (position.positions === "training-pitch") {
        checkGrid("position.trainingGrid", position.trainingGrid);
      }
      return;
    }
    case "sincos": {
      const { width } = levels[0];
      const rule = `levels[0].width must be a multiple of ${2 * axes} with sin-cos positions`;
      require(width % (2 * axes) === 0, rule, { width });
      return;
    }
    case "learned":
      return checkGrid("position.grid", position.grid);
    case "none":
      return;
  }
}

function checkLevel(
  name: string,
  level: LevelSpec,
  { position, patchSize, crossCondDim = 0 }: HditSpec,
): void {
  whole(`${name}.depth`, level.depth, 0);
  whole(`${name}.width`, level.width, 1);
  whole(`${name}.dFf`, level.dFf, 1);
  rate(`${name}.dropout`, level.dropout);
  const headsOf = (field: string, dHead: number) => {
    whole(`${name}.${field}.dHead`, dHead, 1);
    const rule = `${name}.width must be divisible by the dHead of its ${field}`;
    require(level.width % dHead === 0, rule, { width: level.width, dHead });
  };
  if (level.crossAttention) {
    headsOf("crossAttention", level.crossAttention.dHead);
    const rule = `crossCondDim must be at least 1 as ${name} has cross-attention`;
    require(crossCondDim >= 1, rule, { crossCondDim });
  }
  if (level.attention.kind === "none") return;
  const { dHead } = level.attention;
  headsOf("attention", dHead);
  const turned = 4 * patchSize.length; // half of a head, in pairs, for every axis
  require(
    position.kind !== "rope" || dHead % turned === 0,
    `${name}.attention.dHead must be a multiple of ${turned} with rotary positions`,
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
