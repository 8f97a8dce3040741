import * as tf from "@tensorflow/tfjs";
import { adaNorm, type AdaNormParams, addGated, initAdaNorm, type NormSpec } from "./ada_norm.ts";
import { MASKED, softmaxAttention } from "./attention.ts";
import { scaleForCosineSim } from "./cosine_sim.ts";
import { dropout, type DropoutSource } from "./dropout.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";
import { initRMSNorm, rmsNorm, type RMSNormParams } from "./rms_norm.ts";

/** Attention from the tokens of a grid to those of a sequence: text, audio frames. */
export type CrossAttentionParams = {
  scale: tf.Tensor; // τ, [heads]
  norm: AdaNormParams;
  norm_cond: RMSNormParams; // of the sequence
  q_proj: LinearParams;
  kv_proj: LinearParams; // [2·width, sequence width]: k, v, each by heads
  out_proj: LinearParams;
};
/** A sequence to attend to, with the same entries for all layers. */
export type CrossCond = {
  tokens: tf.Tensor; // [B, S, sequence width]
  /** 1 at padding, which is not seen, else 0: [B, S]; in a sample that is all padding, all is seen. */
  padding?: tf.Tensor | undefined;
};

/** A cross-attention block that adds nothing at first. */
export function initCrossAttention(
  { width, dHead, condFeatures, crossFeatures, norm }: {
    width: number;
    dHead: number;
    condFeatures: number;
    /** Width of the sequence. */
    crossFeatures: number;
    norm?: NormSpec | undefined;
  },
): Inits<CrossAttentionParams> {
  return {
    scale: { shape: [width / dHead], start: { kind: "fill", value: 10 } },
    norm: initAdaNorm({ features: width, condFeatures, norm }),
    norm_cond: initRMSNorm(crossFeatures),
    q_proj: initLinear({ inFeatures: width, outFeatures: width }),
    kv_proj: initLinear({ inFeatures: crossFeatures, outFeatures: 2 * width }),
    out_proj: initLinear({ inFeatures: width, outFeatures: width, zero: !norm?.gate }),
  };
}

/**
 * x + gate · W_out dropout(softmax(q kᵀ + mask) v) with q from norm(x, cond), k and v from RMSNorm(sequence), q and k
 * scaled for cosine similarity. Positions play no part: the sequence brings its own.
 *
 * x is [B, tokens, width].
 */
export function crossAttention(
  p: CrossAttentionParams,
  x: tf.Tensor,
  { cond, cross, norm, ...drop }: {
    cond: tf.Tensor;
    cross: CrossCond;
    norm?: NormSpec | undefined;
    source?: DropoutSource | undefined;
    site: string;
    rate: number;
  },
): tf.Tensor {
  const [B, N, C] = x.shape as [number, number, number];
  const S = cross.tokens.shape[1]!, heads = p.scale.shape[0]!;
  const { y: normed, gate } = adaNorm(p.norm, x, { cond, norm });
  const sequence = rmsNorm(p.norm_cond, cross.tokens);
  const byHeads = (y: tf.Tensor, n: number) => tf.reshape(y, [B, n, heads, C / heads]);
  const swap = (y: tf.Tensor) => tf.transpose(y, [0, 2, 1, 3]); // [B, n, heads, d] and back
  const q = scaleForCosineSim(byHeads(linear(p.q_proj, normed), N), p.scale);
  const [wK, wV] = tf.split(p.kv_proj.weight, 2, 0);
  const k = scaleForCosineSim(byHeads(linear({ weight: wK }, sequence), S), p.scale);
  const v = byHeads(linear({ weight: wV }, sequence), S);
  const mask = cross.padding && tf.reshape(tf.mul(cross.padding, MASKED), [B, 1, 1, S]);
  const attended = tf.reshape(swap(softmaxAttention(swap(q), swap(k), swap(v), mask)), x.shape);
  return addGated(x, { y: linear(p.out_proj, dropout(attended, drop)), gate });
}
