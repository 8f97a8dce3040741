import * as tf from "@tensorflow/tfjs";
import type { Attention } from "./attention.ts";
import { axialRoPE, type AxialRoPEParams, initAxialRoPE, rotaryTable } from "./axial_rope.ts";
import { scaleForCosineSim } from "./cosine_sim.ts";
import { dropout, type DropoutSource } from "./dropout.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";
import { adaRMSNorm, type AdaRMSNormParams, initAdaRMSNorm } from "./rms_norm.ts";

/** A self-attention block; `pos_emb` only with rotary positions. */
export type SelfAttentionParams = {
  scale: tf.Tensor; // τ, [heads]
  norm: AdaRMSNormParams;
  qkv_proj: LinearParams; // [3·width, width]: q, k, v, each by heads
  pos_emb?: AxialRoPEParams;
  out_proj: LinearParams;
};

/** A self-attention block that adds nothing at first. */
export function initSelfAttention(
  { width, dHead, condFeatures, rope }: {
    width: number;
    dHead: number;
    condFeatures: number;
    rope: boolean;
  },
): Inits<SelfAttentionParams> {
  const heads = width / dHead;
  return {
    scale: { shape: [heads], start: { kind: "fill", value: 10 } },
    norm: initAdaRMSNorm({ features: width, condFeatures }),
    qkv_proj: initLinear({ inFeatures: width, outFeatures: 3 * width }),
    ...(rope ? { pos_emb: initAxialRoPE({ dHead, heads }) } : {}),
    out_proj: initLinear({ inFeatures: width, outFeatures: width, zero: true }),
  };
}

/**
 * x + W_out dropout(attend(q, k, v)) with q, k, v from AdaRMSNorm(x, cond), q and k scaled for cosine similarity
 * and turned by their positions (paper, §4.2).
 *
 * x is [B, tokens, width], `pos` is [tokens, 2].
 */
export function selfAttention(
  p: SelfAttentionParams,
  x: tf.Tensor,
  { cond, pos, attention, layer, ...drop }: {
    cond: tf.Tensor;
    pos: tf.Tensor;
    attention: Attention;
    layer: number;
    source?: DropoutSource | undefined;
    site: string;
    rate: number;
  },
): tf.Tensor {
  const [B, N, C] = x.shape as [number, number, number];
  const heads = p.scale.shape[0]!;
  const normed = adaRMSNorm(p.norm, x, cond);
  // three projections rather than one that is cut up: activations are larger than weights
  const [q, k, v] = tf.split(p.qkv_proj.weight, 3, 0)
    .map((weight) => tf.reshape(linear({ weight }, normed), [B, N, heads, C / heads]));
  const table = p.pos_emb && rotaryTable(p.pos_emb, pos);
  const place = (z: tf.Tensor) => {
    const scaled = scaleForCosineSim(z, p.scale);
    return table ? axialRoPE(scaled, table) : scaled;
  };
  const y = attention.attend(place(q), place(k), v, layer);
  return tf.add(x, linear(p.out_proj, dropout(tf.reshape(y, [B, N, C]), drop)));
}
