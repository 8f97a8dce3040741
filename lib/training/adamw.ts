import type * as tf from "@tensorflow/tfjs";

/** Settings of AdamW; the paper: lr 5e-4, betas 0.9 and 0.95, eps 1e-8, weight decay 1e-2. */
export type AdamWOptions = {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
};

/**
 * What one step of AdamW needs besides tensors, for one group of parameters, in double precision.
 *
 * The bias corrections c_k = 1 - beta_k^t are folded in, so that the update takes few passes over the
 * parameters: lr (m / c1) / (sqrt(v / c2) + eps) = size m / (sqrt(v) + epsilon),
 * size = lr sqrt(c2) / c1, epsilon = eps sqrt(c2); keep = 1 - lr weightDecay (decoupled decay).
 */
export type AdamWStep = { size: number; epsilon: number; keep: number };

/**
 * The numbers of optimiser step `step` (counted from 0) for a group.
 *
 * `lrScale` multiplies the learning rate, the decay with it, as in torch's parameter groups.
 * Source: Loshchilov & Hutter 2019, Algorithm 2.
 */
export function adamwStep(
  { lr, betas: [beta1, beta2], eps, weightDecay }: AdamWOptions,
  { step, lrScale = 1, decays = true }: { step: number; lrScale?: number; decays?: boolean },
): AdamWStep {
  const c1 = 1 - beta1 ** (step + 1), c2 = 1 - beta2 ** (step + 1), rate = lr * lrScale;
  return {
    size: rate * Math.sqrt(c2) / c1,
    epsilon: eps * Math.sqrt(c2),
    keep: decays ? 1 - rate * weightDecay : 1,
  };
}

/** A parameter with its gradient (and the gradient's square) and moments, all of one shape. */
export type AdamWLeaf = {
  param: tf.Tensor;
  grad: tf.Tensor;
  square: tf.Tensor;
  m: tf.Tensor;
  v: tf.Tensor;
};

/**
 * One update of one leaf.
 *
 * `scale` and `scaleSquared` multiply the gradient and its square: clipping times 1 - beta. Without
 * `keep` there is no decay. Scalars are tensors, so that they may change without tracing again.
 */
export function adamw(
  { param, grad, square, m, v }: AdamWLeaf,
  { betas: [beta1, beta2], scale, scaleSquared, size, epsilon, keep }: {
    betas: readonly [number, number];
    scale: tf.Scalar | number; // (1 - beta1) clip
    scaleSquared: tf.Scalar | number; // (1 - beta2) clip^2
    size: tf.Scalar;
    epsilon: tf.Scalar;
    keep?: tf.Scalar | undefined;
  },
): { param: tf.Tensor; m: tf.Tensor; v: tf.Tensor } {
  const newM = m.mul(beta1).add(grad.mul(scale));
  const newV = v.mul(beta2).add(square.mul(scaleSquared));
  const update = newM.mul(size).div(newV.sqrt().add(epsilon));
  return { param: (keep ? param.mul(keep) : param).sub(update), m: newM, v: newV };
}
