/**
 * Features of images from a convolutional network that was never trained: its weights are drawn
 * once from a fixed seed. It needs no download and runs on every engine.
 *
 * A random network sees colours, edges, textures and their rough layout, and knows no things: it
 * orders noise, blur, scrambled and missing variety as an eye would, and cannot tell a good face
 * from a subtly wrong one. Distances on it are shown as `FD (random features)`; they are not FID,
 * and no number from elsewhere can be set beside them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../data/dense.ts";
import { resizeImages } from "../data/resize.ts";
import { compile } from "../engine/compile.ts";
import { normals } from "../engine/random.ts";
import { treeDispose } from "../engine/tree.ts";
import { extractInBatches, type FeatureExtractor } from "./features.ts";

export type RandomFeatureParams = {
  scales: { kernel: tf.Tensor4D; bias: tf.Tensor1D }[];
  layout: tf.Tensor2D; // [4 · 4 · WIDTH, LAYOUT]
};

const SIZE = 64; // every image is resized to this first
const SCALES = 4; // maps of 32, 16, 8 and 4 pixels a side
const WIDTH = 24; // channels of every map
const POOLED = 12; // how many of them are pooled: the channels are alike in kind
const LAYOUT = 32; // projections of the last map, which keep where things are

/** 4 maps × 12 channels × (mean, standard deviation) + 32 projections. */
export const RANDOM_FEATURE_DIMENSION = SCALES * POOLED * 2 + LAYOUT;

/**
 * Draws the network. Kernels are normal with variance 2 / fan-in (He et al. 2015); above the first
 * map each filter sums to 0, since what it sees is positive and its mean would drown the rest.
 */
export function initRandomFeatures({ seed = 0 }: { seed?: number } = {}): RandomFeatureParams {
  const draw = (name: string, n: number) =>
    normals({ seed, stream: `metrics/random-features/${name}` }, 0, n);
  const scales = Array.from({ length: SCALES }, (_, level) => {
    const [side, inputs] = level === 0 ? [5, 3] : [3, WIDTH];
    const fanIn = side * side * inputs;
    const kernel = draw(`kernel/${level}`, fanIn * WIDTH); // [side, side, inputs, WIDTH]
    for (let o = 0; o < WIDTH && level > 0; o++) {
      let mean = 0;
      for (let i = 0; i < fanIn; i++) mean += kernel[i * WIDTH + o] / fanIn;
      for (let i = 0; i < fanIn; i++) kernel[i * WIDTH + o] -= mean;
    }
    return {
      kernel: tf.tensor4d(kernel.map((w) => w * Math.sqrt(2 / fanIn)), [side, side, inputs, WIDTH]),
      bias: tf.tensor1d(draw(`bias/${level}`, WIDTH).map((b) => 0.1 * b)),
    };
  });
  const last = (SIZE / 2 ** SCALES) ** 2 * WIDTH;
  const layout = draw("layout", last * LAYOUT).map((w) => w / Math.sqrt(last));
  return { scales, layout: tf.tensor2d(layout, [last, LAYOUT]) };
}

/** Features [B, 128] of images [B, 64, 64, 3] in [-1, 1]. */
export function randomFeatures(params: RandomFeatureParams, images: tf.Tensor4D): tf.Tensor2D {
  return tf.tidy(() => {
    const B = images.shape[0];
    const features: tf.Tensor[] = [];
    let x = images;
    for (const { kernel, bias } of params.scales) {
      const y = tf.relu(tf.conv2d(x, kernel, 2, "same").add(bias)); // [B, h / 2, w / 2, WIDTH]
      // each pixel's channels to a mean square of 1, so that faint structure counts too
      x = y.div(y.square().mean(3, true).add(1e-2).sqrt());
      const pooled = x.slice([0, 0, 0, 0], [-1, -1, -1, POOLED]);
      const mean = pooled.mean([1, 2], true); // [B, 1, 1, POOLED]
      const variance = pooled.sub(mean).square().mean([1, 2]); // [B, POOLED]
      features.push(mean.reshape([B, POOLED]), variance.add(1e-6).sqrt());
    }
    features.push(tf.matMul(x.reshape([B, -1]), params.layout)); // [B, LAYOUT]
    return tf.concat(features, 1) as tf.Tensor2D;
  });
}

/**
 * An extractor of random features on the current engine. Images of any size are resized to
 * 64 × 64 (bicubic, antialiased) and clipped to [-1, 1], as a saved image would be; grey is
 * repeated. The same seed gives the same features everywhere: compare only those.
 */
export function randomFeatureExtractor(
  { seed = 0, batchSize = 64 }: { seed?: number; batchSize?: number } = {},
): FeatureExtractor {
  const params = initRandomFeatures({ seed });
  const run = compile(({ params, images }: { params: RandomFeatureParams; images: tf.Tensor4D }) =>
    randomFeatures(params, images)
  );
  return {
    name: "random features",
    dimension: RANDOM_FEATURE_DIMENSION,
    extract: (images) =>
      extractInBatches(images, {
        dimension: RANDOM_FEATURE_DIMENSION,
        batchSize,
        prepare: (part) => clipped(resizeImages(part, { height: SIZE, width: SIZE })),
        run: (images) => run({ params, images }),
      }),
    dispose() {
      run.dispose();
      treeDispose(params);
    },
  };
}

/** Values in [-1, 1], as a saved image would have. */
function clipped(images: NdArray<Float32Array>): NdArray<Float32Array> {
  const values = denseData(images).map((value) => Math.min(1, Math.max(-1, value)));
  return ndarray(values, images.shape);
}
