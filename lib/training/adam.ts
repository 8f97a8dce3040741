import type * as tf from "@tensorflow/tfjs";
import { adamw } from "./adamw.ts";

/**
 * One update of one leaf by Adam as torch has it: the decay is added to the gradient, g + weightDecay p, and
 * so enters both moments, where AdamW shrinks the parameter by itself.
 *
 * `size` and `epsilon` are those of `adamwStep`; `clip` multiplies the gradient, not the decay. Source: Kingma & Ba
 * 2015, Algorithm 1.
 */
export function adam(
  { param, grad, m, v }: { param: tf.Tensor; grad: tf.Tensor; m: tf.Tensor; v: tf.Tensor },
  { betas, clip, weightDecay, size, epsilon }: {
    betas: readonly [number, number];
    clip: tf.Scalar;
    weightDecay: number;
    size: tf.Scalar;
    epsilon: tf.Scalar;
  },
): { param: tf.Tensor; m: tf.Tensor; v: tf.Tensor } {
  const clipped = grad.mul(clip);
  const whole = weightDecay > 0 ? clipped.add(param.mul(weightDecay)) : clipped;
  return adamw({ param, grad: whole, square: whole.square(), m, v }, {
    betas,
    scale: 1 - betas[0],
    scaleSquared: 1 - betas[1],
    size,
    epsilon,
  });
}
