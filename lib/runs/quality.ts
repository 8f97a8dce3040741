/**
 * How good a model is, against the pictures that it was not trained on.
 *
 * @module
 */
import type { Batch } from "../data/dataset.ts";
import { denseData } from "../data/dense.ts";
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
