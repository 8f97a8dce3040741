/**
 * The Hourglass Diffusion Transformer (paper, Figure 2): patches become tokens, levels of transformer layers
 * alternate with merges on the way down and splits with skips on the way up.
 *
 * Parameter trees carry the names of the reference's state dict, so that a tree's paths are its keys.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { adaNorm } from "../nn/ada_norm.ts";
import { tokensOf } from "../nn/attention_kind.ts";
import {
  type ClassTokens,
  classTokens,
  joinClassTokens,
  leaveClassTokens,
} from "../nn/class_tokens.ts";
import type { CrossCond } from "../nn/cross_attention.ts";
import type { DropoutSource } from "../nn/dropout.ts";
import { fourierFeatures } from "../nn/fourier_features.ts";
import { linear } from "../nn/linear.ts";
import { mappingNetwork } from "../nn/mapping_network.ts";
import { rmsNorm } from "../nn/rms_norm.ts";
import { joinSkip } from "../nn/skips.ts";
import { tokenMerge } from "../nn/token_merge.ts";
import { tokenSplitWithoutSkip } from "../nn/token_split.ts";
import { transformerLayer, type TransformerLayerParams } from "../nn/transformer_layer.ts";
import { anySizeGrids } from "./any_size.ts";
import { checkInputs, type HditInputs } from "./hdit_inputs.ts";
import { AUG_FEATURES, type HditParams } from "./hdit_params.ts";
import type { HditSpec } from "./spec.ts";
import { addPositions, type TokenGrid, tokenGrids } from "./token_grids.ts";

export { describeHdit, type HditParams, initHdit } from "./hdit_params.ts";
export type { HditInputs } from "./hdit_inputs.ts";
export { attentionFor } from "./token_grids.ts";

/**
 * The inner model F(c_in x, σ) of the preconditioned denoiser: [B, H, W, outChannels]; with a patch of one or three
 * sides, [B, length, outChannels] or [B, depth, H, W, outChannels], whatever the type says.
 *
 * Takes raw sigma and embeds log(σ) / 4 itself. Without a dropout source nothing is dropped. Throws a RangeError
 * where the spec does not fit the input, and a TypeError where a condition is missing or not expected. With `anySize`,
 * positions and windows are computed by operations instead of tables, so that what is recorded holds at other sizes.
 */
export function hdit(
  params: HditParams,
  inputs: HditInputs,
  { spec, dropout: source, anySize = false }: {
    spec: HditSpec;
    dropout?: DropoutSource | undefined;
    anySize?: boolean;
  },
): tf.Tensor4D {
  checkInputs(spec, inputs);
  return tf.tidy(() => {
    const { cond, embedding } = condition(params, inputs, { spec, source });
    const cross = inputs.crossCond &&
      { tokens: inputs.crossCond, padding: inputs.crossCondPadding };
    const run = levelRunner({ spec, cond, cross, source });

    const { patchSize } = spec;
    let x = tokenMerge(params.patch_in, withSelfCond(spec, inputs), { patchSize }); // [B, h, w, C]
    x = addPositions(params, x, { spec, anySize });
    const grids = (anySize ? anySizeGrids : tokenGrids)(spec, x.shape.slice(1, -1));
    const halves = patchSize.map(() => 2);

    // Down: layers, then merge; what is merged is kept
    const skips: tf.Tensor[] = [];
    for (const [i, layers] of params.down_levels.entries()) {
      x = run(layers, x, { level: i, grid: grids[i], site: `down_levels.${i}`, first: 0 });
      skips.push(x);
      x = tokenMerge(params.merges[i], x, { patchSize: halves });
    }

    // Middle
    const middle = grids.length - 1, { inContext } = spec;
    x = run(params.mid_level, x, {
      level: middle,
      grid: grids[middle],
      site: "mid_level",
      first: 0,
      extra: inContext &&
        { from: inContext.from, tokens: classTokens(params.in_context!, embedding!) },
    });

    // Up: split, join the skip, then layers, whose numbers go on from those of the way down
    for (const [i, layers] of [...params.up_levels.entries()].reverse()) {
      const up = tokenSplitWithoutSkip(params.splits[i], x, { patchSize: halves });
      x = joinSkip(params.splits[i], { kind: spec.skip.kind, skip: skips[i], up });
      const first = spec.levels[i].depth;
      x = run(layers, x, { level: i, grid: grids[i], site: `up_levels.${i}`, first });
    }

    const normed = "linear" in params.out_norm
      ? adaNorm(params.out_norm, x, { cond, norm: spec.outNorm }).y
      : rmsNorm(params.out_norm, x);
    return tokenSplitWithoutSkip(params.patch_out, normed, { patchSize }) as tf.Tensor4D;
  });
}

/** The input, followed by the earlier estimate where the model takes one: [B, H, W, channels]. */
function withSelfCond(spec: HditSpec, { x, selfCond }: HditInputs): tf.Tensor {
  if (!spec.selfConditioning) return x;
  return tf.concat([x, selfCond ?? tf.zeros([...x.shape.slice(0, -1), spec.outChannels])], -1);
}

/** The condition of every norm, the mapping network over the sum of all embeddings; and that of the class: [B, mapping width]. */
function condition(
  params: HditParams,
  { sigma, augCond, classCond, mappingCond }: HditInputs,
  { spec, source }: { spec: HditSpec; source: DropoutSource | undefined },
): { cond: tf.Tensor; embedding: tf.Tensor | undefined } {
  const B = sigma.shape[0]!;
  const noise = tf.reshape(tf.mul(tf.log(sigma), 1 / 4), [B, 1]); // c_noise = log(σ) / 4
  const aug = augCond ?? tf.zeros([B, AUG_FEATURES]);
  let sum = tf.add(
    linear(params.time_in_proj, fourierFeatures(params.time_emb, noise)),
    linear(params.aug_in_proj, fourierFeatures(params.aug_emb, aug)),
  );
  let embedding: tf.Tensor | undefined;
  if (params.class_emb) {
    const oneHot = tf.cast(tf.oneHot(classCond!.toInt(), spec.numClasses + 1), "float32");
    embedding = tf.matMul(oneHot, params.class_emb.weight);
    sum = tf.add(sum, embedding);
  }
  if (params.mapping_cond_in_proj) {
    sum = tf.add(sum, linear(params.mapping_cond_in_proj, mappingCond!));
  }
  const { dropout: rate, feedForward = spec.feedForward } = spec.mapping;
  const cond = mappingNetwork(params.mapping, sum, { kind: feedForward.kind, rate, source });
  return { cond, embedding };
}

/**
 * Runs the layers of a level on its grid of tokens [B, …grid, width]; `first` is the number of its first layer, `extra`
 * are tokens that join on the way.
 */
function levelRunner(
  { spec, cond, cross, source }: {
    spec: HditSpec;
    cond: tf.Tensor;
    cross: CrossCond | undefined;
    source: DropoutSource | undefined;
  },
) {
  return (
    layers: TransformerLayerParams[],
    x: tf.Tensor,
    { level, grid, site, first, extra }: {
      level: number;
      grid: TokenGrid;
      site: string;
      first: number;
      extra?: ClassTokens | undefined;
    },
  ): tf.Tensor => {
    const B = x.shape[0], tokensOfGrid = tokensOf(x.shape.slice(1, -1)), C = x.shape[x.rank - 1];
    const { attention, dropout: rate } = spec.levels[level];
    let tokens = tf.reshape(x, [B, tokensOfGrid, C]) as tf.Tensor, { pos } = grid;
    for (const [i, layer] of layers.entries()) {
      if (i === extra?.from) ({ tokens, pos } = joinClassTokens(extra, { tokens, pos }));
      tokens = transformerLayer(layer, tokens, {
        attention: grid.attention,
        pos,
        cond,
        cross,
        source,
        layer: first + i,
        kind: spec.feedForward.kind,
        norm: spec.norm,
        dHead: attention.kind === "none" ? undefined : attention.dHead,
        rate,
        site: `${site}.${i}`,
      });
    }
    return tf.reshape(extra ? leaveClassTokens(extra, tokens) : tokens, x.shape);
  };
}

export { hditParamsFromStateDict, isBuffer, paramGroup, stateDictShapes } from "./state_dict.ts";
