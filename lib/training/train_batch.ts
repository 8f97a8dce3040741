import * as tf from "@tensorflow/tfjs";
import { sigmaAt } from "../diffusion/densities.ts";
import type { Cond } from "../diffusion/types.ts";
import { stratify } from "../diffusion/stratified.ts";
import { normals, uniforms } from "../engine/random.ts";
import type { TrainBatch, TrainSettings } from "./train_options.ts";
import { takeRows } from "../take_rows.ts";

export type { TrainBatch } from "./train_options.ts";

/** All that one step takes besides the state, as plain numbers. */
export type StepBatch = {
  step: number;
  shape: [B: number, H: number, W: number, C: number];
  images: Float32Array; // [B, H, W, C]
  noise: Float32Array; // [B, H, W, C]
  sigma: Float32Array; // [B]
  classCond?: Int32Array; // [B]
  augCond?: Float32Array; // [B, 9]
  selfCond?: Float32Array; // [B, H, W, C]
};

/** Some samples of a batch as tensors. */
export type BatchTensors = {
  images: tf.Tensor4D;
  noise: tf.Tensor4D;
  sigma: tf.Tensor1D;
  classCond?: tf.Tensor1D;
  augCond?: tf.Tensor2D;
  selfCond?: tf.Tensor4D;
  dropout?: Record<string, tf.Tensor>;
};

/**
 * The batch of a step: the images given, and all that is random, from streams of (seed, step). Noise levels are
 * stratified over the batch.
 *
 * Throws a RangeError when the batch does not hold whole images or its labels are wrong.
 */
export function drawBatch<P>(
  { model, seed, size, densityAt, classDropout }: TrainSettings<P>,
  { step, given }: { step: number; given: TrainBatch },
): StepBatch {
  const { images, labels, augCond, selfCond } = given,
    [H, W] = given.size ?? size,
    C = model.channels;
  const B = images.length / (H * W * C);
  if (!(Number.isInteger(B) && B >= 1)) {
    throw new RangeError(
      `Cannot train as a batch must hold whole images of [${H}, ${W}, ${C}]: it has ${images.length} numbers`,
    );
  }
  const stream = (name: string) => ({ seed, stream: `train/${name}` });
  const u = stratify(uniforms(stream("sigma"), step, B)), density = densityAt([H, W]);
  const batch: StepBatch = {
    step,
    shape: [B, H, W, C],
    images,
    noise: normals(stream("noise"), step, images.length),
    sigma: Float32Array.from(u, (p) => sigmaAt(density, p)),
    ...(augCond ? { augCond } : {}),
    ...(selfCond ? { selfCond } : {}),
  };
  if (model.numClasses === 0) return batch;
  if (!(labels && labels.length === B)) {
    throw new RangeError(
      `Cannot train a class-conditional model as a batch must have a label an image: ${
        labels?.length ?? 0
      } labels, ${B} images`,
    );
  }
  const drop = uniforms(stream("class-dropout"), step, B);
  const classCond = Int32Array.from(
    labels,
    (label, i) => drop[i] < classDropout ? model.numClasses : checkLabel(label, model.numClasses),
  );
  return { ...batch, classCond };
}

/** The tensors of the samples `rows` of a batch, in that order. */
export function batchTensors(
  { shape: [B, ...image], images, noise, sigma, classCond, augCond, selfCond }: StepBatch,
  rows: readonly number[],
): BatchTensors {
  const n = rows.length, shape: [number, number, number, number] = [n, ...image];
  const take = <T extends Float32Array | Int32Array>(from: T): T =>
    takeRows(from, rows, { each: from.length / B });
  return {
    images: tf.tensor4d(take(images), shape),
    noise: tf.tensor4d(take(noise), shape),
    sigma: tf.tensor1d(take(sigma)),
    ...(classCond ? { classCond: tf.tensor1d(take(classCond), "int32") } : {}),
    ...(augCond ? { augCond: tf.tensor2d(take(augCond), [n, augCond.length / B]) } : {}),
    ...(selfCond ? { selfCond: tf.tensor4d(take(selfCond), shape) } : {}),
  };
}

function checkLabel(label: number, numClasses: number): number {
  if (Number.isInteger(label) && label >= 0 && label < numClasses) return label;
  throw new RangeError(
    `Cannot train as labels must be whole numbers in [0, ${numClasses}): one is ${label}`,
  );
}

/** What the model is told of a batch besides the images. */
export function condOf({ classCond, augCond, selfCond }: BatchTensors): Cond {
  return {
    ...(classCond ? { classCond } : {}),
    ...(augCond ? { augCond } : {}),
    ...(selfCond ? { selfCond } : {}),
  };
}
