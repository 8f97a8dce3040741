import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { denseData, joinRows } from "../data/dense.ts";

/** Something that turns images into rows of features. */
export type FeatureExtractor = {
  /** What to write beside a distance: `FD (${name})`. */
  readonly name: string;
  readonly dimension: number;
  /** Features [N, dimension] of images [N, H, W, C] in [-1, 1]; C is 1 or 3. */
  extract(images: NdArray<Float32Array>): Promise<NdArray<Float32Array>>;
  /** Frees the network. */
  dispose(): void;
};

/** Throws a RangeError unless images are [N, H, W, C] with N >= 1 and C of 1 or 3. */
export function checkImages(images: NdArray): void {
  const [n, , , channels] = images.shape;
  if (!(images.shape.length === 4 && n >= 1 && (channels === 1 || channels === 3))) {
    throw new RangeError(
      `Cannot extract features as images must be [N, H, W, C] with N >= 1 and C of 1 or 3: ` +
        `shape is [${images.shape}]`,
    );
  }
}

/** Images with three channels; grey is repeated. */
export function withColours(images: NdArray<Float32Array>): NdArray<Float32Array> {
  const [n, height, width, channels] = images.shape;
  if (channels === 3) return images;
  const grey = denseData(images), out = new Float32Array(3 * grey.length);
  for (let i = 0; i < out.length; i++) out[i] = grey[Math.floor(i / 3)];
  return ndarray(out, [n, height, width, 3]);
}

/**
 * Runs a network on images [N, H, W, 3], `batchSize` at a time: features [N, dimension].
 *
 * `prepare` makes what the network takes out of a part of them; `run` gets [batchSize, h, w, 3], the last part filled up
 * with zeros, so that the network is compiled once a size.
 */
export async function extractInBatches(
  images: NdArray<Float32Array>,
  { dimension, batchSize, prepare, run }: {
    dimension: number;
    batchSize: number;
    prepare: (images: NdArray<Float32Array>) => NdArray<Float32Array>;
    run: (images: tf.Tensor4D) => Promise<tf.Tensor>;
  },
): Promise<NdArray<Float32Array>> {
  checkImages(images);
  const [n] = images.shape, out = new Float32Array(n * dimension);
  for (let start = 0; start < n; start += batchSize) {
    const count = Math.min(batchSize, n - start);
    const part = prepare(withColours(images.lo(start, 0, 0, 0).hi(count)));
    const [, height, width] = part.shape;
    const batch = new Float32Array(batchSize * height * width * 3);
    batch.set(denseData(part));
    const input = tf.tensor4d(batch, [batchSize, height, width, 3]);
    const features = await run(input);
    const values = await features.data() as Float32Array;
    out.set(values.subarray(0, count * dimension), start * dimension);
    tf.dispose([input, features]);
  }
  return ndarray(out, [n, dimension]);
}

/** Features [N, dimension] of images that come in parts [n, H, W, C], of which only one at a time is in memory. */
export async function featuresOfParts(
  features: FeatureExtractor,
  parts: AsyncIterable<NdArray<Float32Array>>,
): Promise<NdArray<Float32Array>> {
  const rows: NdArray<Float32Array>[] = [];
  for await (const images of parts) rows.push(await features.extract(images));
  return joinRows(rows);
}
