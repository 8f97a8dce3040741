/**
 * The Hourglass Diffusion Transformer (paper, Figure 2): patches become tokens, levels of transformer layers
 * alternate with merges on the way down and splits with skips on the way up.
 *
 * Parameter trees carry the names of the reference's state dict, so that a tree's paths are its keys.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Attention } from "../nn/attention.ts";
import { axialPositions, downscalePositions } from "../nn/axial_positions.ts";
import type { DropoutSource } from "../nn/dropout.ts";
import { fourierFeatures } from "../nn/fourier_features.ts";
import { globalAttention } from "../nn/global_attention.ts";
import { linear } from "../nn/linear.ts";
import { mappingNetwork } from "../nn/mapping_network.ts";
import { neighborhoodAttention } from "../nn/neighborhood_attention.ts";
import { rmsNorm } from "../nn/rms_norm.ts";
import { shiftedWindowAttention } from "../nn/shifted_window_attention.ts";
import { sincosPositions } from "../nn/sincos_positions.ts";
import { joinSkip } from "../nn/skips.ts";
import { tokenMerge } from "../nn/token_merge.ts";
import { tokenSplitWithoutSkip } from "../nn/token_split.ts";
import { transformerLayer, type TransformerLayerParams } from "../nn/transformer_layer.ts";
import { AUG_FEATURES, type HditParams } from "./hdit_params.ts";
import { checkSpec, type HditSpec, type LevelSpec } from "./spec.ts";

export { describeHdit, type HditParams, initHdit } from "./hdit_params.ts";

/** What a forward pass takes. */
export type HditInputs = {
  /** Noisy images, scaled by c_in: [B, H, W, inChannels]. */
  x: tf.Tensor;
  /** Noise levels, as they are: [B]. */
  sigma: tf.Tensor;
  /** Augmentation condition [B, 9]; zeros where absent. */
  augCond?: tf.Tensor | undefined;
  /** Class numbers, int32 [B]; numClasses is the null class. Required by a class-conditional model. */
  classCond?: tf.Tensor | undefined;
  /** Extra condition [B, mappingCondDim]. Required where mappingCondDim > 0. */
  mappingCond?: tf.Tensor | undefined;
};

/**
 * The inner model F(c_in x, σ) of the preconditioned denoiser: [B, H, W, outChannels].
 *
 * Takes raw sigma and embeds log(σ) / 4 itself. Without a dropout source nothing is dropped. Throws a RangeError
 * where the spec does not fit the input, and a TypeError where a condition is missing or not expected.
 */
export function hdit(
  params: HditParams,
  inputs: HditInputs,
  { spec, dropout: source }: { spec: HditSpec; dropout?: DropoutSource | undefined },
): tf.Tensor4D {
  checkInputs(spec, inputs);
  return tf.tidy(() => {
    const cond = condition(params, inputs, { spec, source });
    const run = levelRunner({ spec, cond, source });

    let x = tokenMerge(params.patch_in, inputs.x, { patchSize: spec.patchSize }); // [B, h, w, C]
    if (spec.position.kind === "sincos") x = addSincosPositions(x);
    const grids = gridsOf(spec, x.shape as Shape4);

    // Down: layers, then merge; what is merged is kept
    const skips: tf.Tensor[] = [];
    for (const [i, layers] of params.down_levels.entries()) {
      x = run(layers, x, { level: i, grid: grids[i], site: `down_levels.${i}`, first: 0 });
      skips.push(x);
      x = tokenMerge(params.merges[i], x);
    }

    // Middle
    const middle = grids.length - 1;
    x = run(params.mid_level, x, {
      level: middle,
      grid: grids[middle],
      site: "mid_level",
      first: 0,
    });

    // Up: split, join the skip, then layers, whose numbers go on from those of the way down
    for (const [i, layers] of [...params.up_levels.entries()].reverse()) {
      const up = tokenSplitWithoutSkip(params.splits[i], x);
      x = joinSkip(params.splits[i], { kind: spec.skip.kind, skip: skips[i], up });
      const first = spec.levels[i].depth;
      x = run(layers, x, { level: i, grid: grids[i], site: `up_levels.${i}`, first });
    }

    const { patchSize } = spec;
    const normed = rmsNorm(params.out_norm, x);
    return tokenSplitWithoutSkip(params.patch_out, normed, { patchSize }) as tf.Tensor4D;
  });
}

type Shape4 = [B: number, h: number, w: number, C: number];
/** What the layers of a level share. */
type Grid = { attention: Attention; pos: tf.Tensor };

/** The condition of every norm: the mapping network over the sum of all embeddings, [B, mapping width]. */
function condition(
  params: HditParams,
  { sigma, augCond, classCond, mappingCond }: HditInputs,
  { spec, source }: { spec: HditSpec; source: DropoutSource | undefined },
): tf.Tensor {
  const B = sigma.shape[0]!;
  const noise = tf.reshape(tf.mul(tf.log(sigma), 1 / 4), [B, 1]); // c_noise = log(σ) / 4
  const aug = augCond ?? tf.zeros([B, AUG_FEATURES]);
  let sum = tf.add(
    linear(params.time_in_proj, fourierFeatures(params.time_emb, noise)),
    linear(params.aug_in_proj, fourierFeatures(params.aug_emb, aug)),
  );
  if (params.class_emb) {
    const oneHot = tf.cast(tf.oneHot(classCond!.toInt(), spec.numClasses + 1), "float32");
    sum = tf.add(sum, tf.matMul(oneHot, params.class_emb.weight));
  }
  if (params.mapping_cond_in_proj) {
    sum = tf.add(sum, linear(params.mapping_cond_in_proj, mappingCond!));
  }
  const { dropout: rate } = spec.mapping;
  return mappingNetwork(params.mapping, sum, { kind: spec.feedForward.kind, rate, source });
}

/** Attention and positions of every level, for tokens on an h × w grid. */
function gridsOf(spec: HditSpec, [, h, w]: Shape4): Grid[] {
  const grids: Grid[] = [];
  let positions = axialPositions(h, w);
  for (const [i, level] of spec.levels.entries()) {
    if (i > 0) positions = downscalePositions(positions);
    const pos = tf.tensor(positions.data, [positions.h * positions.w, 2]);
    grids.push({ attention: attentionFor(level, positions), pos });
  }
  return grids;
}

/** The attention of a level on a grid. */
export function attentionFor(
  { attention, width }: LevelSpec,
  { h, w }: { h: number; w: number },
): Attention {
  switch (attention.kind) {
    case "global":
      return globalAttention();
    case "neighborhood": {
      const { kernelSize, dHead } = attention;
      return neighborhoodAttention({ h, w, kernelSize, heads: width / dHead });
    }
    case "shifted-window": {
      const { windowSize, dHead } = attention;
      return shiftedWindowAttention({ h, w, windowSize, heads: width / dHead });
    }
    case "none":
      return { attend: (_q, _k, v) => v };
  }
}

/** Runs the layers of a level on its grid of tokens [B, h, w, width]; `first` is the number of its first layer. */
function levelRunner(
  { spec, cond, source }: { spec: HditSpec; cond: tf.Tensor; source: DropoutSource | undefined },
) {
  return (
    layers: TransformerLayerParams[],
    x: tf.Tensor,
    { level, grid, site, first }: { level: number; grid: Grid; site: string; first: number },
  ): tf.Tensor => {
    const [B, h, w, C] = x.shape as Shape4;
    const tokens = layers.reduce((tokens, layer, i) =>
      transformerLayer(layer, tokens, {
        ...grid,
        cond,
        source,
        layer: first + i,
        kind: spec.feedForward.kind,
        rate: spec.levels[level].dropout,
        site: `${site}.${i}`,
      }), tf.reshape(x, [B, h * w, C]));
    return tf.reshape(tokens, x.shape);
  };
}

function addSincosPositions(x: tf.Tensor): tf.Tensor {
  const [, h, w, width] = x.shape as Shape4;
  return tf.add(x, tf.tensor(sincosPositions({ h, w, width }), [1, h, w, width]));
}

function checkInputs(spec: HditSpec, inputs: HditInputs): void {
  const { x, sigma, augCond, classCond, mappingCond } = inputs;
  if (!(x.rank === 4 && x.shape[3] === spec.inChannels)) {
    throw new RangeError(
      `Cannot run the model as x must be [batch, height, width, ${spec.inChannels}]: x is [${x.shape}]`,
    );
  }
  const [B, h, w] = x.shape as Shape4;
  checkSpec(spec, [h, w]);
  const shaped = (name: string, tensor: tf.Tensor | undefined, shape: number[]) => {
    if (tensor && `${tensor.shape}` !== `${shape}`) {
      throw new RangeError(
        `Cannot run the model as ${name} must be [${shape}]: ${name} is [${tensor.shape}]`,
      );
    }
  };
  shaped("sigma", sigma, [B]);
  shaped("augCond", augCond, [B, AUG_FEATURES]);
  shaped("classCond", classCond, [B]);
  shaped("mappingCond", mappingCond, [B, spec.mappingCondDim]);
  const given = (name: string, tensor: tf.Tensor | undefined, field: string, value: number) => {
    if (!!tensor !== value > 0) {
      throw new TypeError(
        `Cannot run the model as ${name} must be ${
          value > 0 ? "given" : "absent"
        }: ${field} is ${value}, ${name} is ${tensor ? "given" : "absent"}`,
      );
    }
  };
  given("classCond", classCond, "numClasses", spec.numClasses);
  given("mappingCond", mappingCond, "mappingCondDim", spec.mappingCondDim);
}
export { hditParamsFromStateDict, isBuffer, paramGroup, stateDictShapes } from "./state_dict.ts";
