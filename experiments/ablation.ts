/**
 * The ablation: every arm trained on the same images with the same noise, evaluated alike, reported.
 *
 * @module
 */
import type { Dataset } from "../lib/data/dataset.ts";
import { openDataset } from "../lib/data/open_dataset.ts";
import { currentEngine, setEngine } from "../lib/engine/engine.ts";
import { checkFeatureSpec, openFeatures } from "../lib/metrics/open_features.ts";
import { distanceMeter } from "../lib/runs/distance.ts";
import { checkSameRun, readRunConfig, saveRunConfig } from "../lib/runs/folder.ts";
import { type ArmProgress, runArm } from "./arm_run.ts";
import { type ArmTiming, imagesFor, runSeconds, timeArms } from "./calibrate.ts";
import { type Ablation, type AblationOptions, resolveOptions, type SavedRun } from "./config.ts";
import { describeMachine } from "./machine.ts";
import { armRecord, costRecords, planArms, type PlannedArm } from "./plan.ts";
import { writeReport } from "./report.ts";
import { appendResults, readResults, type Results, type RunRecord } from "./results.ts";

/** What happens while an ablation runs. */
export type AblationEvent =
  | { kind: "data"; what: string; done: number; total: number }
  | { kind: "measure"; arm: string; done: number; total: number }
  | { kind: "plan"; plan: AblationPlan }
  | ({ kind: "arm"; index: number; arms: number } & ArmProgress)
  | { kind: "report"; file: string };

/** What is going to be run. */
export type AblationPlan = {
  dir: string;
  ablation: Ablation;
  arms: PlannedArm[];
  dataset: Dataset;
  /** Training images that every arm sees. */
  images: number;
  /** Expected seconds in all; undefined where nothing was measured, as for a run gone on with. */
  seconds: number | undefined;
  timings: ArmTiming[];
  /** Whether the folder holds this run already. */
  resumed: boolean;
};

/** Where a run goes and how it is followed. */
export type AblateContext = {
  /** Folder of the run, new or holding the same run. */
  dir: string;
  /** The command that starts or resumes this run, for the report. */
  command?: string;
  onEvent?: (event: AblationEvent) => void;
  signal?: AbortSignal;
};

/**
 * Checks the options, opens the data and, where the number of images follows from `minutes`,
 * measures a few steps of every arm. Writes nothing.
 *
 * @param measure Whether to measure even where the number of images is given.
 * @throws {TypeError|RangeError} before any long work, where something does not fit.
 */
export async function planAblation(
  options: AblationOptions,
  { dir, onEvent, signal, measure = false }: AblateContext & { measure?: boolean },
): Promise<AblationPlan> {
  const { ablation: resolved, engine, budget } = resolveOptions(options);
  planArms(resolved, { numClasses: 0 }); // sizes are checked before pictures are decoded
  await setEngine(engine);
  const ablation: Ablation = { ...resolved, engine: currentEngine() };
  const saved = await readRunConfig(dir) as SavedRun | undefined;
  if (saved) {
    const images = options.images === undefined
      ? saved.images
      : wholeSteps(options.images, ablation);
    checkSameRun(dir, { saved, asked: { ablation, images } });
  }
  await checkFeatureSpec(ablation.evaluation.features);
  const dataset = await openDataset(ablation.data, {
    size: ablation.size,
    onProgress: (progress) => onEvent?.({ kind: "data", ...progress }),
  });
  const arms = planArms(ablation, {
    numClasses: dataset.classes.length > 1 ? dataset.classes.length : 0,
  });
  const known = saved?.images ??
    ("images" in budget ? wholeSteps(budget.images, ablation) : undefined);
  const seeds = ablation.seeds.length, { batchSize } = ablation;
  let done = 0;
  const timings = known === undefined || measure
    ? await timeArms({ ablation, dataset }, {
      arms,
      onArm: (arm) => onEvent?.({ kind: "measure", arm, done: done++, total: arms.length }),
      signal,
    })
    : [];
  if (timings.length > 0) {
    onEvent?.({ kind: "measure", arm: "", done: arms.length, total: arms.length });
  }
  const images = known ??
    imagesFor(timings, { minutes: (budget as { minutes: number }).minutes, seeds, batchSize });
  return {
    dir,
    ablation,
    arms,
    dataset,
    images,
    timings,
    seconds: timings.length > 0 ? runSeconds(timings, { images, seeds, batchSize }) : undefined,
    resumed: saved !== undefined,
  };
}

function wholeSteps(images: number, { batchSize }: Ablation): number {
  return Math.ceil(images / batchSize) * batchSize;
}

/**
 * Runs an ablation to its end, or goes on with the one that the folder holds, and writes the report.
 *
 * All arms of a seed see the same images, noise and noise levels, so their differences are paired.
 * Stopping at any moment loses at most a few seconds; the same call goes on.
 *
 * @throws {DOMException} named `AbortError` where the signal aborts.
 */
export async function ablate(
  options: AblationOptions,
  context: AblateContext,
): Promise<Results> {
  const plan = await planAblation(options, context);
  context.onEvent?.({ kind: "plan", plan });
  return await runAblation(plan, context);
}

/** Runs what was planned. */
export async function runAblation(
  plan: AblationPlan,
  { dir, command = "deno task ablate", onEvent, signal }: AblateContext,
): Promise<Results> {
  const { ablation, arms, dataset, images } = plan;
  const saved: SavedRun = { ablation, images };
  if (!plan.resumed) await saveRunConfig(dir, saved);
  await appendResults(dir, [
    runRecord(plan, { command, name: dir.split(/[\\/]/).at(-1)! }),
    ...arms.map(armRecord),
    ...costRecords(),
  ]);
  const meter = distanceMeter(dataset, await openFeatures(ablation.evaluation.features));
  const runs = ablation.seeds.flatMap((seed) => arms.map((arm) => ({ seed, arm })));
  try {
    for (const [index, { seed, arm }] of runs.entries()) {
      signal?.throwIfAborted();
      const results = await readResults(dir);
      const isThis = (record: { arm: string; seed: number }) =>
        record.arm === arm.name && record.seed === seed;
      if (results.done.some(isThis)) continue;
      await runArm({
        dir,
        ablation,
        dataset,
        images,
        meter,
        signal,
        onProgress: (progress) => onEvent?.({ kind: "arm", index, arms: runs.length, ...progress }),
      }, {
        arm,
        seed,
        known: {
          train: results.train.filter(isThis),
          evals: results.evals.filter(isThis),
          samples: results.samples.filter(isThis),
        },
      });
      await writeReport(dir);
    }
  } finally {
    meter.dispose();
  }
  const { report } = await writeReport(dir);
  onEvent?.({ kind: "report", file: report });
  return await readResults(dir);
}

function runRecord(
  { ablation, dataset, images }: AblationPlan,
  { command, name }: { command: string; name: string },
): RunRecord {
  return {
    kind: "run",
    name,
    command,
    started: new Date().toISOString(),
    base: "base",
    seeds: ablation.seeds,
    images,
    size: ablation.size,
    data: {
      name: dataset.name,
      train: dataset.train.length,
      heldOut: dataset.test.length,
      classes: [...dataset.classes],
    },
    machine: describeMachine(),
    config: { ...ablation, images },
  };
}
