import type * as tf from "@tensorflow/tfjs";
import type { NormSpec } from "./ada_norm.ts";
import type { Attention } from "./attention.ts";
import {
  crossAttention,
  type CrossAttentionParams,
  type CrossCond,
  initCrossAttention,
} from "./cross_attention.ts";
import type { DropoutSource } from "./dropout.ts";
import {
  feedForward,
  type FeedForwardKind,
  type FeedForwardParams,
  initFeedForward,
} from "./feed_forward.ts";
import type { Inits } from "./init.ts";
import {
  initSelfAttention,
  selfAttention,
  type SelfAttentionParams,
  type Similarity,
} from "./self_attention.ts";

/** One layer: self-attention (absent in levels without it), cross-attention (where wanted), then feed-forward. */
export type TransformerLayerParams = {
  self_attn?: SelfAttentionParams;
  cross_attn?: CrossAttentionParams;
  ff: FeedForwardParams;
};

/** A layer that passes its input through at first. */
export function initTransformerLayer(
  { dHead, cross, ...options }: {
    width: number;
    dFf: number;
    condFeatures: number;
    kind: FeedForwardKind;
    rope: boolean;
    /** Axes of the grid; 2 by default. */
    axes?: number;
    frequencies?: readonly [lowest: number, highest: number];
    norm?: NormSpec | undefined;
    similarity?: Similarity | undefined;
    /** Width of a head; undefined for a layer without self-attention. */
    dHead: number | undefined;
    /** Cross-attention: its heads' width, and the width of the sequence. */
    cross?: { dHead: number; crossFeatures: number } | undefined;
  },
): Inits<TransformerLayerParams> {
  return {
    ...(dHead === undefined ? {} : { self_attn: initSelfAttention({ ...options, dHead }) }),
    ...(cross ? { cross_attn: initCrossAttention({ ...options, ...cross }) } : {}),
    ff: initFeedForward(options),
  } as Inits<TransformerLayerParams>;
}

/** What a layer needs beside its parameters and its input. */
export type TransformerLayerOptions = {
  /** Output of the mapping network, [B, condition]. */
  cond: tf.Tensor;
  /** Positions of the tokens, [tokens, 2]. */
  pos: tf.Tensor;
  attention: Attention;
  /** The layer's number in its level, down path first. */
  layer: number;
  kind: FeedForwardKind;
  /** Norm of every block; AdaRMSNorm by default. */
  norm?: NormSpec | undefined;
  /** Width of a head; needed where the similarity is a dot product. */
  dHead?: number | undefined;
  /** The sequence that `cross_attn` attends to. */
  cross?: CrossCond | undefined;
  rate: number;
  source?: DropoutSource | undefined;
  /** Path of the layer, for dropout. */
  site: string;
};

/** x [B, tokens, width] through one layer. */
export function transformerLayer(
  p: TransformerLayerParams,
  x: tf.Tensor,
  { site, cross, ...options }: TransformerLayerOptions,
): tf.Tensor {
  let y = x;
  if (p.self_attn) {
    y = selfAttention(p.self_attn, y, { ...options, site: `${site}.self_attn` });
  }
  if (p.cross_attn) {
    y = crossAttention(p.cross_attn, y, { ...options, cross: cross!, site: `${site}.cross_attn` });
  }
  return feedForward(p.ff, y, { ...options, site: `${site}.ff` });
}
