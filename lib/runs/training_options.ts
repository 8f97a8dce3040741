import { join } from "@std/path";
import type { Feeder } from "../data/feeder.ts";
import { denseData } from "../data/dense.ts";
import { hditModel } from "../diffusion/diffusion_model.ts";
import { treeDispose } from "../engine/tree.ts";
import { adaptClasses } from "../models/adapt_classes.ts";
import { growLevelsParams } from "../models/grow_levels.ts";
import type { HditParams } from "../models/hdit.ts";
import type { HditSpec } from "../models/spec.ts";
import type { TrainOptions } from "../training/run.ts";
import type { TrainPlan } from "./plan.ts";

/** Trained weights, and the model that they belong to. */
export type StartWeights = { params: HditParams; spec: HditSpec };

/** Where the checkpoints of a run are. */
export const checkpointFolder = (dir: string) => join(dir, "checkpoints");

/** The options of `openTraining` for a planned run. */
export function trainingOptions(
  { dir, config, spec, dataset }: TrainPlan,
  { feeder, initFrom, resetEma, signal }: {
    feeder: Feeder;
    initFrom?: HditParams | undefined;
    resetEma?: boolean | undefined;
    signal?: AbortSignal | undefined;
  },
): TrainOptions<HditParams> {
  const { size, seed, sigmaData, weighting, lossScales, accumulate, maxNorm, classDropout } =
    config;
  const { optimiser, lrSchedule, ema, density, postHocEma, save } = config;
  return {
    model: hditModel(spec, { prediction: config.prediction }),
    ...{ size, seed, sigmaData, weighting, lossScales, accumulate, maxNorm, classDropout },
    ...{
      optimiser,
      lrSchedule,
      ema,
      ...(density && { density }),
      ...(postHocEma && { postHocEma }),
    },
    batchAt: async (index) => {
      const { images, labels, augCond, selfCond } = await feeder.batchAt(index);
      const [, height, width] = images.shape;
      return {
        images: denseData(images),
        labels,
        size: [height, width],
        ...(augCond && { augCond }),
        ...(selfCond && { selfCond: denseData(selfCond) }),
      };
    },
    steps: Math.ceil(config.images / config.batchSize),
    // what must be the same to go on, and the names that a sampler of a checkpoint should know
    config: {
      data: config.data,
      batchSize: config.batchSize,
      augment: config.augment,
      ...(config.multiScale && { multiScale: config.multiScale }),
      ...(config.superResolution && { superResolution: config.superResolution }),
      classes: dataset.classes,
    },
    save: { dir: checkpointFolder(dir), everySeconds: save.everySeconds, keep: save.keep },
    ...(initFrom && { initFrom }),
    resetEma: resetEma ?? false,
    ...(signal && { signal }),
  };
}

/**
 * Parameters for a model from the trained ones of another: with other classes, with more fine levels, or the same.
 *
 * @throws {RangeError} where the models differ in something else.
 */
export function startParams(
  { params, spec: from }: StartWeights,
  { spec: to, seed }: { spec: HditSpec; seed: number },
): HditParams {
  const random = { seed, stream: "init" };
  const same = { ...from, numClasses: to.numClasses }; // with the classes, not yet the levels
  const adapted = adaptClasses(params, { from, to: same, random });
  const grown = growLevelsParams(adapted, { from: same, to, random });
  treeDispose(adapted);
  return grown;
}
