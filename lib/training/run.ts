import { join } from "@std/path";
import type { CompileStats } from "../engine/compile.ts";
import { treeDispose } from "../engine/tree.ts";
import { mean } from "../statistics.ts";
import { saveBest, takeSnapshot, writeSnapshot } from "./checkpoint.ts";
import { firstNotFinite, firstToGo, normRatio, rememberNorm } from "./divergence.ts";
import { averagedParams, emaDecay } from "./ema.ts";
import { writeEmaSnapshots } from "./ema_snapshots.ts";
import { learningRate } from "./lr_schedules.ts";
import { updateNoiseScale } from "./noise_scale.ts";
import { withRates } from "./optimisers.ts";
import { powerDecay, powerGamma } from "./power_ema.ts";
import { type RunProgress, startRun } from "./run_progress.ts";
import { type BatchResult, makeStepper } from "./stepper.ts";
import { drawBatch } from "./train_batch.ts";
import { resolveTrainOptions, type TrainOptions } from "./train_options.ts";
import { stepScalars, type TrainState } from "./train_step.ts";

export type { TrainBatch } from "./train_batch.ts";
export { type OptimiserOptions, paperOptimiser } from "./optimisers.ts";
export type { TrainOptions } from "./train_options.ts";

/** What is known after a step. */
export type StepReport = {
  step: number; // steps done, so 1 after the first
  images: number; // seen so far
  loss: number;
  losses: Float32Array; // [B]
  sigmas: Float32Array; // [B]
  gradNorm: number; // before clipping
  /**
   * The gradient noise scale, averaged over the run; where batches are split. Noise levels are stratified over
   * the batch, so that what they add to the noise is hardly in it.
   */
  noiseScale?: number;
  lr: number;
  emaDecay: number;
  seconds: number; // of this step
};

/** A run of training that can be stepped, looked at and saved. */
export type TrainingRun<P> = {
  readonly step: number;
  readonly images: number;
  /** The checkpoint that it went on from, if any. */
  readonly resumedFrom:
    | { path: string; step: number; skipped: { path: string; reason: string }[] }
    | undefined;
  /** The state now; the run disposes it when it steps. */
  readonly state: TrainState<P>;
  /** What the compiled steps cost so far. */
  readonly stats: CompileStats;
  /** Averaged parameters now, valid until the next step. */
  averaged(): P;
  /** Steps to the end, saving now and then and at the end, also when it is left early or aborted. */
  steps(): AsyncGenerator<StepReport, void, void>;
  /** Saves now; without a folder a no-op. */
  save(): Promise<void>;
  /**
   * Keeps the checkpoint of this moment in the folder `best` of the others', with its score, if that is lower than the
   * best so far; returns whether it is. Without a folder a no-op.
   */
  saveBest(score: number): Promise<boolean>;
  /** Frees the state and the compiled step. */
  dispose(): void;
};

/**
 * Opens a run: fresh, or gone on with from the newest good checkpoint in its folder.
 *
 * Everything random in a step (noise, noise levels, dropped classes, dropout) is drawn from streams of
 * (seed, step), so that a run that is killed at any moment and opened again ends with the same numbers,
 * bit for bit, as one that was not. Arms with the same seed see the same noise and levels.
 *
 * A loss or gradient norm that is not finite, or a norm far off the last ones (`normJump`), stops the run with a
 * RangeError that says which tensor was the first to go; the state before stays, and nothing is saved.
 * Throws a RangeError when the folder holds a run of another configuration.
 */
export async function openTraining<P>(options: TrainOptions<P>): Promise<TrainingRun<P>> {
  const settings = resolveTrainOptions(options), { model } = settings;
  const start = await startRun(settings);
  let { state, progress } = start, savedStep = progress.step;
  const now = options.now ?? (() => performance.now());
  const stepper = makeStepper(settings);
  const sigmaRels = settings.postHocEma?.sigmaRels ?? [], gammas = sigmaRels.map(powerGamma);
  let saving: Promise<unknown> | undefined;

  /** The run as a checkpoint has it, if it is one to go on from. */
  const goodState = async (dir: string) => {
    const bad = await firstNotFinite(state);
    if (bad) {
      throw new RangeError(
        `Cannot save step ${progress.step} as ${bad.path} has gone: it is ${bad.text}; the last good checkpoint in ${dir} is kept`,
      );
    }
    return { state, meta: { ...progress, config: settings.identity } };
  };

  const save = async () => {
    if (!settings.save || savedStep === progress.step) return;
    const snapshot = await takeSnapshot(await goodState(settings.save.dir));
    await saving;
    savedStep = progress.step;
    // Written while training goes on; an error shows at the next save or at the end.
    saving = writeSnapshot(settings.save.dir, snapshot, { keep: settings.save.keep });
    saving.catch(() => {});
  };

  const storeAverages = async () => {
    const { emaSnapshots, identity: config } = settings, { step } = progress;
    if (!emaSnapshots || (step % emaSnapshots.everySteps !== 0 && step !== options.steps)) return;
    const { params, powerEma: averages } = state;
    await writeEmaSnapshots(emaSnapshots.dir, { params, averages, sigmaRels, step, config });
  };

  const advance = async (): Promise<StepReport> => {
    const began = now(), { step } = progress;
    const batch = drawBatch(settings, { step, given: await options.batchAt(step) });
    const rate = (base: number) => learningRate(settings.lrSchedule, { base, step });
    const optimiser = withRates(settings.optimiser, rate);
    const decay = emaDecay(settings.ema, step - progress.emaStart);
    const scalars = stepScalars(state.params, {
      rules: model,
      optimiser,
      step,
      emaDecay: decay,
      powerDecays: gammas.map((gamma) => powerDecay({ gamma, step: step + 1 })),
    });
    const { state: next, ...result } = await stepper.step({ state, batch, scalars });
    treeDispose(scalars);
    const { losses, gradNorm } = result, loss = mean(losses);
    const gone = whatWentWrong({ loss, gradNorm, recent: progress.gradNorms, ...settings });
    if (gone) {
      treeDispose(next);
      const { params } = state;
      const gradients = async () => (await stepper.gradients({ params, batch })).grads;
      throw new RangeError(
        `Cannot go on training as step ${step + 1} gave ${gone}: ${await firstToGo({
          batch,
          params,
          losses,
          gradients,
        })}${settings.save ? `; the last good checkpoint in ${settings.save.dir} is kept` : ""}`,
      );
    }
    treeDispose(state);
    state = next;
    const measured = measure(progress, result);
    progress = measured.progress;
    return {
      step: progress.step,
      images: progress.images,
      loss,
      losses,
      sigmas: batch.sigma,
      gradNorm,
      ...measured.shown,
      lr: optimiser.lr,
      emaDecay: decay,
      seconds: (now() - began) / 1000,
    };
  };

  async function* stepping(): AsyncGenerator<StepReport, void, void> {
    let lastSave = now(), failed = false;
    try {
      while (progress.step < options.steps && !options.signal?.aborted) {
        const report = await advance().catch((error) => {
          failed = true;
          throw error;
        });
        await storeAverages(); // before a checkpoint, which must not be ahead of them
        if (now() - lastSave >= settings.saveEverySeconds * 1000) {
          await save();
          lastSave = now();
        }
        yield report;
      }
    } finally {
      if (!failed) await save();
      await saving;
    }
  }

  return {
    get step() {
      return progress.step;
    },
    get images() {
      return progress.images;
    },
    get state() {
      return state;
    },
    get stats() {
      return stepper.stats;
    },
    resumedFrom: start.from,
    averaged: () => averagedParams(state.params, state.ema),
    steps: stepping,
    save: async () => {
      await save();
      await saving;
    },
    saveBest: async (score) => {
      if (!settings.save) return false;
      const dir = join(settings.save.dir, "best");
      return await saveBest(dir, { ...await goodState(dir), score });
    },
    dispose: () => {
      treeDispose(state);
      stepper.dispose();
    },
  };
}

/** Why a step must not be gone on from, if it must not. */
function whatWentWrong(
  { loss, gradNorm, recent, normJump }: {
    loss: number;
    gradNorm: number;
    recent: readonly number[];
    normJump: number;
  },
): string | undefined {
  if (!(Number.isFinite(loss) && Number.isFinite(gradNorm))) {
    return `a loss of ${loss} and a gradient norm of ${gradNorm}`;
  }
  const ratio = normRatio(gradNorm, recent);
  if (ratio <= normJump) return undefined;
  return `a gradient norm of ${gradNorm}, ${
    ratio.toFixed(0)
  } times the median of the last ${recent.length} (normJump is ${normJump})`;
}

/** Progress after a step, and what the report has of the noise scale. */
function measure(
  before: RunProgress,
  { losses, gradNorm, microNorms }: BatchResult,
): { progress: RunProgress; shown: { noiseScale?: number } } {
  const progress = {
    ...before,
    step: before.step + 1,
    images: before.images + losses.length,
    gradNorms: rememberNorm(before.gradNorms, gradNorm),
  };
  if (microNorms.length < 2) return { progress, shown: {} };
  const measured = updateNoiseScale(before.noiseScale, {
    sqSmall: mean(microNorms.map((norm) => norm ** 2)),
    sqLarge: gradNorm ** 2,
    nSmall: losses.length / microNorms.length,
    nLarge: losses.length,
  });
  return {
    progress: { ...progress, noiseScale: measured.state },
    shown: { noiseScale: measured.noiseScale },
  };
}
