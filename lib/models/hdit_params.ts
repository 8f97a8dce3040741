/**
 * The tensors of a model, their names, shapes and first values.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { Stream } from "../engine/random.ts";
import { type AdaNormParams, initAdaNorm } from "../nn/ada_norm.ts";
import { type ClassTokensParams, initClassTokens } from "../nn/class_tokens.ts";
import { type FourierFeaturesParams, initFourierFeatures } from "../nn/fourier_features.ts";
import { createParams, type Inits } from "../nn/init.ts";
import { initLearnedPositions, type LearnedPositionsParams } from "../nn/learned_positions.ts";
import { initLinear, type LinearParams } from "../nn/linear.ts";
import { initMappingNetwork, type MappingNetworkParams } from "../nn/mapping_network.ts";
import { initRMSNorm, type RMSNormParams } from "../nn/rms_norm.ts";
import { initSkip, type SkipParams } from "../nn/skips.ts";
import { initTokenMerge, type TokenMergeParams } from "../nn/token_merge.ts";
import { initTokenSplitWithoutSkip, type TokenSplitWithoutSkipParams } from "../nn/token_split.ts";
import { initTransformerLayer, type TransformerLayerParams } from "../nn/transformer_layer.ts";
import { checkModel, type HditSpec, type LevelSpec } from "./spec.ts";

/** Numbers of the augmentation condition. */
export const AUG_FEATURES = 9;

/** All tensors of a model, under the reference's names. Buffers (see {@link isBuffer}) are not trained. */
export type HditParams = {
  patch_in: TokenMergeParams;
  pos_emb?: LearnedPositionsParams;
  time_emb: FourierFeaturesParams;
  time_in_proj: LinearParams;
  aug_emb: FourierFeaturesParams;
  aug_in_proj: LinearParams;
  class_emb?: { weight: tf.Tensor }; // [numClasses + 1, mapping width]
  mapping_cond_in_proj?: LinearParams;
  mapping: MappingNetworkParams;
  in_context?: ClassTokensParams;
  down_levels: TransformerLayerParams[][];
  up_levels: TransformerLayerParams[][];
  mid_level: TransformerLayerParams[];
  merges: TokenMergeParams[];
  splits: (SkipParams & TokenSplitWithoutSkipParams)[];
  out_norm: RMSNormParams | AdaNormParams;
  patch_out: TokenSplitWithoutSkipParams;
};

/** The shapes and first values of a model's tensors, in the order of the reference's state dict. */
export function describeHdit(spec: HditSpec): Inits<HditParams> {
  checkModel(spec);
  const { levels, mapping, patchSize, position, norm, similarity, crossCondDim = 0 } = spec;
  const kind = spec.feedForward.kind;
  const width = mapping.width;
  const first = levels[0], last = levels[levels.length - 1], outer = levels.slice(0, -1);
  const layers = ({ depth, width, dFf, attention, crossAttention }: LevelSpec) =>
    Array.from({ length: depth }, () =>
      initTransformerLayer({
        width,
        dFf,
        condFeatures: mapping.width,
        kind,
        norm,
        similarity,
        rope: position.kind === "rope",
        axes: patchSize.length,
        ...(position.kind === "rope" && position.frequencies
          ? { frequencies: position.frequencies }
          : {}),
        dHead: attention.kind === "none" ? undefined : attention.dHead,
        cross: crossAttention && { ...crossAttention, crossFeatures: crossCondDim },
      }));
  const embedding = { shape: [spec.numClasses + 1, width], start: { kind: "normal" } } as const;
  return {
    patch_in: initTokenMerge({
      inFeatures: spec.inChannels + (spec.selfConditioning ? spec.outChannels : 0),
      outFeatures: first.width,
      patchSize,
      bottleneck: spec.patchBottleneck,
    }),
    ...(position.kind === "learned"
      ? { pos_emb: initLearnedPositions({ grid: position.grid, width: first.width }) }
      : {}),
    time_emb: initFourierFeatures({ inFeatures: 1, outFeatures: width }),
    time_in_proj: initLinear({ inFeatures: width, outFeatures: width }),
    aug_emb: initFourierFeatures({ inFeatures: AUG_FEATURES, outFeatures: width }),
    aug_in_proj: initLinear({ inFeatures: width, outFeatures: width }),
    ...(spec.numClasses > 0
      ? { class_emb: { weight: { ...embedding, shape: [...embedding.shape] } } }
      : {}),
    ...(spec.mappingCondDim > 0
      ? {
        mapping_cond_in_proj: initLinear({ inFeatures: spec.mappingCondDim, outFeatures: width }),
      }
      : {}),
    mapping: initMappingNetwork({
      depth: mapping.depth,
      width,
      dFf: mapping.dFf,
      kind: mapping.feedForward?.kind ?? kind,
    }),
    ...(spec.inContext
      ? { in_context: initClassTokens({ tokens: spec.inContext.tokens, features: last.width }) }
      : {}),
    down_levels: outer.map(layers),
    up_levels: outer.map(layers),
    mid_level: layers(last),
    merges: outer.map((level, i) =>
      initTokenMerge({
        inFeatures: level.width,
        outFeatures: levels[i + 1].width,
        patchSize: patchSize.map(() => 2),
      })
    ),
    splits: outer.map((level, i) => ({
      ...initSkip({ kind: spec.skip.kind, features: level.width }),
      ...initTokenSplitWithoutSkip({
        inFeatures: levels[i + 1].width,
        outFeatures: level.width,
        patchSize: patchSize.map(() => 2),
      }),
    })),
    out_norm: spec.outNorm
      ? initAdaNorm({ features: first.width, condFeatures: mapping.width, norm: spec.outNorm })
      : initRMSNorm(first.width),
    patch_out: initTokenSplitWithoutSkip({
      inFeatures: first.width,
      outFeatures: spec.outChannels,
      patchSize,
      zero: true,
    }),
  } as Inits<HditParams>;
}

/**
 * A new model. As in the reference, every block adds nothing at first and the output is 0: zero weights in out_proj,
 * down_proj, patch_out and the conditioned norms, fac ½, scale 10, frequencies N(0, 1), other linear maps
 * U(±1/√in), class embeddings N(0, 1). Where blocks have gates, these start at zero in place of their last weights.
 */
export function initHdit(spec: HditSpec, random: Stream): HditParams {
  return createParams<HditParams>(describeHdit(spec), random);
}
