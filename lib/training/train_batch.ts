import * as tf from "@tensorflow/tfjs";
import { sigmaAt } from "../diffusion/densities.ts";
import { stratify } from "../diffusion/stratified.ts";
import { normals, uniforms } from "../engine/random.ts";
import type { TrainSettings } from "./train_options.ts";

/** One batch: images [B, H, W, C] row-major in [-1, 1], a class a sample, and augmentation if there is any. */
export type TrainBatch = {
  images: Float32Array;
  labels?: ArrayLike<number>;
  augCond?: Float32Array; // [B, 9]
};

/** The tensors that one step takes besides the state. */
export type BatchTensors = {
  images: tf.Tensor4D;
  noise: tf.Tensor4D;
  sigma: tf.Tensor1D;
  classCond?: tf.Tensor1D;
  augCond?: tf.Tensor2D;
  dropout?: Record<string, tf.Tensor>;
};

/**
 * The tensors of a step: the images given, and all that is random, from streams of (seed, step).
 *
 * Throws a RangeError when the batch does not hold whole images or its labels are wrong.
 */
export function makeBatch<P>(
  { model, seed, size: [H, W], density, classDropout }: TrainSettings<P>,
  { step, given }: { step: number; given: TrainBatch },
): BatchTensors {
  const each = H * W * model.channels, B = given.images.length / each;
  if (!(Number.isInteger(B) && B >= 1)) {
    throw new RangeError(
      `Cannot train as a batch must hold whole images of [${H}, ${W}, ${model.channels}]: it has ${given.images.length} numbers`,
    );
  }
  const shape: [number, number, number, number] = [B, H, W, model.channels];
  const stream = (name: string) => ({ seed, stream: `train/${name}` });
  const u = stratify(uniforms(stream("sigma"), step, B));
  const batch: BatchTensors = {
    images: tf.tensor4d(given.images, shape),
    noise: tf.tensor4d(normals(stream("noise"), step, given.images.length), shape),
    sigma: tf.tensor1d(Float32Array.from(u, (p) => sigmaAt(density, p))),
  };
  if (given.augCond) batch.augCond = tf.tensor2d(given.augCond, [B, given.augCond.length / B]);
  if (model.numClasses === 0) return batch;
  if (!(given.labels && given.labels.length === B)) {
    throw new RangeError(
      `Cannot train a class-conditional model as a batch must have a label an image: ${
        given.labels?.length ?? 0
      } labels, ${B} images`,
    );
  }
  const drop = uniforms(stream("class-dropout"), step, B);
  const classes = Int32Array.from(
    given.labels,
    (label, i) => drop[i] < classDropout ? model.numClasses : checkLabel(label, model.numClasses),
  );
  return { ...batch, classCond: tf.tensor1d(classes, "int32") };
}

function checkLabel(label: number, numClasses: number): number {
  if (Number.isInteger(label) && label >= 0 && label < numClasses) return label;
  throw new RangeError(
    `Cannot train as labels must be whole numbers in [0, ${numClasses}): one is ${label}`,
  );
}
