import * as tf from "@tensorflow/tfjs";
import { adaNorm, type AdaNormParams, addGated, initAdaNorm, type NormSpec } from "./ada_norm.ts";
import type { Attention } from "./attention.ts";
import { axialRoPE, type AxialRoPEParams, initAxialRoPE, rotaryTable } from "./axial_rope.ts";
import { scaleForCosineSim } from "./cosine_sim.ts";
import { dropout, type DropoutSource } from "./dropout.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** What the logits of attention are: τ times the cosine of query and key (paper, §4.2), or q · k / √d as in DiT. */
export type Similarity = "cosine" | "dot-product";
/** A self-attention block; `scale` only with cosine similarity, `pos_emb` only with rotary positions. */
export type SelfAttentionParams = {
  scale?: tf.Tensor; // τ, [heads]
  norm: AdaNormParams;
  qkv_proj: LinearParams; // [3·width, width]: q, k, v, each by heads
  pos_emb?: AxialRoPEParams;
  out_proj: LinearParams;
};

/** A self-attention block that adds nothing at first. */
export function initSelfAttention(
  { width, dHead, condFeatures, rope, axes = 2, frequencies, norm, similarity = "cosine" }: {
    width: number;
    dHead: number;
    condFeatures: number;
    rope: boolean;
    axes?: number;
    frequencies?: readonly [lowest: number, highest: number];
    norm?: NormSpec | undefined;
    similarity?: Similarity | undefined;
  },
): Inits<SelfAttentionParams> {
  const heads = width / dHead;
  return {
    ...(similarity === "cosine"
      ? { scale: { shape: [heads], start: { kind: "fill", value: 10 } } }
      : {}),
    norm: initAdaNorm({ features: width, condFeatures, norm }),
    qkv_proj: initLinear({ inFeatures: width, outFeatures: 3 * width }),
    ...(rope
      ? { pos_emb: initAxialRoPE({ dHead, heads, axes, ...(frequencies ? { frequencies } : {}) }) }
      : {}),
    out_proj: initLinear({ inFeatures: width, outFeatures: width, zero: !norm?.gate }),
  } as Inits<SelfAttentionParams>;
}

/**
 * x + gate · W_out dropout(attend(q, k, v)) with q, k, v from norm(x, cond), q and k scaled for cosine similarity
 * and turned by their positions (paper, §4.2); AdaRMSNorm without a gate by default.
 *
 * x is [B, tokens, width], `pos` is [tokens, 2]; `dHead` is needed with dot products, which have no `scale` that would
 * say how many heads there are.
 */
export function selfAttention(
  p: SelfAttentionParams,
  x: tf.Tensor,
  { cond, pos, attention, layer, norm, dHead, ...drop }: {
    cond: tf.Tensor;
    pos: tf.Tensor;
    attention: Attention;
    layer: number;
    norm?: NormSpec | undefined;
    dHead?: number | undefined;
    source?: DropoutSource | undefined;
    site: string;
    rate: number;
  },
): tf.Tensor {
  const [B, N, C] = x.shape as [number, number, number];
  const heads = p.scale ? p.scale.shape[0]! : C / dHead!;
  const { y: normed, gate } = adaNorm(p.norm, x, { cond, norm });
  // three projections rather than one that is cut up: activations are larger than weights
  const [q, k, v] = tf.split(p.qkv_proj.weight, 3, 0)
    .map((weight) => tf.reshape(linear({ weight }, normed), [B, N, heads, C / heads]));
  const table = p.pos_emb && rotaryTable(p.pos_emb, pos);
  const place = (z: tf.Tensor) => {
    const scaled = p.scale ? scaleForCosineSim(z, p.scale) : tf.mul(z, (C / heads) ** -0.25); // √ of 1 / √d
    return table ? axialRoPE(scaled, table) : scaled;
  };
  const attended = attention.attend(place(q), place(k), v, layer);
  const y = linear(p.out_proj, dropout(tf.reshape(attended, [B, N, C]), drop));
  return addGated(x, { y, gate });
}
