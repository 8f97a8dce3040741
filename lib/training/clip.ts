import * as tf from "@tensorflow/tfjs";

/** Euclidean norm over all gradients together, from their squares; a scalar. */
export function globalNorm(squares: tf.Tensor[]): tf.Scalar {
  return tf.addN(squares.map((s) => s.sum() as tf.Scalar)).sqrt();
}

/**
 * Factor that brings gradients of this norm down to `maxNorm`: min(1, maxNorm / (norm + 1e-6)), as
 * torch's clip_grad_norm_ has it; a scalar.
 */
export function clipFactor(norm: tf.Scalar, maxNorm: number): tf.Scalar {
  if (!(maxNorm > 0)) {
    throw new RangeError(
      `Cannot clip gradients as maxNorm must be positive: maxNorm is ${maxNorm}`,
    );
  }
  return tf.minimum(tf.div(maxNorm, norm.add(1e-6)), 1);
}
