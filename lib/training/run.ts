import { denoisingLoss } from "../diffusion/loss.ts";
import { compile, type CompileStats } from "../engine/compile.ts";
import { treeDispose, treeMap } from "../engine/tree.ts";
import { loadCheckpoint, restoreTree, takeSnapshot, writeSnapshot } from "./checkpoint.ts";
import { dropoutMasks, type DropoutSites, findDropoutSites } from "./dropout_masks.ts";
import { averagedParams, emaDecay } from "./ema.ts";
import { jsonDifferences } from "./json_differences.ts";
import { learningRate } from "./lr_schedules.ts";
import { withRates } from "./optimisers.ts";
import { type BatchTensors, makeBatch } from "./train_batch.ts";
import { resolveTrainOptions, type TrainOptions, type TrainSettings } from "./train_options.ts";
import { initTrainState, makeTrainStep, stepScalars, type TrainState } from "./train_step.ts";

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
  /** Frees the state and the compiled step. */
  dispose(): void;
};

/**
 * Opens a run: fresh, or gone on with from the newest good checkpoint in its folder.
 *
 * Everything random in a step (noise, noise levels, dropped classes, dropout) is drawn from streams of
 * (seed, step), so that a run that is killed at any moment and opened again ends with the same numbers,
 * bit for bit, as one that was not. Arms with the same seed see the same noise and levels.
 * Throws a RangeError when the folder holds a run of another configuration.
 */
export async function openTraining<P>(options: TrainOptions<P>): Promise<TrainingRun<P>> {
  const settings = resolveTrainOptions(options), { model } = settings;
  const restored = await start(settings);
  let { state } = restored, step = restored.step, images = restored.images;
  const now = options.now ?? (() => performance.now());
  let saving: Promise<unknown> | undefined, savedStep = step;
  let sites: DropoutSites | undefined;

  const compiled = compile(makeTrainStep<P, BatchTensors>({
    loss: (params, { images, noise, sigma, classCond, augCond, dropout }) =>
      denoisingLoss(
        (x, sigma, cond) =>
          model.apply(params, { x, sigma, cond, dropout: dropout && ((site) => dropout[site]) }),
        {
          images,
          noise,
          sigma,
          cond: { ...(classCond ? { classCond } : {}), ...(augCond ? { augCond } : {}) },
        },
        {
          sigmaData: settings.sigmaData,
          weighting: settings.weighting,
          scales: settings.lossScales,
          prediction: model.prediction,
        },
      ),
    rules: model,
    optimiser: settings.optimiser,
    maxNorm: settings.maxNorm,
  }));

  const save = async () => {
    if (!settings.save || savedStep === step) return;
    const meta = { step, images, config: settings.identity };
    const snapshot = await takeSnapshot({ state, meta });
    await saving;
    savedStep = step;
    // Written while training goes on; an error shows at the next save or at the end.
    saving = writeSnapshot(settings.save.dir, snapshot, { keep: settings.save.keep });
    saving.catch(() => {});
  };

  const advance = async (): Promise<StepReport> => {
    const began = now();
    const given = await options.batchAt(step);
    const batch = makeBatch(settings, { step, given });
    sites ??= findDropoutSites(model, { params: state.params, batch });
    if (sites.length > 0) batch.dropout = dropoutMasks(sites, { seed: settings.seed, step });
    const optimiser = withRates(
      settings.optimiser,
      (base) => learningRate(settings.lrSchedule, { base, step }),
    );
    const decay = emaDecay(settings.ema, step);
    const scalars = stepScalars(state.params, {
      rules: model,
      optimiser,
      step,
      emaDecay: decay,
    });
    const out = await compiled({ state, batch, scalars });
    const loss = (await out.loss.data())[0], gradNorm = (await out.gradNorm.data())[0];
    const losses = Float32Array.from(await out.losses.data());
    const sigmas = Float32Array.from(await batch.sigma.data());
    treeDispose([batch, scalars, out.loss, out.losses, out.gradNorm]);
    if (!(Number.isFinite(loss) && Number.isFinite(gradNorm))) {
      treeDispose(out.state);
      throw new RangeError(
        `Cannot go on training as step ${
          step + 1
        } gave a loss of ${loss} and a gradient norm of ${gradNorm}${
          settings.save ? `: the last good checkpoint in ${settings.save.dir} is kept` : ""
        }`,
      );
    }
    treeDispose(state);
    state = out.state;
    step++;
    images += losses.length;
    const seconds = (now() - began) / 1000;
    return {
      step,
      images,
      loss,
      losses,
      sigmas,
      gradNorm,
      lr: optimiser.lr,
      emaDecay: decay,
      seconds,
    };
  };

  async function* stepping(): AsyncGenerator<StepReport, void, void> {
    let lastSave = now(), failed = false;
    try {
      while (step < options.steps && !options.signal?.aborted) {
        const report = await advance().catch((error) => {
          failed = true;
          throw error;
        });
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
      return step;
    },
    get images() {
      return images;
    },
    get state() {
      return state;
    },
    resumedFrom: restored.from,
    stats: compiled.stats,
    averaged: () => averagedParams(state.params, state.ema),
    steps: stepping,
    save: async () => {
      await save();
      await saving;
    },
    dispose: () => {
      treeDispose(state);
      compiled.dispose();
    },
  };
}

/**
 * Trains to the end, yielding after each step what `openTraining` reports together with the run.
 *
 * The run's tensors are valid until the next step; after the last step they are the caller's to
 * dispose, by `run.dispose()`.
 */
export async function* train<P>(
  options: TrainOptions<P>,
): AsyncGenerator<StepReport & { run: TrainingRun<P> }, TrainingRun<P>, void> {
  const run = await openTraining(options);
  for await (const report of run.steps()) yield { ...report, run };
  return run;
}

/** The state to begin with: fresh, or that of the newest good checkpoint. */
async function start<P>(
  { model, seed, optimiser, save, identity, initFrom }: TrainSettings<P>,
) {
  const params = initFrom === undefined
    ? model.init({ seed, stream: "init" })
    : treeMap(initFrom, (leaf) => leaf.clone());
  const fresh = initTrainState(params, { ...model, optimiser });
  if (save) await Deno.mkdir(save.dir, { recursive: true }); // or fail before any work
  const found = save && await loadCheckpoint(save.dir);
  if (!found) return { state: fresh, step: 0, images: 0, from: undefined };
  try {
    const differing = jsonDifferences(identity, found.meta.config);
    if (differing.length > 0) {
      throw new RangeError(
        `Cannot go on with the run in ${save.dir} as it was made with another configuration: ${
          differing.slice(0, 5).join("; ")
        }; use another folder`,
      );
    }
    const state = restoreTree(fresh, found.tensors);
    const step = found.meta.step, images = Number(found.meta.images);
    return { state, step, images, from: { path: found.path, step, skipped: found.skipped } };
  } finally {
    treeDispose(fresh);
  }
}
