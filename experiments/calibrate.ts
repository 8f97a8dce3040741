/**
 * Turns minutes into images: a few steps of every arm are measured, once, before the run.
 *
 * @module
 */
import { hditModel } from "../lib/diffusion/diffusion_model.ts";
import { imageSampler } from "../lib/diffusion/sample.ts";
import { denoiserCalls } from "../lib/diffusion/samplers/sampler.ts";
import { openTraining } from "../lib/training/run.ts";
import type { Dataset } from "../lib/data/dataset.ts";
import { trainingOptions } from "./arm_run.ts";
import type { Ablation } from "./config.ts";
import type { PlannedArm } from "./plan.ts";

/** What an arm takes, in seconds, on this machine now. */
export type ArmTiming = {
  arm: string;
  /** One training step. */
  step: number;
  /** Tracing and compiling the step, paid once a session. */
  compile: number;
  /** Sampling and held-out losses, at all sizes, for one seed. */
  evaluation: number;
};

/** The first is compiled; the fastest of the others counts, as other programs slow some of them down. */
const MEASURED_STEPS = 9;

/** Measures a few steps and one evaluation of the denoiser of each arm. */
export async function timeArms(
  { ablation, dataset }: { ablation: Ablation; dataset: Dataset },
  { arms, onArm, signal }: {
    arms: readonly PlannedArm[];
    onArm?: (arm: string) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<ArmTiming[]> {
  const timings: ArmTiming[] = [];
  for (const arm of arms) {
    signal?.throwIfAborted();
    onArm?.(arm.name);
    const seconds: number[] = [];
    const images = MEASURED_STEPS * ablation.batchSize;
    const run = await openTraining(
      trainingOptions({ ablation, dataset, images }, { arm, seed: 0 }),
    );
    try {
      for await (const report of run.steps()) seconds.push(report.seconds);
      const [first, ...steady] = seconds;
      const step = Math.min(...steady);
      const call = await denoiserSeconds({ ablation, arm, params: run.averaged() });
      timings.push({
        arm: arm.name,
        step,
        compile: Math.max(0, first - step),
        evaluation: call * denoiserImages(ablation, arm),
      });
    } finally {
      run.dispose();
    }
  }
  return timings;
}

/** Seconds of one denoiser call for one image of the trained size. */
async function denoiserSeconds(
  { ablation, arm, params }: {
    ablation: Ablation;
    arm: PlannedArm;
    params: Parameters<ReturnType<typeof imageSampler>["sample"]>[0];
  },
): Promise<number> {
  const { size, evaluation, training: { sigmaData } } = ablation;
  const { batchSize } = evaluation;
  const sampler = imageSampler(hditModel(arm.spec), { sigmaData });
  const sample = (steps: number) =>
    sampler.sample(params as never, {
      size: [size, size],
      n: batchSize,
      batchSize,
      steps,
      sampler: evaluation.sampler,
    });
  try {
    await sample(1); // compiles
    const seconds: number[] = [];
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await sample(2);
      seconds.push((performance.now() - start) / 1000 / 2 / batchSize);
    }
    return Math.min(...seconds);
  } finally {
    sampler.dispose();
  }
}

/** How many images of the trained size the denoiser sees in the evaluation of an arm; cost goes with pixels. */
function denoiserImages({ size, evaluation }: Ablation, arm: PlannedArm): number {
  const calls = denoiserCalls(evaluation.sampler, evaluation.schedule.steps);
  const sizes = [{ size, samples: evaluation.distanceSamples }, ...arm.extrapolate];
  return sizes.reduce(
    (sum, at) =>
      sum + (at.size / size) ** 2 *
        (at.samples * calls + evaluation.heldOut * evaluation.sigmas.length),
    0,
  );
}

/** Whole runs take longer than their fastest steps say: 1.3 times as long where this was measured. */
const OVERHEAD = 1.3;

/** Seconds that a run takes with a number of images an arm. */
export function runSeconds(
  timings: readonly ArmTiming[],
  { images, seeds, batchSize }: { images: number; seeds: number; batchSize: number },
): number {
  const each = timings.map(({ step, compile, evaluation }) =>
    step * Math.ceil(images / batchSize) + compile + evaluation
  );
  return OVERHEAD * seeds * each.reduce((sum, seconds) => sum + seconds, 0);
}

/** The images that fit a time, in whole steps; at least ten steps. */
export function imagesFor(
  timings: readonly ArmTiming[],
  { minutes, seeds, batchSize }: { minutes: number; seeds: number; batchSize: number },
): number {
  const fixed = runSeconds(timings, { images: 0, seeds, batchSize });
  const perStep = OVERHEAD * seeds * timings.reduce((sum, { step }) => sum + step, 0);
  const steps = Math.floor((60 * minutes - fixed) / perStep);
  return Math.max(10, steps) * batchSize;
}
