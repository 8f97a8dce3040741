/**
 * What a model costs, by the paper's rule: multiply-adds counted once, of linear maps and of attention alone.
 * Norms, activations, softmax, RoPE, residuals and embeddings are not counted.
 *
 * @module
 */
import { ADA_RMS_NORM, adaNormOutputs } from "../nn/ada_norm.ts";
import { type Grid, tokensOf } from "../nn/attention_kind.ts";
import { attentionKind } from "../nn/attention_spec.ts";
import { initEntries } from "../nn/init.ts";
import { describeHdit } from "./hdit_params.ts";
import { checkSpec, extraTokens, type FeedForwardSpec, type HditSpec, levelGrid } from "./spec.ts";
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
 * an image; `projections` q, k, v and out, those of cross-attention included; `localAttention` the products of kinds
 * whose queries see a fixed number of keys, `globalAttention` those of the others and of cross-attention.
 * `crossTokens` is the length of the sequence; it must be given where the model attends to one.
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
export function cost(
  spec: HditSpec,
  size: Grid,
  { crossTokens = 0 }: { crossTokens?: number } = {},
): Cost {
  checkSpec(spec, size);
  const { levels, mapping, norm = ADA_RMS_NORM, crossCondDim = 0 } = spec;
  if (crossCondDim > 0 && !(crossTokens > 0)) {
    throw new RangeError(
      `Cannot count the model as crossTokens must be at least 1 where crossCondDim is ${crossCondDim}: crossTokens is ${crossTokens}`,
    );
  }
  const up = matrices(spec.feedForward);
  const byLevel = levels.map((level, i): LevelCost => {
    const grid = levelGrid(spec, { size, level: i }), tokens = tokensOf(grid);
    const layers = i < levels.length - 1 ? 2 * level.depth : level.depth;
    const { width, attention, crossAttention } = level;
    const { local, pairs } = attentionKind(attention);
    // class tokens join some layers, whose attention then asks for no grid
    const extra = Array.from(
      { length: layers },
      (_, layer) => extraTokens(spec, { level: i, layer }),
    );
    const products = sum(
      extra.map((n, layer) =>
        2 * width * pairs(attention, { grid: n > 0 ? [tokens + n] : grid, layer })
      ),
    );
    const passed = layers * tokens + sum(extra); // tokens, summed over layers
    const own = attention.kind === "none" ? 0 : 1, cross = crossAttention ? 1 : 0;
    const byPart = {
      ...NONE,
      condition: layers * (own + cross + 1) * adaNormOutputs(norm) * mapping.width * width,
      projections: (own * 4 + cross * 2) * passed * width ** 2 +
        layers * cross * 2 * crossTokens * crossCondDim * width,
      feedForward: up * passed * width * level.dFf,
      localAttention: local ? products : 0,
      globalAttention: (local ? 0 : products) + cross * 2 * passed * crossTokens * width,
    };
    if (i === 0) byPart.patch = tokens * patchMacs(spec);
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
  const outNorm = spec.outNorm ? adaNormOutputs(spec.outNorm) * levels[0].width : 0;
  byPart.condition += (2 * mapping.width + spec.mappingCondDim + outNorm) * mapping.width +
    mapping.depth * matrices(mapping.feedForward ?? spec.feedForward) * mapping.width * mapping.dFf;
  const params = initEntries(describeHdit(spec)).filter(([path]) => !isBuffer(path))
    .map(([, { shape }]) => shape.reduce((a, b) => a * b, 1));
  return { params: sum(params), macs: sum(Object.values(byPart)), byPart, byLevel };
}

/** Matrices of a feed-forward block, each of width × dFf. */
function matrices({ kind }: FeedForwardSpec): number {
  return kind === "geglu" ? 3 : 2;
}

/** Multiply-adds of patch-in and patch-out for a token. */
function patchMacs({ patchSize, levels: [{ width }], ...spec }: HditSpec): number {
  const pixels = tokensOf(patchSize);
  const patchIn = pixels * (spec.inChannels + (spec.selfConditioning ? spec.outChannels : 0));
  const bottleneck = spec.patchBottleneck;
  const into = bottleneck === undefined ? patchIn * width : (patchIn + width) * bottleneck;
  return into + pixels * spec.outChannels * width;
}

function sum(numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
