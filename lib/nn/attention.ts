import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";

/** A kind of attention, set up for one grid. */
export type Attention = {
  /**
   * Attends from each token to those that it sees. q, k, v and the result are [B, h·w, heads, d], tokens row by row;
   * `layer` is the layer's number in its level (shifted windows shift every other layer).
   */
  attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, layer: number): tf.Tensor;
};

/** Added to the logits of keys that a query must not see: the weight becomes exactly 0 in float32. */
export const MASKED = -1e9;

/** softmax(q kᵀ + mask) over the keys; q is […, M, d], k is […, K, d], the mask broadcasts to […, M, K]. */
export function attentionWeights(q: tf.Tensor, k: tf.Tensor, mask?: tf.Tensor): tf.Tensor {
  const logits = tf.matMul(q, k, false, true);
  return tf.softmax(mask ? tf.add(logits, mask) : logits);
}

/**
 * Gradients of y = P v with P = softmax(q kᵀ + mask), from dy.
 *
 * dS = P (dP − Σ_d dy y): the row sums of P dP equal those of dy y, which has far fewer entries.
 */
export function attentionAdjoint(
  dy: tf.Tensor,
  { q, k, v, P, y }: { q: tf.Tensor; k: tf.Tensor; v: tf.Tensor; P: tf.Tensor; y: tf.Tensor },
): { dq: tf.Tensor; dk: tf.Tensor; dv: tf.Tensor } {
  const rowSums = tf.sum(tf.mul(dy, y), -1, true); // […, M, 1]
  const dS = tf.mul(P, tf.sub(tf.matMul(dy, v, false, true), rowSums)); // […, M, K]
  return {
    dq: tf.matMul(dS, k),
    dk: tf.matMul(dS, q, true, false),
    dv: tf.matMul(P, dy, true, false),
  };
}

/** softmax(q kᵀ + mask) v with scale 1, over […, M, d] and […, K, d]; the mask is a constant. */
export function softmaxAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  mask?: tf.Tensor,
): tf.Tensor {
  return applyWithAdjoint([q, k, v], (q, k, v) => {
    const P = attentionWeights(q, k, mask);
    const y = tf.matMul(P, v);
    return {
      value: y,
      save: [q, k, v, P, y],
      adjoint: (dy, [q, k, v, P, y]) => {
        const { dq, dk, dv } = attentionAdjoint(dy, { q, k, v, P, y });
        return [dq, dk, dv];
      },
    };
  });
}
