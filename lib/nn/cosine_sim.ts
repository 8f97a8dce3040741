import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";

const EPS = 1e-6;

/**
 * x √τ / √(Σ x² + 1e-6) over the last axis: of queries and of keys, so that their products are τ times the
 * cosine of their angle (paper, §4.2).
 *
 * x is [B, tokens, heads, d]; τ (`scale`) is [heads], a free scalar for each head that starts at 10.
 */
export function scaleForCosineSim(x: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const heads = scale.shape[0]!, d = x.shape[x.rank - 1];
  const root = tf.reshape(tf.sqrt(scale), [1, heads, 1]);
  return tf.reshape(normalizeAndScale(tf.reshape(x, [-1, heads, d]), root), x.shape);
}

/**
 * x r s with r = (Σ x² + ε)^(−1/2); x is [M, heads, d], s is [1, heads, 1].
 *
 * With c = Σ_d dy x: ds = Σ_M c r, and dx = dy r s − x c r³ s.
 */
function normalizeAndScale(x: tf.Tensor, s: tf.Tensor): tf.Tensor {
  return applyWithAdjoint([x, s], (x, s) => {
    const r = tf.rsqrt(tf.add(tf.sum(tf.square(x), -1, true), EPS)); // [M, heads, 1]
    return {
      value: tf.mul(x, tf.mul(r, s)),
      save: [x, s, r],
      adjoint: (dy, [x, s, r]) => {
        const c = tf.sum(tf.mul(dy, x), -1, true); // [M, heads, 1]
        const rs = tf.mul(r, s), cr = tf.mul(c, r);
        const along = tf.mul(tf.mul(cr, r), rs); // c r³ s
        return [tf.sub(tf.mul(dy, rs), tf.mul(x, along)), tf.sum(cr, 0, true)];
      },
    };
  });
}
