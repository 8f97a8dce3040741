import * as tf from "@tensorflow/tfjs";

/** How samples are guided; the parts go together in any combination. */
export type Guidance = {
  /** Scale w of `guide`; 1, none, unless given. */
  guidanceScale?: number;
  /** Only levels low < s <= high are guided (Kynkäänniemi et al. 2024); all of them unless given. */
  guidanceInterval?: readonly [low: number, high: number];
  /** Share phi of `rescaleGuided`; 0, none, unless given. */
  guidanceRescale?: number;
};

/** Whether estimates at this level are guided; bounds and levels are compared in float32, as levels are. */
export function isGuided(
  sigma: number,
  { guidanceScale = 1, guidanceInterval: [low, high] = [0, Infinity] }: Guidance,
): boolean {
  const level = Math.fround(sigma);
  return guidanceScale !== 1 && level > Math.fround(low) && level <= Math.fround(high);
}

/** Throws a RangeError unless every part of the guidance is in its range. */
export function checkGuidance(
  { guidanceScale = 1, guidanceInterval, guidanceRescale = 0 }: Guidance,
): void {
  if (!Number.isFinite(guidanceScale)) {
    throw new RangeError(
      `Cannot guide as guidanceScale must be a finite number: guidanceScale is ${guidanceScale}`,
    );
  }
  const [low, high] = guidanceInterval ?? [0, Infinity];
  if (!(low >= 0 && high > low)) {
    throw new RangeError(
      `Cannot guide as guidanceInterval must be [low, high] with 0 <= low < high: it is [${low}, ${high}]`,
    );
  }
  if (!(guidanceRescale >= 0 && guidanceRescale <= 1)) {
    throw new RangeError(
      `Cannot guide as guidanceRescale must be in [0, 1]: guidanceRescale is ${guidanceRescale}`,
    );
  }
}

/**
 * Guidance on denoised images: D_u + w (D_c - D_u); w = 1 means none.
 *
 * D_u is the model's own estimate without the class (classifier-free guidance), or that of a weaker model
 * for the same class (autoguidance). `scale` is a scalar tensor, so that it may change without tracing
 * again. Source: Ho & Salimans 2022, with the paper's scale (Imagen's); Karras et al. 2024 ("Guiding a
 * diffusion model with a bad version of itself"), Eq. 3.
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
 * Brings a guided image back to the contrast of the conditional one: phi std(D_c) / std(D_g) D_g
 * + (1 - phi) D_g, with standard deviations over each sample; `rescale` is phi.
 *
 * Source: Lin et al. 2023 ("Common diffusion noise schedules and sample steps are flawed"), Eq. 15 and
 * 16, there on the network's output, here on denoised images.
 */
export function rescaleGuided<R extends tf.Rank>(
  { guided, conditional, rescale }: {
    guided: tf.Tensor<R>;
    conditional: tf.Tensor<R>;
    rescale: tf.Scalar;
  },
): tf.Tensor<R> {
  return tf.tidy(() => {
    const axes = Array.from({ length: guided.rank - 1 }, (_, i) => i + 1);
    const variance = (x: tf.Tensor) => tf.moments(x, axes, true).variance.add(1e-12); // of flat ones
    const ratio = variance(conditional).div(variance(guided)).sqrt(); // [B, 1, 1, 1]
    return guided.mul(ratio.sub(1).mul(rescale).add(1)) as tf.Tensor<R>;
  });
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
  { x, sigma, labels, nullClass, scale, rescale }: {
    x: tf.Tensor4D; // [B, H, W, C]
    sigma: tf.Tensor1D; // [B]
    labels: tf.Tensor1D; // [B], int32
    nullClass: number;
    scale: tf.Scalar;
    rescale?: tf.Scalar | undefined;
  },
): tf.Tensor4D {
  return tf.tidy(() => {
    const nulls = tf.fill([labels.shape[0]], nullClass, "int32") as tf.Tensor1D; // [B]
    const both = denoise(tf.concat([x, x]), tf.concat([sigma, sigma]), {
      classCond: tf.concat([labels, nulls]),
    }); // [2 B, H, W, C]
    const [conditional, unconditional] = tf.split(both, 2) as tf.Tensor4D[];
    const guided = guide({ conditional, unconditional, scale });
    return rescale ? rescaleGuided({ guided, conditional, rescale }) : guided;
  });
}
