/**
 * How far samples are from a data set's pictures.
 *
 * @module
 */
import type { NdArray } from "ndarray";
import type { Dataset, Size } from "../data/dataset.ts";
import { readHeldOutParts } from "../data/draw.ts";
import { type FeatureExtractor, featuresOfParts } from "../metrics/features.ts";
import {
  type FeatureStatistics,
  featureStatistics,
  frechetDistanceOfStatistics,
} from "../metrics/frechet.ts";
import { frechetInterval } from "../metrics/frechet_interval.ts";
import type { WorkProgress } from "./plan.ts";
import { EVALUATION_SEED } from "./quality.ts";

type Images = NdArray<Float32Array>;

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

/** Measures distances on one kind of features to one data set. */
export type DistanceMeter = {
  /** The Fréchet distance of samples [n, H, W, C], which come in parts, to `nReference` held-out pictures of their size. */
  measure(
    samples: AsyncIterable<Images>,
    options: {
      size: Size;
      nReference: number;
      signal?: AbortSignal | undefined;
      /** Called in what takes more than a second: the pictures' features, and the interval. */
      onProgress?: WorkProgress | undefined;
    },
  ): Promise<DistanceQuality>;
  /** Frees the extractor. */
  dispose(): void;
};

/** Makes a meter. Features of pictures are taken once for each size and number of them: they may be 50,000. */
export function distanceMeter(dataset: Dataset, features: FeatureExtractor): DistanceMeter {
  const known = new Map<string, FeatureStatistics>();

  const statisticsOf = async (
    split: Dataset["train"],
    { size, n, signal, onProgress }: {
      size: Size;
      n: number;
      signal?: AbortSignal | undefined;
      onProgress?: WorkProgress | undefined;
    },
  ) => {
    const key = `${split.name}/${size}/${n}`, report = afterASecond(onProgress);
    const what = `features of ${split.name === "test" ? "held-out" : "training"} pictures`;
    const parts = async function* () {
      let done = 0;
      for await (const { images } of readHeldOutParts(split, { size, n, seed: EVALUATION_SEED })) {
        signal?.throwIfAborted();
        yield images;
        done += images.shape[0];
        report({ what, done, total: n });
      }
    };
    const found = known.get(key) ?? featureStatistics(await featuresOfParts(features, parts()));
    known.set(key, found);
    return found;
  };

  return {
    async measure(parts, { size, nReference, signal, onProgress }) {
      const samples = await featuresOfParts(features, parts), [n] = samples.shape;
      const work = { size, signal, onProgress };
      const reference = await statisticsOf(dataset.test, { ...work, n: nReference });
      const training = await statisticsOf(dataset.train, { ...work, n });
      const report = afterASecond(onProgress);
      const { value, low, high } = await frechetInterval(samples, reference, {
        groups: Math.min(20, Math.floor(n / 2)),
        seed: EVALUATION_SEED,
        least: 0,
        signal,
        onProgress: (progress) => report({ what: "distance", ...progress }),
      });
      const floor = frechetDistanceOfStatistics(training, reference);
      return { value, low, high, n, nReference, features: features.name, floor };
    },
    dispose: () => features.dispose(),
  };
}

/** Calls through once a second is over, so that short work shows no bar. */
function afterASecond(onProgress: WorkProgress | undefined): WorkProgress {
  const start = performance.now();
  return (progress) => {
    if (performance.now() - start > 1000) onProgress?.(progress);
  };
}
