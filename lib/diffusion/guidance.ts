import * as tf from "@tensorflow/tfjs";

/**
 * Classifier-free guidance on denoised images: D_u + w (D_c - D_u); w = 1 means none.
 *
 * `scale` is a scalar tensor, so that it may change without tracing again.
 * Source: Ho & Salimans 2022, with the paper's scale (Imagen's).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { setEngine } from "../engine/engine.ts";
 *
 * await setEngine("cpu");
 * const [c, u] = [tf.ones([1, 1, 1, 1]), tf.zeros([1, 1, 1, 1])] as tf.Tensor4D[];
 * assert.equal(guide({ conditional: c, unconditional: u, scale: tf.scalar(1.5) }).dataSync()[0], 1.5);
 * ```
 */
export function guide<R extends tf.Rank>(
  { conditional, unconditional, scale }: {
    conditional: tf.Tensor<R>;
    unconditional: tf.Tensor<R>;
    scale: tf.Scalar;
  },
): tf.Tensor<R> {
  return tf.tidy(() => unconditional.add(conditional.sub(unconditional).mul(scale)));
}

/**
 * Guided denoising by one call at twice the batch: the first half with labels, the second with the
 * null class.
 */
export function guidedDenoise(
  denoise: (
    x: tf.Tensor4D,
    sigma: tf.Tensor1D,
    cond: { classCond: tf.Tensor1D },
  ) => tf.Tensor4D,
  { x, sigma, labels, nullClass, scale }: {
    x: tf.Tensor4D; // [B, H, W, C]
    sigma: tf.Tensor1D; // [B]
    labels: tf.Tensor1D; // [B], int32
    nullClass: number;
    scale: tf.Scalar;
  },
): tf.Tensor4D {
  return tf.tidy(() => {
    const nulls = tf.fill([labels.shape[0]], nullClass, "int32") as tf.Tensor1D; // [B]
    const both = denoise(tf.concat([x, x]), tf.concat([sigma, sigma]), {
      classCond: tf.concat([labels, nulls]),
    }); // [2 B, H, W, C]
    const [conditional, unconditional] = tf.split(both, 2) as tf.Tensor4D[];
    return guide({ conditional, unconditional, scale });
  });
}
