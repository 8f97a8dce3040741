import * as tf from "@tensorflow/tfjs";
import { type Density, paperDensity, sigmaAt } from "../diffusion/densities.ts";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import { denoisingLoss } from "../diffusion/loss.ts";
import { stratify } from "../diffusion/stratified.ts";
import type { Weighting } from "../diffusion/weightings.ts";
import { compile } from "../engine/compile.ts";
import { normals, uniforms } from "../engine/random.ts";
import { treeDispose, treeMap } from "../engine/tree.ts";
import type { AdamWOptions } from "./adamw.ts";
import { loadCheckpoint, restoreTree, takeSnapshot, writeSnapshot } from "./checkpoint.ts";
import { dropoutMasks, type DropoutSites, findDropoutSites } from "./dropout_masks.ts";
import { averagedParams, emaDecay, type EmaSchedule } from "./ema.ts";
import { jsonDifferences } from "./json_differences.ts";
import { learningRate, type LrSchedule } from "./lr_schedules.ts";
import { initTrainState, makeTrainStep, stepScalars, type TrainState } from "./train_step.ts";

/** One batch: images [B, H, W, C] row-major in [-1, 1], a class a sample, and augmentation if there is any. */
export type TrainBatch = {
  images: Float32Array;
  labels?: ArrayLike<number>;
  augCond?: Float32Array; // [B, 9]
};

/** What a run is; all of it but `steps`, `save` and `signal` must be the same to go on with it. */
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
  density?: Density; // the paper's, for this size
  lossScales?: number; // 1
  optimiser?: Partial<AdamWOptions>; // the paper's
  lrSchedule?: LrSchedule; // constant
  ema?: EmaSchedule; // power 3/4 up to 0.9999
  maxNorm?: number; // 1
  classDropout?: number; // 0.1
  /** Anything else that makes runs differ (the data set, say); plain JSON. */
  config?: unknown;
  /** Where checkpoints are; none are written when left out. */
  save?: { dir: string; everySeconds?: number; keep?: number };
  signal?: AbortSignal;
  /** Parameters to start from instead of fresh ones; not disposed. */
  initFrom?: P;
  /** The clock, in milliseconds. */
  now?: () => number;
};

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
  /** Averaged parameters now, valid until the next step. */
  averaged(): P;
  /** Steps to the end, saving now and then and at the end, also when it is left early or aborted. */
  steps(): AsyncGenerator<StepReport, void, void>;
  /** Saves now; without a folder a no-op. */
  save(): Promise<void>;
  /** Frees the state and the compiled step. */
  dispose(): void;
};

/** The paper's AdamW (Table 7). */
export const paperOptimiser: AdamWOptions = {
  lr: 5e-4,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 1e-2,
};

type Batch = {
  images: tf.Tensor4D;
  noise: tf.Tensor4D;
  sigma: tf.Tensor1D;
  classCond?: tf.Tensor1D;
  augCond?: tf.Tensor2D;
  dropout?: Record<string, tf.Tensor>;
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
  const settings = resolve(options), { model } = settings;
  const restored = await start(settings);
  let { state } = restored, step = restored.step, images = restored.images;
  const now = options.now ?? (() => performance.now());
  let saving: Promise<unknown> | undefined, savedStep = step;
  let sites: DropoutSites | undefined;

  const compiled = compile(makeTrainStep<P, Batch>({
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
        },
      ),
    rules: model,
    betas: settings.optimiser.betas,
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
    const lr = learningRate(settings.lrSchedule, { base: settings.optimiser.lr, step });
    const decay = emaDecay(settings.ema, step);
    const scalars = stepScalars(state.params, {
      rules: model,
      optimiser: { ...settings.optimiser, lr },
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
    return { step, images, loss, losses, sigmas, gradNorm, lr, emaDecay: decay, seconds };
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

type Settings<P> = ReturnType<typeof resolve<P>>;

function resolve<P>(options: TrainOptions<P>) {
  const { model, size, steps, seed = 0, sigmaData = 0.5, classDropout = 0.1 } = options;
  if (!(Number.isSafeInteger(steps) && steps >= 0)) {
    throw new RangeError(`Cannot train as steps must be a whole number >= 0: steps is ${steps}`);
  }
  if (!(classDropout >= 0 && classDropout <= 1)) {
    throw new RangeError(
      `Cannot train as classDropout must be in [0, 1]: classDropout is ${classDropout}`,
    );
  }
  model.check(size);
  const process = {
    seed,
    sigmaData,
    classDropout,
    weighting: options.weighting ?? { kind: "soft-min-snr" } as Weighting,
    density: options.density ?? paperDensity(size, { sigmaData }),
    lossScales: options.lossScales ?? 1,
    optimiser: { ...paperOptimiser, ...options.optimiser },
    lrSchedule: options.lrSchedule ?? { kind: "constant" } as LrSchedule,
    ema: options.ema ?? { power: 0.75, maxValue: 0.9999 },
    maxNorm: options.maxNorm ?? 1,
    size: [...size] as [number, number],
  };
  const identity: unknown = JSON.parse(
    JSON.stringify({ model: model.config, ...process, more: options.config ?? null }),
  );
  const { everySeconds = 10, keep = 2 } = options.save ?? {};
  return {
    ...process,
    model,
    identity,
    initFrom: options.initFrom,
    save: options.save && { dir: options.save.dir, keep },
    saveEverySeconds: everySeconds,
  };
}

/** The state to begin with: fresh, or that of the newest good checkpoint. */
async function start<P>({ model, seed, save, identity, initFrom }: Settings<P>) {
  const params = initFrom === undefined
    ? model.init({ seed, stream: "init" })
    : treeMap(initFrom, (leaf) => leaf.clone());
  const fresh = initTrainState(params, model);
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

/** The tensors of a step: images and all that is random, from streams of (seed, step). */
function makeBatch<P>(
  { model, seed, size: [H, W], density, classDropout }: Settings<P>,
  { step, given }: { step: number; given: TrainBatch },
): Batch {
  const each = H * W * model.channels, B = given.images.length / each;
  if (!(Number.isInteger(B) && B >= 1)) {
    throw new RangeError(
      `Cannot train as a batch must hold whole images of [${H}, ${W}, ${model.channels}]: it has ${given.images.length} numbers`,
    );
  }
  const shape: [number, number, number, number] = [B, H, W, model.channels];
  const stream = (name: string) => ({ seed, stream: `train/${name}` });
  const u = stratify(uniforms(stream("sigma"), step, B));
  const batch: Batch = {
    images: tf.tensor4d(given.images, shape),
    noise: tf.tensor4d(normals(stream("noise"), step, given.images.length), shape),
    sigma: tf.tensor1d(Float32Array.from(u, (p) => sigmaAt(density, p))),
  };
  if (given.augCond) batch.augCond = tf.tensor2d(given.augCond, [B, given.augCond.length / B]);
  if (model.numClasses === 0) return batch;
  if (!(given.labels && given.labels.length === B)) {
    throw new RangeError(
      `Cannot train a class-conditional model as a batch must have a label an image: ${
        given.labels?.length ?? 0
      } labels, ${B} images`,
    );
  }
  const drop = uniforms(stream("class-dropout"), step, B);
  const classes = Int32Array.from(
    given.labels,
    (label, i) => drop[i] < classDropout ? model.numClasses : checkLabel(label, model.numClasses),
  );
  return { ...batch, classCond: tf.tensor1d(classes, "int32") };
}

function checkLabel(label: number, numClasses: number): number {
  if (Number.isInteger(label) && label >= 0 && label < numClasses) return label;
  throw new RangeError(
    `Cannot train as labels must be whole numbers in [0, ${numClasses}): one is ${label}`,
  );
}
