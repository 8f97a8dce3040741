import { join } from "@std/path";
import ndarray from "ndarray";
import { denseData } from "../data/dense.ts";
import { readHeldOut } from "../data/draw.ts";
import { lowResolutionOf } from "../data/training_batch.ts";
import { hditModel } from "../diffusion/diffusion_model.ts";
import { imageSampler } from "../diffusion/sample.ts";
import { imageGrid } from "../io/images.ts";
import type { FeatureExtractor } from "../metrics/features.ts";
import { openFeatures } from "../metrics/open_features.ts";
import type { HditParams } from "../models/hdit.ts";
import { heldOutEvaluator } from "../training/evaluate.ts";
import type { EvaluationRecord } from "./log.ts";
import type { TrainPlan, WorkProgress } from "./plan.ts";
import { distanceQuality, EVALUATION_SEED, heldOutQuality } from "./quality.ts";

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

/** Opens a judge for a run; nothing is compiled before it is used. */
export function openJudge({ config, spec, dataset }: TrainPlan): Judge {
  const { size, sigmaData, sampling, evaluate: { sigmas, samples, heldOut: n } } = config;
  const model = hditModel(spec, { prediction: config.prediction });
  const evaluator = heldOutEvaluator(model, { sigmaData });
  const sampler = imageSampler(model, { sigmaData });
  let features: FeatureExtractor | undefined;
  const { superResolution } = config;
  const pictures = async (n: number) => {
    const batch = await readHeldOut(dataset.test, { size, n, seed: EVALUATION_SEED });
    // what a super-resolution model starts from: pictures with little detail
    const selfCond = superResolution && denseData(lowResolutionOf(batch.images, superResolution));
    return { batch, selfCond };
  };

  const sample = async (
    params: HditParams,
    { n, what, signal, onProgress }: Work & { n: number; what: string },
  ) => {
    const starts = superResolution && await pictures(n);
    const images = await sampler.sample(params, {
      ...(starts?.selfCond && { selfCond: starts.selfCond }),
      ...(starts && spec.numClasses > 0 && { labels: starts.batch.labels }),
      ...sampling,
      size,
      n,
      seed: EVALUATION_SEED,
      batchSize: BATCH,
      ...(signal && { signal }),
      onStep: ({ step, steps, batch, batches }) =>
        onProgress?.({
          what,
          done: batch * steps + step + 1,
          total: batches * steps,
          note: `batch ${batch + 1} of ${batches}`,
        }),
    });
    return ndarray(images, [n, ...size, dataset.channels]);
  };

  return {
    async evaluate(params, { signal, onProgress }) {
      const { batch, selfCond } = await pictures(n);
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
      features ??= await openFeatures(config.evaluate.features);
      const images = await sample(params, { n: samples, what: "samples", signal, onProgress });
      const distance = await distanceQuality(images, { dataset, features, nReference: samples });
      return { heldOut: loss, distance };
    },
    async demo(params, work) {
      const { n } = config.demo;
      return await imageGrid(await sample(params, { ...work, n, what: "demo" }));
    },
    dispose() {
      evaluator.dispose();
      sampler.dispose();
      features?.dispose();
    },
  };
}

/** Where a demo of a run is kept, relative to its folder. */
export function demoFile(images: number): string {
  return join("demos", `demo_${String(images).padStart(8, "0")}.png`);
}
