import * as tf from "@tensorflow/tfjs";
import type { Inits } from "./init.ts";

/** Frequencies of the features: a buffer, drawn once from N(0, 1) and never trained. */
export type FourierFeaturesParams = { weight: tf.Tensor }; // [out / 2, in]

/** Random frequencies for `outFeatures` features (an even number). */
export function initFourierFeatures(
  { inFeatures, outFeatures }: { inFeatures: number; outFeatures: number },
): Inits<FourierFeaturesParams> {
  return { weight: { shape: [outFeatures / 2, inFeatures], start: { kind: "normal" } } };
}

/** [cos 2π x Wᵀ, sin 2π x Wᵀ]; x is [B, in], the result [B, out]. */
export function fourierFeatures({ weight }: FourierFeaturesParams, x: tf.Tensor): tf.Tensor {
  const angle = tf.mul(tf.matMul(x, weight, false, true), 2 * Math.PI);
  return tf.concat([tf.cos(angle), tf.sin(angle)], -1);
}
