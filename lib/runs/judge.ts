import { join } from "@std/path";
import ndarray, { type NdArray } from "ndarray";
import type { Batch } from "../data/dataset.ts";
import { denseData, joinRows } from "../data/dense.ts";
import { readHeldOut, readHeldOutParts } from "../data/draw.ts";
import { lowResolutionOf } from "../data/training_batch.ts";
import { hditModel } from "../diffusion/diffusion_model.ts";
import { imageSampler } from "../diffusion/sample.ts";
import { imageGrid } from "../io/images.ts";
import { openFeatures } from "../metrics/open_features.ts";
import type { HditParams } from "../models/hdit.ts";
import { heldOutEvaluator } from "../training/evaluate.ts";
import type { EvaluationRecord } from "./log.ts";
import type { TrainPlan, WorkProgress } from "./plan.ts";
import { type DistanceMeter, distanceMeter } from "./distance.ts";
import { EVALUATION_SEED, heldOutQuality } from "./quality.ts";

type Work = { signal?: AbortSignal | undefined; onProgress?: WorkProgress | undefined };

/** Looks at a model from time to time while it is trained: compiled once, the same noise every time. */
export type Judge = {
  evaluate(params: HditParams, work: Work): Promise<Pick<EvaluationRecord, "heldOut" | "distance">>;
  /** A grid of samples as a PNG file; sample i has the same noise and class every time. */
  demo(params: HditParams, work: Work): Promise<Uint8Array>;
  dispose(): void;
};

/** Images at once; more has no use on a processor. */
const BATCH = 16;
/** Images in memory at once. */
const PART = 16 * BATCH;

/** Opens a judge for a run; nothing is compiled before it is used. */
export function openJudge({ config, spec, dataset }: TrainPlan): Judge {
  const { size, sigmaData, sampling, evaluate: { sigmas, samples, heldOut: n } } = config;
  const model = hditModel(spec, { prediction: config.prediction });
  const evaluator = heldOutEvaluator(model, { sigmaData });
  const sampler = imageSampler(model, { sigmaData });
  let meter: DistanceMeter | undefined;
  const { superResolution } = config;
  const withStart = (batch: Batch) => ({
    batch,
    // what a super-resolution model starts from: pictures with little detail
    selfCond: superResolution && denseData(lowResolutionOf(batch.images, superResolution)),
  });

  /** Samples [n, H, W, C], a part of them at a time. */
  const sample = async function* (
    params: HditParams,
    { n, what, signal, onProgress }: Work & { n: number; what: string },
  ): AsyncGenerator<NdArray<Float32Array>, void, void> {
    const drawn = superResolution &&
      readHeldOutParts(dataset.test, { size, n, seed: EVALUATION_SEED, part: PART });
    for (let first = 0; first < n; first += PART) {
      const count = Math.min(PART, n - first);
      const starts = drawn && withStart((await drawn.next()).value!);
      const labels = starts?.batch.labels ??
        Int32Array.from({ length: count }, (_, i) => (first + i) % spec.numClasses);
      const images = await sampler.sample(params, {
        ...(starts?.selfCond && { selfCond: starts.selfCond }),
        ...(spec.numClasses > 0 && { labels }),
        ...sampling,
        size,
        n: count,
        seed: EVALUATION_SEED + first,
        batchSize: Math.min(BATCH, n),
        ...(signal && { signal }),
        onStep: ({ step, steps, batch }) => {
          const before = first / BATCH + batch, batches = Math.ceil(n / BATCH);
          onProgress?.({
            what,
            done: before * steps + step + 1,
            total: batches * steps,
            note: `batch ${before + 1} of ${batches}`,
          });
        },
      });
      yield ndarray(images, [count, ...size, dataset.channels]);
    }
  };

  return {
    async evaluate(params, { signal, onProgress }) {
      const { batch, selfCond } = withStart(
        await readHeldOut(dataset.test, { size, n, seed: EVALUATION_SEED }),
      );
      const { byImage: _, ...loss } = await heldOutQuality(evaluator, {
        params,
        pictures: batch,
        selfCond,
        numClasses: spec.numClasses,
        sigmas,
        batchSize: BATCH,
        signal,
      });
      if (samples === 0) return { heldOut: loss };
      meter ??= distanceMeter(dataset, await openFeatures(config.evaluate.features));
      const work = { signal, onProgress };
      const parts = sample(params, { ...work, n: samples, what: "samples" });
      const distance = await meter.measure(parts, { ...work, size, nReference: samples });
      return { heldOut: loss, distance };
    },
    async demo(params, work) {
      const { n } = config.demo;
      const parts = await Array.fromAsync(sample(params, { ...work, n, what: "demo" }));
      return await imageGrid(joinRows(parts));
    },
    dispose() {
      evaluator.dispose();
      sampler.dispose();
      meter?.dispose();
    },
  };
}

/** Where a demo of a run is kept, relative to its folder. */
export function demoFile(images: number): string {
  return join("demos", `demo_${String(images).padStart(8, "0")}.png`);
}
