/**
 * What a model costs, by the paper's rule: multiply-adds counted once, of linear maps and of attention alone.
 * Norms, activations, softmax, RoPE, residuals and embeddings are not counted.
 *
 * @module
 */
import { initEntries } from "../nn/init.ts";
import { describeHdit } from "./hdit_params.ts";
import { type AttentionSpec, checkSpec, type HditSpec, levelGrid } from "./spec.ts";
import { isBuffer } from "./state_dict.ts";

/** The parts into which multiply-adds fall. */
export type CostPart =
  | "patch"
  | "condition"
  | "projections"
  | "feedForward"
  | "globalAttention"
  | "localAttention"
  | "mergeSplit";
/** Multiply-adds of one level, both passes; its merge and split to the next level included. */
export type LevelCost = { tokens: number; macs: number; byPart: Record<CostPart, number> };
/** Parameters (buffers excluded) and multiply-adds of one forward pass of one image. */
export type Cost = {
  params: number;
  macs: number;
  byPart: Record<CostPart, number>;
  byLevel: LevelCost[];
};

const NONE: Record<CostPart, number> = {
  patch: 0,
  condition: 0,
  projections: 0,
  feedForward: 0,
  globalAttention: 0,
  localAttention: 0,
  mergeSplit: 0,
};

/**
 * Counts a model for inputs of `size` (height, width).
 *
 * `patch` is patch-in and patch-out; `condition` the mapping network and the linear maps of conditioned norms, once
 * an image; `projections` q, k, v and out; `localAttention` neighborhoods and windows.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { cost } from "./cost.ts";
 * import { presets } from "./presets.ts";
 *
 * assert.equal(cost(presets["ffhq-1024"], [1024, 1024]).params, 85_079_300); // paper, Table 3: 85M
 * ```
 */
export function cost(spec: HditSpec, size: readonly [h: number, w: number]): Cost {
  checkSpec(spec, size);
  const { patchSize: [p, q], levels, mapping } = spec;
  const up = spec.feedForward.kind === "geglu" ? 3 : 2; // matrices of a feed-forward block
  const byLevel = levels.map((level, i): LevelCost => {
    const { h, w } = levelGrid(spec, { size, level: i });
    const tokens = h * w;
    const layers = i < levels.length - 1 ? 2 * level.depth : level.depth;
    const attends = level.attention.kind !== "none";
    const byPart = {
      ...NONE,
      condition: layers * (attends ? 2 : 1) * mapping.width * level.width,
      projections: attends ? layers * 4 * tokens * level.width ** 2 : 0,
      feedForward: layers * up * tokens * level.width * level.dFf,
      [isLocal(level.attention) ? "localAttention" : "globalAttention"]: layers * 2 * tokens *
        keysSeen(level.attention, tokens) * level.width,
    };
    if (i === 0) byPart.patch = tokens * p * q * level.width * (spec.inChannels + spec.outChannels);
    if (i < levels.length - 1) {
      byPart.mergeSplit = 2 * tokens * level.width * levels[i + 1].width;
      if (spec.skip.kind === "concat") byPart.mergeSplit += 2 * tokens * level.width ** 2;
    }
    return { tokens, macs: sum(Object.values(byPart)), byPart };
  });
  const byPart = { ...NONE };
  for (const part of Object.keys(NONE) as CostPart[]) {
    byPart[part] = sum(byLevel.map((level) => level.byPart[part]));
  }
  byPart.condition += 2 * mapping.width ** 2 + spec.mappingCondDim * mapping.width +
    mapping.depth * up * mapping.width * mapping.dFf;
  const params = initEntries(describeHdit(spec)).filter(([path]) => !isBuffer(path))
    .map(([, { shape }]) => shape.reduce((a, b) => a * b, 1));
  return { params: sum(params), macs: sum(Object.values(byPart)), byPart, byLevel };
}

/** How many keys a query sees. */
function keysSeen(attention: AttentionSpec, tokens: number): number {
  switch (attention.kind) {
    case "global":
      return tokens;
    case "neighborhood":
      return attention.kernelSize ** 2;
    case "shifted-window":
      return attention.windowSize ** 2;
    case "none":
      return 0;
  }
}

function isLocal({ kind }: AttentionSpec): boolean {
  return kind === "neighborhood" || kind === "shifted-window";
}

function sum(numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
