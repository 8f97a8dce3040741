import type * as tf from "@tensorflow/tfjs";

/** Conditioning of the inner model; the null class is number `numClasses`. */
export type Cond = {
  classCond?: tf.Tensor1D; // [B], int32
  augCond?: tf.Tensor2D; // [B, 9]
  mappingCond?: tf.Tensor2D; // [B, mappingCondDim]
  crossCond?: tf.Tensor3D; // [B, tokens, crossCondDim]
  crossCondPadding?: tf.Tensor2D; // [B, tokens], 1 where there is a token
  selfCond?: tf.Tensor4D; // an earlier estimate of the image, or what little of it is known
};

/** The inner network F: takes the scaled noisy image and the raw noise level. */
export type Model = (x: tf.Tensor4D, sigma: tf.Tensor1D, cond: Cond) => tf.Tensor4D;

/**
 * Estimates the clean image: D(x; sigma), with sigma one number a sample.
 *
 * May be asynchronous (a compiled function). The result must be a new tensor, owned by the caller.
 */
export type Denoiser<R extends tf.Rank = tf.Rank.R4> = (
  x: tf.Tensor<R>,
  sigma: tf.Tensor1D, // [B]
) => tf.Tensor<R> | Promise<tf.Tensor<R>>;

/** Shapes a number a sample so that it broadcasts over the sample's axes: [B] to [B, 1, 1, ...]. */
export function perSample(values: tf.Tensor1D, like: { rank: number }): tf.Tensor {
  return values.reshape([-1, ...new Array(like.rank - 1).fill(1)]);
}
