import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import { denoisingLoss } from "../diffusion/loss.ts";
import type { Weighting } from "../diffusion/weightings.ts";
import type { Cond } from "../diffusion/types.ts";
import { seededNormals } from "../diffusion/noise.ts";
import { compile } from "../engine/compile.ts";
import { takeRows } from "../take_rows.ts";

/** Held-out images and the noise levels to look at. */
export type HeldOutOptions = {
  images: Float32Array; // [n, H, W, C]
  labels?: ArrayLike<number>; // a class an image, for class-conditional models
  selfCond?: Float32Array; // [n, H, W, C], for models with selfConditioning
  size: readonly [height: number, width: number];
  sigmas: readonly number[];
  seed?: number; // 0
  batchSize?: number; // 16
  signal?: AbortSignal;
};

/** Loss at each noise level: of each image, the mean, and its standard error over images. */
export type HeldOutLoss = {
  mean: number; // over levels and images
  levels: { sigma: number; mean: number; standardError: number; losses: Float32Array }[];
};

/** A compiled evaluation of one model, for any parameters of it. */
export type HeldOutEvaluator<P> = {
  evaluate(params: P, options: HeldOutOptions): Promise<HeldOutLoss>;
  dispose(): void;
};

/**
 * Makes an evaluation of the loss at fixed noise levels with fixed noise, compiled once.
 *
 * Image i has the same noise at every level, in every call with the same seed and for every model, so
 * that differences between models are paired. The weighting is `karras` unless given, where a model
 * that predicts nothing scores about 1 at every level.
 */
export function heldOutEvaluator<P>(
  model: DiffusionModel<P>,
  { sigmaData = 0.5, weighting = { kind: "karras" } }: {
    sigmaData?: number;
    weighting?: Weighting;
  } = {},
): HeldOutEvaluator<P> {
  type Inputs = {
    params: P;
    images: tf.Tensor4D;
    noise: tf.Tensor4D;
    sigma: tf.Tensor1D;
    cond: Cond;
  };
  const lossOf = compile(({ params, images, noise, sigma, cond }: Inputs) =>
    denoisingLoss(
      (x, sigma, cond) => model.apply(params, { x, sigma, cond }),
      { images, noise, sigma, cond },
      { sigmaData, weighting, prediction: model.prediction },
    )
  );
  const evaluate = async (params: P, options: HeldOutOptions): Promise<HeldOutLoss> => {
    const { images, labels, selfCond, size: [H, W], sigmas, seed = 0 } = options;
    const each = H * W * model.channels, n = images.length / each;
    if (!(Number.isInteger(n) && n >= 1)) {
      throw new RangeError(
        `Cannot evaluate as there must be whole images of [${H}, ${W}, ${model.channels}]: there are ${images.length} numbers`,
      );
    }
    if (!(model.numClasses === 0 || labels?.length === n)) {
      throw new RangeError(
        `Cannot evaluate a class-conditional model as there must be a label an image: ${
          labels?.length ?? 0
        } labels, ${n} images`,
      );
    }
    model.check(options.size);
    const B = Math.min(options.batchSize ?? 16, n);
    const all = sigmas.map(() => new Float32Array(n));
    for (let first = 0; first < n; first += B) {
      // The last batch is filled up with its own last image, so that all have one shape.
      const rows = Array.from({ length: B }, (_, i) => Math.min(first + i, n - 1));
      const shape: [number, number, number, number] = [B, H, W, model.channels];
      const take = (from: Float32Array) => tf.tensor4d(takeRows(from, rows, { each }), shape);
      const batch = take(images);
      const noise = rowNoise(rows, { seed, shape });
      const cond: Cond = {
        ...(model.numClasses > 0
          ? { classCond: tf.tensor1d(rows.map((r) => labels![r]), "int32") }
          : {}),
        ...(selfCond ? { selfCond: take(selfCond) } : {}),
      };
      for (const [level, sigma] of sigmas.entries()) {
        options.signal?.throwIfAborted();
        const levels = tf.tensor1d(new Float32Array(B).fill(sigma));
        const loss = await lossOf({
          params,
          images: batch,
          noise,
          sigma: levels,
          cond,
        });
        const values = await loss.data();
        rows.forEach((r, i) => all[level][r] = values[i]);
        tf.dispose([levels, loss]);
      }
      tf.dispose([batch, noise, ...Object.values(cond)]);
    }
    const levels = sigmas.map((sigma, i) => ({ sigma, ...summary(all[i]), losses: all[i] }));
    return { mean: levels.reduce((sum, l) => sum + l.mean, 0) / levels.length, levels };
  };
  return { evaluate, dispose: () => lossOf.dispose() };
}

/** Noise of the images with these numbers: image r has seed-stream `evaluate/r`. */
function rowNoise(
  rows: number[],
  { seed, shape }: { seed: number; shape: [number, number, number, number] },
): tf.Tensor4D {
  const parts = rows.map((r) =>
    seededNormals({
      seeds: [seed],
      stream: `evaluate/${r}`,
      counter: 0,
      shape: [1, ...shape.slice(1)],
    })
  );
  const noise = tf.concat(parts);
  tf.dispose(parts);
  return noise as tf.Tensor4D;
}

function summary(values: Float32Array): { mean: number; standardError: number } {
  const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
  const square = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, standardError: n > 1 ? Math.sqrt(square / (n - 1) / n) : NaN };
}

/** Levels spaced evenly in ln sigma over the range that matters, for `HeldOutOptions.sigmas`. */
export function evaluationSigmas(
  n = 8,
  { sigmaMin = 0.02, sigmaMax = 20 }: { sigmaMin?: number; sigmaMax?: number } = {},
): number[] {
  return Array.from(
    { length: n },
    (_, i) => n === 1 ? sigmaMax : sigmaMax * (sigmaMin / sigmaMax) ** (i / (n - 1)),
  );
}
