import { dirname, join } from "@std/path";
import { type Density, paperDensity } from "../diffusion/densities.ts";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import type { Weighting } from "../diffusion/weightings.ts";
import type { EmaSchedule } from "./ema.ts";
import type { LrSchedule } from "./lr_schedules.ts";
import { type OptimiserOptions, resolveOptimiser } from "./optimisers.ts";
import { powerGamma } from "./power_ema.ts";

/** One batch: images [B, H, W, C] row-major in [-1, 1], a class a sample, and augmentation if there is any. */
export type TrainBatch = {
  images: Float32Array;
  labels?: ArrayLike<number>;
  augCond?: Float32Array; // [B, 9]
  selfCond?: Float32Array; // [B, H, W, C], for models with selfConditioning
  /** Where it is not the run's size: batches of several sizes train one model. */
  size?: readonly [height: number, width: number];
};

/** What a run is; all of it from `model` to `config` but `steps` and `normJump` must be the same to go on with it. */
export type TrainOptions<P> = {
  model: DiffusionModel<P>;
  size: readonly [height: number, width: number];
  /** The batch of a step; must depend on nothing but the step. */
  batchAt: (step: number) => TrainBatch | Promise<TrainBatch>;
  /** Optimiser steps in all, those done before included. */
  steps: number;
  seed?: number; // 0
  sigmaData?: number; // 0.5
  weighting?: Weighting; // soft-min-snr
  density?: Density; // the paper's, for the size of a batch
  lossScales?: number; // 1
  optimiser?: OptimiserOptions; // the paper's AdamW
  lrSchedule?: LrSchedule; // constant
  ema?: EmaSchedule; // power 3/4 up to 0.9999
  maxNorm?: number; // 1
  /** Parts that the batch of a step is split into, one run after the other, so that a step takes the memory of a part. */
  accumulate?: number; // 1
  /** How many times the median of the last gradient norms stops the run; Infinity: none does. */
  normJump?: number; // 1000
  classDropout?: number; // 0.1
  /** Anything else that makes runs differ (the data set, say); plain JSON. */
  config?: unknown;
  /**
   * Averages of these lengths besides `ema` (0.05 and 0.1), stored every so many steps and at the end in `dir` (`ema`
   * beside the folder of checkpoints), so that `reconstructEma` can make one of any length afterwards.
   */
  postHocEma?: { everySteps: number; sigmaRels?: readonly number[]; dir?: string };
  /**
   * Once, in going on from a checkpoint: the averages become the parameters and begin anew. Checkpoints know of it, so
   * that it is not done again when the run is opened again with the option.
   */
  resetEma?: boolean; // false
  /** Where checkpoints are; none are written when left out. */
  save?: { dir: string; everySeconds?: number; keep?: number };
  signal?: AbortSignal;
  /** Parameters to start from instead of fresh ones; not disposed. */
  initFrom?: P;
  /** The clock, in milliseconds. */
  now?: () => number;
};

/** The options of a run with every default filled in. */
export type TrainSettings<P> = ReturnType<typeof resolveTrainOptions<P>>;

/**
 * Fills in the defaults and checks the options; `identity` is what a run must share to go on.
 *
 * Throws a RangeError when something is out of range or the model cannot take the size.
 */
export function resolveTrainOptions<P>(options: TrainOptions<P>) {
  const { model, size, steps, seed = 0, sigmaData = 0.5, classDropout = 0.1 } = options;
  const { accumulate = 1, normJump = 1000 } = options;
  if (!(Number.isSafeInteger(steps) && steps >= 0)) {
    throw new RangeError(`Cannot train as steps must be a whole number >= 0: steps is ${steps}`);
  }
  if (!(classDropout >= 0 && classDropout <= 1)) {
    throw new RangeError(
      `Cannot train as classDropout must be in [0, 1]: classDropout is ${classDropout}`,
    );
  }
  if (!(Number.isSafeInteger(accumulate) && accumulate >= 1)) {
    throw new RangeError(
      `Cannot train as accumulate must be a whole number >= 1: accumulate is ${accumulate}`,
    );
  }
  if (!(normJump > 1)) {
    throw new RangeError(`Cannot train as normJump must be more than 1: normJump is ${normJump}`);
  }
  model.check(size);
  if (options.optimiser?.kind === "muon" && !model.isHidden) {
    throw new RangeError(
      "Cannot train with muon as the model does not say which weights are hidden: it has no isHidden",
    );
  }
  const process = {
    seed,
    sigmaData,
    classDropout,
    weighting: options.weighting ?? { kind: "soft-min-snr" } as Weighting,
    density: options.density ?? paperDensity(size, { sigmaData }),
    lossScales: options.lossScales ?? 1,
    optimiser: resolveOptimiser(options.optimiser),
    lrSchedule: options.lrSchedule ?? { kind: "constant" } as LrSchedule,
    ema: options.ema ?? { power: 0.75, maxValue: 0.9999 },
    maxNorm: options.maxNorm ?? 1,
    accumulate,
    postHocEma: options.postHocEma && { sigmaRels: checkSigmaRels(options.postHocEma) },
    size: [...size] as [number, number],
  };
  const identity: unknown = JSON.parse(
    JSON.stringify({
      model: model.config,
      prediction: model.prediction === "edm" ? undefined : model.prediction, // not said where usual
      ...process,
      more: options.config ?? null,
    }),
  );
  const { everySeconds = 10, keep = 2 } = options.save ?? {};
  const { density } = options;
  return {
    ...process,
    /** Of the noise levels of batches of a size. */
    densityAt: (size: readonly [number, number]) => density ?? paperDensity(size, { sigmaData }),
    model,
    normJump,
    identity,
    initFrom: options.initFrom,
    resetEma: options.resetEma ?? false,
    emaSnapshots: emaSnapshotsOf(options),
    save: options.save && { dir: options.save.dir, keep },
    saveEverySeconds: everySeconds,
  };
}

/** When and where averages are stored. */
function emaSnapshotsOf<P>({ postHocEma, save }: TrainOptions<P>) {
  if (!postHocEma) return undefined;
  const { everySteps, dir = save && join(dirname(save.dir), "ema") } = postHocEma;
  if (!(Number.isSafeInteger(everySteps) && everySteps >= 1)) {
    throw new RangeError(
      `Cannot store averages as everySteps must be a whole number >= 1: everySteps is ${everySteps}`,
    );
  }
  if (dir === undefined) {
    throw new RangeError(
      "Cannot store averages as there is no folder: neither dir nor save is given",
    );
  }
  return { everySteps, dir };
}

function checkSigmaRels({ sigmaRels = [0.05, 0.1] }: { sigmaRels?: readonly number[] }): number[] {
  sigmaRels.forEach(powerGamma); // throws where one is out of range
  if (!(new Set(sigmaRels).size === sigmaRels.length && sigmaRels.length >= 1)) {
    throw new RangeError(
      `Cannot store averages as sigmaRels must be different lengths, at least one: they are [${sigmaRels}]`,
    );
  }
  return [...sigmaRels];
}
