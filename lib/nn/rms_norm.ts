import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** A learned scale for each channel. */
export type RMSNormParams = { scale: tf.Tensor }; // [C]
/** A scale computed from the condition by a linear map. */
export type AdaRMSNormParams = { linear: LinearParams }; // [C, condition]

const EPS = 1e-6;

/** An RMSNorm that scales by 1. */
export function initRMSNorm(features: number): Inits<RMSNormParams> {
  return { scale: { shape: [features], start: { kind: "fill", value: 1 } } };
}

/** An AdaRMSNorm that scales by 1 whatever the condition (zero weights). */
export function initAdaRMSNorm(
  { features, condFeatures }: { features: number; condFeatures: number },
): Inits<AdaRMSNormParams> {
  return { linear: initLinear({ inFeatures: condFeatures, outFeatures: features, zero: true }) };
}

/** y = x / √(mean x² + 1e-6) · scale, over the last axis. */
export function rmsNorm({ scale }: RMSNormParams, x: tf.Tensor): tf.Tensor {
  const C = x.shape[x.rank - 1];
  const y = normalizeAndScale(tf.reshape(x, [1, -1, C]), tf.reshape(scale, [1, 1, C]));
  return tf.reshape(y, x.shape);
}

/**
 * y = x / √(mean x² + 1e-6) · (1 + W cond), no shift and no gate (paper, §4.3 "AdaRMSNorm").
 *
 * x is [B, …, C] and cond is [B, condition].
 */
export function adaRMSNorm(p: AdaRMSNormParams, x: tf.Tensor, cond: tf.Tensor): tf.Tensor {
  const B = x.shape[0], C = x.shape[x.rank - 1];
  const scale = tf.reshape(tf.add(linear(p.linear, cond), 1), [B, 1, C]);
  return tf.reshape(normalizeAndScale(tf.reshape(x, [B, -1, C]), scale), x.shape);
}

/**
 * x r s with r = (mean x² + ε)^(−1/2); x is [G, M, C], s is [G, 1, C].
 *
 * With p = dy x: ds = Σ_M r p, and dx = dy s r − x r³ (p · s) / C; both sums are matrix products.
 */
function normalizeAndScale(x: tf.Tensor, s: tf.Tensor): tf.Tensor {
  return applyWithAdjoint([x, s], (x, s) => {
    const r = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), EPS)); // [G, M, 1]
    return {
      value: tf.mul(tf.mul(x, r), s),
      save: [x, s, r],
      adjoint: (dy, [x, s, r]) => {
        const p = tf.mul(dy, x); // [G, M, C]
        const ds = tf.matMul(r, p, true, false); // [G, 1, C]
        const along = tf.matMul(p, s, false, true); // [G, M, 1]
        const r3 = tf.mul(tf.mul(r, tf.square(r)), 1 / x.shape[2]!);
        const dx = tf.sub(tf.mul(tf.mul(dy, s), r), tf.mul(x, tf.mul(along, r3)));
        return [dx, ds];
      },
    };
  });
}
