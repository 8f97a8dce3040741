/**
 * How good a model is, against the pictures that it was not trained on.
 *
 * @module
 */
import type { NdArray } from "ndarray";
import type { Batch, Dataset, Size } from "../data/dataset.ts";
import { denseData } from "../data/dense.ts";
import { readHeldOutParts } from "../data/draw.ts";
import { featureStatistics, frechetDistanceOfStatistics } from "../metrics/frechet.ts";
import { frechetInterval } from "../metrics/frechet_interval.ts";
import { type FeatureExtractor, featuresOfParts } from "../metrics/features.ts";
import { mean } from "../statistics.ts";
import type { HeldOutEvaluator } from "../training/evaluate.ts";

/** Draws backgrounds and noise of evaluations; the same for all models and seeds of training. */
export const EVALUATION_SEED = 0;

/** Held-out loss at fixed noise levels, and what it is the mean of. */
export type HeldOutQuality = {
  mean: number;
  bySigma: [sigma: number, loss: number][];
  byImage: number[];
  n: number;
};

/** The loss of parameters on held-out pictures, [n, H, W, C] with labels; every level counts alike. */
export async function heldOutQuality<P>(
  evaluator: HeldOutEvaluator<P>,
  { params, pictures, selfCond, numClasses, sigmas, batchSize, signal }: {
    params: P;
    pictures: Batch;
    selfCond?: Float32Array | undefined;
    numClasses: number;
    sigmas: readonly number[];
    batchSize: number;
    signal?: AbortSignal | undefined;
  },
): Promise<HeldOutQuality> {
  const [n, height, width] = pictures.images.shape;
  const { mean: overall, levels } = await evaluator.evaluate(params, {
    images: denseData(pictures.images),
    ...(numClasses > 0 && { labels: pictures.labels }),
    ...(selfCond && { selfCond }),
    size: [height, width],
    sigmas,
    seed: EVALUATION_SEED,
    batchSize: Math.min(batchSize, n),
    ...(signal && { signal }),
  });
  return {
    mean: overall,
    bySigma: levels.map(({ sigma, mean }) => [sigma, mean]),
    byImage: Array.from({ length: n }, (_, i) => mean(levels.map(({ losses }) => losses[i]))),
    n,
  };
}

/** A Fréchet distance with its interval, and that of training pictures as the floor. */
export type DistanceQuality = {
  value: number;
  low: number;
  high: number;
  n: number;
  nReference: number;
  features: string;
  floor: number;
};

/** The Fréchet distance of samples of a size to `nReference` held-out pictures, from the samples' features [n, D]. */
export async function distanceQuality(
  samples: NdArray<Float32Array>,
  { dataset, features, size, nReference }: {
    dataset: Dataset;
    features: FeatureExtractor;
    size: Size;
    nReference: number;
  },
): Promise<DistanceQuality> {
  const [n] = samples.shape;
  const statisticsOf = async (split: Dataset["train"], n: number) =>
    featureStatistics(await featuresOfParts(features, pictures(split, { size, n })));
  const reference = await statisticsOf(dataset.test, nReference);
  const { value, low, high } = frechetInterval(samples, reference, {
    groups: Math.min(20, Math.floor(n / 2)),
    seed: EVALUATION_SEED,
    least: 0,
  });
  const floor = frechetDistanceOfStatistics(await statisticsOf(dataset.train, n), reference);
  return { value, low, high, n, nReference, features: features.name, floor };
}

async function* pictures(split: Dataset["train"], { size, n }: { size: Size; n: number }) {
  for await (const { images } of readHeldOutParts(split, { size, n, seed: EVALUATION_SEED })) {
    yield images;
  }
}
