/**
 * Training as people use it: data, steps, demos, evaluations, records and checkpoints, in one loop.
 *
 * @module
 */
import { dirname, join } from "@std/path";
import { openFeeder } from "../data/feeder.ts";
import { treeDispose } from "../engine/tree.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { inNotebook } from "../progress.ts";
import { mean, sum } from "../statistics.ts";
import { openTraining, type StepReport } from "../training/run.ts";
import type { TrainConfig } from "./config.ts";
import { saveRunConfig } from "./folder.ts";
import { demoFile, openJudge } from "./judge.ts";
import {
  type DemoRecord,
  type EvaluationRecord,
  type LogRecord,
  readLog,
  type TrainRecord,
} from "./log.ts";
import { openNotes } from "./notes.ts";
import { configFile, planTraining, type TrainPlan, type WorkProgress } from "./plan.ts";
import { startParams, type StartWeights, trainingOptions } from "./training_options.ts";

/** How a run is followed, bounded and started. */
export type TrainRunOptions = {
  /** Called after each step. */
  onStep?: (report: StepReport) => void;
  /** Called while pictures are decoded, a demo is drawn, a model evaluated. */
  onProgress?: WorkProgress | undefined;
  /** Told of each picture that cannot be decoded while training goes on, once. */
  onSkip?: ((skipped: { title: string; reason: string }) => void) | undefined;
  /** Stops in order, with a checkpoint. */
  signal?: AbortSignal | undefined;
  /** Stops in order after this time; the same call goes on. */
  minutes?: number | undefined;
  /** Least seconds of steps between two `steps` events. */
  sliceSeconds?: number; // 1
  /** Weights to start from, where the folder holds no checkpoint yet. */
  initFrom?: StartWeights | undefined;
  /** Makes the parameters the averaged ones, and starts the average again. */
  resetEma?: boolean | undefined;
  /** Whether a chart of the loss is drawn while the cell runs; by default in notebooks. */
  chart?: boolean;
};

/** What a run tells of itself as it goes on. */
export type TrainEvent =
  /** The run is open; `step` is where it goes on, `skipped` what could not be read. */
  | { kind: "start"; plan: TrainPlan; step: number; images: number; skipped: string[] }
  /** Steps were taken; the report is that of the last, the loss the mean. */
  | { kind: "steps"; report: StepReport; loss: number }
  | TrainRecord
  | (EvaluationRecord & { best: boolean })
  | (DemoRecord & { grid: Uint8Array })
  /** All images are seen (`done`), or the run was stopped; the same call goes on. */
  | { kind: "end"; step: number; images: number; done: boolean };

/**
 * Trains in a folder, or goes on with the run that it holds; the parameters are the same, bit for bit, however often it
 * was stopped or killed.
 *
 * Iterating runs the steps. Between two events the work is bounded: a second or so of steps, one evaluation, one grid;
 * leaving the loop saves. In a notebook a chart is drawn as it goes, and running the cell again goes on, even after the
 * kernel's death.
 *
 * @throws {TypeError|RangeError} before any long work where something does not fit, and where training diverges.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { train } from "./train.ts";
 *
 * const dir = await Deno.makeTempDir();
 * const data = { kind: "emoji", categories: ["flags"] };
 * const config = { data, size: 16, model: "smoke", images: 32, demo: { n: 1 } } as const;
 * let steps = 0;
 * for await (const event of train(config, { dir, onStep: () => steps++ })) void event;
 * assert.equal(steps, 2);
 * ```
 */
export async function* train(
  config: TrainConfig,
  { dir, ...options }: TrainRunOptions & { dir: string },
): AsyncGenerator<TrainEvent, void, void> {
  const { onProgress } = options;
  const plan = await planTraining(config, { dir, onProgress });
  yield* runTraining(plan, options);
}

/** Runs what was planned. */
export async function* runTraining(
  plan: TrainPlan,
  options: TrainRunOptions = {},
): AsyncGenerator<TrainEvent, void, void> {
  const { dir, config } = plan, { onStep, sliceSeconds = 1, chart = inNotebook() } = options;
  const signal = stopSignal(options);
  await saveRunConfig(dir, configFile(plan));
  const { multiScale, superResolution } = config, split = plan.dataset.train;
  for (const size of multiScale ?? []) await split.load(size);
  await using feeder = openFeeder(split, {
    ...(multiScale ? { multiScale } : { size: config.size }),
    batchSize: config.batchSize,
    seed: config.seed,
    augmentProb: config.augment,
    ...(options.onSkip && { onSkip: options.onSkip }),
    ...(superResolution && { lowResolution: superResolution }),
  });
  const start = options.initFrom &&
    startParams(options.initFrom, { spec: plan.spec, seed: config.seed });
  const { resetEma } = options;
  const run = await openTraining(
    trainingOptions(plan, { feeder, initFrom: start, resetEma, signal }),
  ).finally(() => start && treeDispose(start));
  const judge = openJudge(plan), work = { signal, onProgress: options.onProgress };
  try {
    const skipped = run.resumedFrom?.skipped.map(({ path, reason }) => `${path}: ${reason}`) ?? [];
    yield { kind: "start", plan, step: run.step, images: run.images, skipped };
    // records of steps that will be repeated do not count
    const known = (await readLog(dir)).filter(({ step }) => step <= run.step);
    using notes = await openNotes(plan, { known, step: run.step, images: run.images, chart });
    const marks = openMarks(known);
    let slice: StepReport[] = [], taken: StepReport[] = [], waited = feeder.waited;
    const isLast = () => run.images >= config.images;

    const lookAtModel = async function* (): AsyncGenerator<TrainEvent> {
      const at = { step: run.step, images: run.images };
      if (
        at.step > 0 && marks.due("evaluation", config.evaluate.every, { ...at, last: isLast() })
      ) {
        const record = {
          kind: "evaluation" as const,
          ...at,
          ...await judge.evaluate(run.averaged(), work),
        };
        const best = await run.saveBest(record.heldOut.mean);
        await notes.add(record);
        yield { ...record, best };
      }
      if (at.step > 0 && marks.due("demo", config.demo.every, { ...at, last: isLast() })) {
        const grid = await judge.demo(run.averaged(), work), file = demoFile(at.images);
        await Deno.mkdir(join(dir, dirname(file)), { recursive: true });
        await writeFileAtomic(join(dir, file), grid);
        const record = { kind: "demo" as const, ...at, file };
        await notes.add(record, grid);
        yield { ...record, grid };
      }
    };

    yield* lookAtModel(); // where the run was stopped before it could
    for await (const report of run.steps()) {
      onStep?.(report);
      slice.push(report);
      taken.push(report);
      if (isLast() || sum(slice.map(({ seconds }) => seconds)) >= sliceSeconds) {
        yield { kind: "steps", report, loss: mean(slice.map(({ loss }) => loss)) };
        slice = [];
      }
      if (marks.due("train", config.log.every, { ...report, last: isLast() })) {
        const record = trainRecord(taken, feeder.waited - waited);
        [taken, waited] = [[], feeder.waited];
        await notes.add(record);
        yield record;
      }
      yield* lookAtModel();
    }
    yield { kind: "end", step: run.step, images: run.images, done: isLast() };
  } catch (error) {
    if (!(signal?.aborted && error === signal.reason)) throw error;
    yield { kind: "end", step: run.step, images: run.images, done: false };
  } finally {
    judge.dispose();
    run.dispose();
  }
}

/** A signal that aborts with the caller's, or when the time is over. */
function stopSignal({ signal, minutes }: TrainRunOptions): AbortSignal | undefined {
  const signals = [
    ...(signal ? [signal] : []),
    ...(minutes === undefined ? [] : [AbortSignal.timeout(60_000 * minutes)]),
  ];
  return signals.length > 0 ? AbortSignal.any(signals) : undefined;
}

/** Says when something that is done every so many images is due: once a multiple is passed, and at the end. */
function openMarks(known: readonly LogRecord[]) {
  const lastImages = new Map<string, number>(known.map(({ kind, images }) => [kind, images]));
  return {
    due(
      kind: LogRecord["kind"],
      every: number,
      { images, last }: { images: number; last: boolean },
    ): boolean {
      const before = lastImages.get(kind) ?? 0;
      const passed = Math.floor(images / every) > Math.floor(before / every);
      const due = every > 0 && (passed || (last && before < images));
      if (due) lastImages.set(kind, images);
      return due;
    },
  };
}

function trainRecord(reports: StepReport[], waited: number): TrainRecord {
  const { step, images, lr, emaDecay, noiseScale } = reports.at(-1)!;
  const seconds = sum(reports.map((report) => report.seconds));
  const seen = sum(reports.map(({ losses }) => losses.length));
  return {
    kind: "train",
    step,
    images,
    loss: mean(reports.map(({ loss }) => loss)),
    gradNorm: mean(reports.map(({ gradNorm }) => gradNorm)),
    lr,
    emaDecay,
    imagesPerSecond: seen / seconds,
    waited: waited / seconds,
    ...(noiseScale !== undefined && { noiseScale }),
  };
}
