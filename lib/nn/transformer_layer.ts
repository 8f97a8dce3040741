import type * as tf from "@tensorflow/tfjs";
import type { Attention } from "./attention.ts";
import type { DropoutSource } from "./dropout.ts";
import {
  feedForward,
  type FeedForwardKind,
  type FeedForwardParams,
  initFeedForward,
} from "./feed_forward.ts";
import type { Inits } from "./init.ts";
import { initSelfAttention, selfAttention, type SelfAttentionParams } from "./self_attention.ts";

/** One layer: self-attention (absent in levels without attention), then feed-forward. */
export type TransformerLayerParams = { self_attn?: SelfAttentionParams; ff: FeedForwardParams };

/** A layer that passes its input through at first. */
export function initTransformerLayer(
  { dHead, ...options }: {
    width: number;
    dFf: number;
    condFeatures: number;
    kind: FeedForwardKind;
    rope: boolean;
    /** Width of a head; undefined for a layer without attention. */
    dHead: number | undefined;
  },
): Inits<TransformerLayerParams> {
  return {
    ...(dHead === undefined ? {} : { self_attn: initSelfAttention({ ...options, dHead }) }),
    ff: initFeedForward(options),
  };
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
  rate: number;
  source?: DropoutSource | undefined;
  /** Path of the layer, for dropout. */
  site: string;
};

/** x [B, tokens, width] through one layer. */
export function transformerLayer(
  p: TransformerLayerParams,
  x: tf.Tensor,
  { site, ...options }: TransformerLayerOptions,
): tf.Tensor {
  const attended = p.self_attn
    ? selfAttention(p.self_attn, x, { ...options, site: `${site}.self_attn` })
    : x;
  return feedForward(p.ff, attended, { ...options, site: `${site}.ff` });
}
