/**
 * One arm with one seed: trained, then evaluated on held-out images and by what it samples.
 *
 * @module
 */
import { join } from "@std/path";
import ndarray, { type NdArray } from "ndarray";
import { denseData, joinRows } from "../lib/data/dense.ts";
import { readBatch, readHeldOut } from "../lib/data/draw.ts";
import type { Dataset } from "../lib/data/dataset.ts";
import { hditModel } from "../lib/diffusion/diffusion_model.ts";
import { imageSampler } from "../lib/diffusion/sample.ts";
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { imageGrid, toBytes } from "../lib/io/images.ts";
import { encodeSafetensors, parseSafetensors } from "../lib/io/safetensors.ts";
import type { HditParams } from "../lib/models/hdit.ts";
import type { DistanceMeter } from "../lib/runs/distance.ts";
import { EVALUATION_SEED, heldOutQuality } from "../lib/runs/quality.ts";
import { mean, median } from "../lib/statistics.ts";
import { heldOutEvaluator } from "../lib/training/evaluate.ts";
import { openTraining, type TrainingRun, type TrainOptions } from "../lib/training/run.ts";
import type { Ablation } from "./config.ts";
import { peakMemory } from "./machine.ts";
import type { PlannedArm } from "./plan.ts";
import {
  appendResults,
  type DoneRecord,
  type EvalRecord,
  type HeldOut,
  type SamplesRecord,
  type TrainRecord,
} from "./results.ts";

/** What every arm of a run shares. */
export type RunContext = {
  dir: string;
  ablation: Ablation;
  dataset: Dataset;
  /** Training images that every arm sees, a multiple of the batch size. */
  images: number;
  /** Takes the pictures' features once for all arms. */
  meter: DistanceMeter;
  /** Called as the work goes on. */
  onProgress: (progress: ArmProgress) => void;
  signal?: AbortSignal | undefined;
};

/** How far an arm has come. */
export type ArmProgress = {
  arm: string;
  seed: number;
  /** `train`, `sample`, `held-out loss`, or what else is done. */
  phase: string;
  /** The size of the images, in pixels. */
  size: number;
  done: number;
  total: number;
  note: string;
};

/** The options of `openTraining` for an arm. */
export function trainingOptions(
  { ablation, dataset, images }: Pick<RunContext, "ablation" | "dataset" | "images">,
  { arm: { spec, difference }, seed }: { arm: PlannedArm; seed: number },
): TrainOptions<HditParams> {
  const { size, batchSize, training, data } = ablation;
  return {
    model: hditModel(spec),
    size: [size, size],
    batchAt: async (index) => {
      const source = dataset.train.source(size);
      const { images, labels } = await readBatch(source, { batchSize, seed, index });
      return { images: denseData(images), labels };
    },
    steps: Math.ceil(images / batchSize),
    seed,
    sigmaData: training.sigmaData,
    weighting: difference.weighting ?? { kind: "soft-min-snr" },
    optimiser: {
      lr: training.learningRate,
      betas: training.betas,
      weightDecay: training.weightDecay,
    },
    lrSchedule: { kind: "constant", warmup: training.warmup },
    ema: { power: training.emaPower, maxValue: training.emaMax },
    classDropout: training.classDropout,
    config: { data, batchSize },
  };
}

/** Trains an arm to its last image and evaluates it, going on from what the folder already holds. */
export async function runArm(
  context: RunContext,
  { arm, seed, known }: {
    arm: PlannedArm;
    seed: number;
    /** What earlier sessions have recorded of this arm and seed. */
    known: { train: TrainRecord[]; evals: EvalRecord[]; samples: SamplesRecord[] };
  },
): Promise<void> {
  const { dir, ablation, signal } = context;
  const run = await openTraining({
    ...trainingOptions(context, { arm, seed }),
    save: { dir: join(dir, "checkpoints", `${arm.name}-seed${seed}`), everySeconds: 5, keep: 1 },
    ...(signal && { signal }),
  });
  try {
    const trained = await trainArm(context, { arm, seed, run, known: known.train });
    const sizes = [
      { size: ablation.size, samples: ablation.evaluation.distanceSamples },
      ...arm.extrapolate,
    ];
    for (const at of sizes) {
      const is = ({ size, images }: { size: number; images: number }) =>
        size === at.size && images === run.images;
      if (known.evals.some(is) && known.samples.some(is)) continue;
      await evaluateArm(context, { arm, seed, run, ...at });
    }
    const done: DoneRecord = {
      kind: "done",
      arm: arm.name,
      seed,
      images: run.images,
      ...trained,
      peakRss: peakMemory(),
    };
    await appendResults(dir, [done]);
  } finally {
    run.dispose();
  }
}

/** Points of the training curve. */
const CURVE_POINTS = 100;

type Trained = { seconds: number; imagesPerSecond: number };

async function trainArm(
  { dir, ablation, images, onProgress, signal }: RunContext,
  { arm: { name: arm }, seed, run, known }: {
    arm: PlannedArm;
    seed: number;
    run: TrainingRun<HditParams>;
    known: TrainRecord[];
  },
): Promise<Trained> {
  const report = (note: string) =>
    onProgress({
      arm,
      seed,
      phase: "train",
      size: ablation.size,
      done: run.images,
      total: images,
      note,
    });
  // seconds of earlier sessions, from the last point before the checkpoint
  const before = known.filter(({ step }) => step <= run.step).at(-1);
  let seconds = before ? before.seconds * run.step / before.step : 0;
  const every = Math.max(1, Math.floor(images / CURVE_POINTS));
  const stepSeconds: number[] = [];
  let losses: number[] = [], norms: number[] = [], points = Math.floor(run.images / every);
  report("");
  for await (const step of run.steps()) {
    seconds += step.seconds;
    stepSeconds.push(step.seconds);
    losses.push(step.loss);
    norms.push(step.gradNorm);
    report(`loss ${step.loss.toFixed(4)}`);
    if (Math.floor(step.images / every) === points && step.images < images) continue;
    points = Math.floor(step.images / every);
    const point: TrainRecord = {
      kind: "train",
      arm,
      seed,
      step: step.step,
      images: step.images,
      loss: mean(losses),
      gradNorm: mean(norms),
      seconds,
    };
    losses = [];
    norms = [];
    await appendResults(dir, [point]);
  }
  signal?.throwIfAborted();
  // the median step, since the first of a session is compiled and others may be disturbed
  const typical = median(stepSeconds);
  const imagesPerSecond = typical ? ablation.batchSize / typical : run.images / seconds;
  return { seconds, imagesPerSecond };
}

/** Held-out loss, samples and their distance at one size. */
async function evaluateArm(
  context: RunContext,
  options: {
    arm: PlannedArm;
    seed: number;
    run: TrainingRun<HditParams>;
    size: number;
    samples: number;
  },
): Promise<void> {
  const { dir, ablation: { evaluation }, dataset, meter, signal } = context;
  const { arm, seed, run, size, samples: n } = options;
  await dataset.train.load(size);
  await dataset.test.load(size);
  const file = `samples/${arm.name}-seed${seed}-${size}px.png`;
  const shown = Math.min(n, evaluation.gridSamples), grid: NdArray<Float32Array>[] = [];
  const parts = async function* () {
    let first = 0;
    for await (const images of sampleArm(context, options)) {
      if (first < shown) grid.push(images.hi(Math.min(images.shape[0], shown - first)));
      first += images.shape[0];
      yield images;
    }
  };
  const fd = await meter.measure(parts(), {
    size,
    nReference: evaluation.distanceSamples,
    signal,
    onProgress: ({ what, done, total }) =>
      context.onProgress({ arm: arm.name, seed, phase: what, size, done, total, note: "" }),
  });
  await writeFileAtomic(
    join(dir, file),
    await imageGrid(joinRows(grid), { columns: Math.ceil(Math.sqrt(shown)) }),
  );
  const common = { arm: arm.name, seed, images: run.images, size };
  const sampled: SamplesRecord = {
    kind: "samples",
    ...common,
    file,
    n: shown,
    sampler: evaluation.sampler.kind,
    steps: evaluation.schedule.steps,
  };
  const evaluated: EvalRecord = {
    kind: "eval",
    ...common,
    weights: "ema",
    heldOut: await heldOutLoss(context, options),
    fd,
  };
  await appendResults(dir, [sampled, evaluated]);
}

async function heldOutLoss(
  { ablation, dataset, onProgress, signal }: RunContext,
  { arm, seed, run, size }: {
    arm: PlannedArm;
    seed: number;
    run: TrainingRun<HditParams>;
    size: number;
  },
): Promise<HeldOut> {
  const { evaluation: { heldOut: n, sigmas, batchSize }, training: { sigmaData } } = ablation;
  const phase = "held-out loss";
  onProgress({ arm: arm.name, seed, phase, size, done: 0, total: n, note: "" });
  const evaluator = heldOutEvaluator(hditModel(arm.spec), { sigmaData });
  try {
    const quality = await heldOutQuality(evaluator, {
      params: run.averaged(),
      pictures: await readHeldOut(dataset.test, { size, n, seed: EVALUATION_SEED }),
      numClasses: arm.spec.numClasses,
      sigmas,
      batchSize,
      signal,
    });
    onProgress({ arm: arm.name, seed, phase, size, done: n, total: n, note: "" });
    return quality;
  } finally {
    evaluator.dispose();
  }
}

/** Samples of the averaged weights, in batches [B, size, size, C]; each is kept in a file, so that stopping loses one. */
async function* sampleArm(
  { dir, ablation, dataset, onProgress, signal }: RunContext,
  { arm, seed, run, size, samples: n }: {
    arm: PlannedArm;
    seed: number;
    run: TrainingRun<HditParams>;
    size: number;
    samples: number;
  },
): AsyncGenerator<NdArray<Float32Array>, void, void> {
  const { evaluation: { sampler: kind, schedule }, training: { sigmaData } } = ablation;
  // batches of as many pixels at every size
  const B = Math.max(1, Math.round(ablation.evaluation.batchSize * (ablation.size / size) ** 2));
  const { numClasses } = arm.spec;
  const sampler = imageSampler(hditModel(arm.spec), { sigmaData });
  const folder = join(dir, "samples", `${arm.name}-seed${seed}-${size}px-${run.images}`);
  await Deno.mkdir(folder, { recursive: true });
  try {
    for (let first = 0; first < n; first += B) {
      const report = (done: number, note = "") =>
        onProgress({ arm: arm.name, seed, phase: "sample", size, done, total: n, note });
      report(first);
      const count = Math.min(B, n - first);
      const rows = Array.from({ length: count }, (_, i) => first + i);
      const bytes = await kept(join(folder, `${first}.safetensors`), async () => {
        const images = await sampler.sample(run.averaged(), {
          ...schedule,
          size: [size, size],
          n: count,
          batchSize: B,
          sampler: kind,
          seeds: rows.map((row) => seed * 1_000_000 + row), // the same for all arms
          ...(numClasses > 0 && { labels: rows.map((row) => row % numClasses) }),
          ...(signal && { signal }),
          onStep: ({ step, steps }) =>
            report(first + count * (step + 1) / steps, `step ${step + 1} of ${steps}`),
        });
        return toBytes(images);
      });
      // distances are taken on what an image file would hold
      const images = Float32Array.from(bytes, (byte) => byte / 127.5 - 1);
      report(first + count);
      yield ndarray(images, [count, size, size, dataset.channels]);
    }
  } finally {
    sampler.dispose();
  }
}

/** The bytes that a file holds, made first where it is missing. */
async function kept(path: string, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return parseSafetensors(await Deno.readFile(path)).tensors.get("images")!.data as Uint8Array;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const data = await make();
  await writeFileAtomic(
    path,
    encodeSafetensors({ images: { dtype: "U8", shape: [data.length], data } }),
  );
  return data;
}
