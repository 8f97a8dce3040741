import type * as tf from "@tensorflow/tfjs";

/** Settings of gradient descent; the last three are 0 and false unless given. */
export type SgdOptions = {
  lr: number;
  momentum: number;
  nesterov: boolean;
  weightDecay: number;
};

/**
 * One update of one leaf by gradient descent as torch has it: g = clip gradient + weightDecay p, b = momentum b + g,
 * p - size (g + momentum b) with Nesterov's momentum and p - size b without.
 *
 * Without momentum there is no b and `m` stays away. Source: Sutskever et al. 2013, in the form of torch.optim.SGD.
 */
export function sgd(
  { param, grad, m }: { param: tf.Tensor; grad: tf.Tensor; m?: tf.Tensor | undefined },
  { momentum, nesterov, weightDecay, clip, size }: {
    momentum: number;
    nesterov: boolean;
    weightDecay: number;
    clip: tf.Scalar;
    size: tf.Scalar;
  },
): { param: tf.Tensor; m?: tf.Tensor } {
  const clipped = grad.mul(clip);
  const g = weightDecay > 0 ? clipped.add(param.mul(weightDecay)) : clipped;
  if (!m) return { param: param.sub(g.mul(size)) };
  const newM = m.mul(momentum).add(g);
  const direction = nesterov ? g.add(newM.mul(momentum)) : newM;
  return { param: param.sub(direction.mul(size)), m: newM };
}
