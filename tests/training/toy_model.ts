import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../../lib/diffusion/diffusion_model.ts";
import { normals, type Stream, substream } from "../../lib/engine/random.ts";

export type ToyParams = {
  mix: { weight: tf.Tensor }; // [channels, channels]
  level: { freqs: tf.Tensor; scale: tf.Tensor }; // [channels] each; freqs is a buffer
  classes?: { weight: tf.Tensor }; // [numClasses + 1, channels]
};

/** A network of a few numbers a pixel, with a buffer, two parameter groups and optional classes and dropout. */
export function toyModel(
  { channels = 2, numClasses = 0, dropout = 0 } = {},
): DiffusionModel<ToyParams> {
  const random = (stream: Stream, name: string, shape: number[]) =>
    tf.tensor(normals(substream(stream, name), 0, shape.reduce((a, b) => a * b, 1)), shape);
  return {
    config: { toy: { channels, numClasses, dropout } },
    channels,
    numClasses,
    check: ([h, w]) => {
      if (!(h >= 1 && w >= 1)) throw new RangeError(`Cannot take images of ${h} by ${w}`);
    },
    init: (stream) => ({
      mix: { weight: random(stream, "mix", [channels, channels]) },
      level: {
        freqs: random(stream, "freqs", [channels]),
        scale: random(stream, "scale", [channels]),
      },
      ...(numClasses > 0
        ? { classes: { weight: random(stream, "classes", [numClasses + 1, channels]) } }
        : {}),
    }),
    apply: (params, { x, sigma, cond, dropout: source }) => {
      const [B, H, W, C] = x.shape;
      const mixed = tf.matMul(x.reshape([B * H * W, C]), params.mix.weight).reshape(x.shape);
      const wave = tf.outerProduct(sigma.log(), params.level.freqs as tf.Tensor1D).cos(); // [B, C]
      let bias = wave.mul(params.level.scale);
      if (params.classes) {
        const hot = tf.oneHot(cond.classCond!.toInt(), numClasses + 1).cast("float32");
        bias = bias.add(tf.matMul(hot as tf.Tensor2D, params.classes.weight as tf.Tensor2D));
      }
      const out = mixed.add(bias.reshape([B, 1, 1, C])).tanh();
      const mask = dropout > 0 ? source?.("out", out.shape, dropout) : undefined;
      return (mask ? out.mul(mask) : out) as tf.Tensor4D;
    },
    isBuffer: (path) => path === "level.freqs",
    paramGroup: (path) => ({
      lrScale: path === "level.scale" ? 1 / 3 : 1,
      weightDecay: path === "mix.weight",
    }),
    isHidden: (path) => path === "mix.weight",
  };
}

/** Batches of waves that depend on the step alone. */
export function toyBatches({ B = 3, size = [2, 3], channels = 2, numClasses = 0 } = {}) {
  return (step: number) => ({
    images: Float32Array.from(
      { length: B * size[0] * size[1] * channels },
      (_, i) => Math.sin(0.7 * i + 1.3 * step),
    ),
    ...(numClasses > 0
      ? { labels: Int32Array.from({ length: B }, (_, i) => (i + step) % numClasses) }
      : {}),
  });
}
