import ndarray, { type NdArray } from "ndarray";
import sharp from "sharp";
import { denseData } from "../../lib/data/dense.ts";
import { imageGrid, toBytes } from "../../lib/io/images.ts";
import { type Drawing, pick } from "./draw.ts";
import type { Sample, SamplePlan } from "./plan.ts";

/** Most pictures side by side in a strip. */
const STRIP = 10;
/** Milliseconds of a frame, and of the last one. */
const FRAME = 80, LAST_FRAME = 1500;

/** The denoised estimates of one sample, one a step, [steps, H, W, C] in [-1, 1]. */
export async function trajectoryOf(
  { sampler, params, channels }: Drawing,
  { plan, sample, onStep, signal }: {
    plan: SamplePlan;
    sample: Sample;
    onStep?: (step: number, steps: number) => void;
    signal?: AbortSignal;
  },
): Promise<NdArray<Float32Array>> {
  const estimates: Float32Array[] = [];
  await sampler.sample(params, {
    ...plan.options,
    ...pick([sample], plan),
    ...(signal && { signal }),
    onStep: async ({ step, steps, info }) => {
      estimates.push(Float32Array.from(await info.denoised.data()));
      onStep?.(step + 1, steps);
    },
  });
  const all = new Float32Array(estimates.length * estimates[0].length);
  estimates.forEach((estimate, i) => all.set(estimate, i * estimate.length));
  return ndarray(all, [estimates.length, ...plan.settings.size, channels]);
}

/** What a trajectory can be written as. */
export type TrajectoryFormat = "png" | "gif" | "webp";

/** A strip of up to ten estimates, evenly spaced, as PNG, or an animation of all of them. */
export async function encodeTrajectory(
  estimates: NdArray<Float32Array>,
  format: TrajectoryFormat,
): Promise<Uint8Array> {
  const [steps, height, width, channels] = estimates.shape;
  if (format === "png") return await imageGrid(stripOf(estimates), { columns: STRIP });
  const frames = sharp(toBytes(denseData(estimates)), {
    raw: { width, height: height * steps, channels: channels as 1 | 3, pageHeight: height },
  });
  const delay = Array.from({ length: steps }, (_, i) => i === steps - 1 ? LAST_FRAME : FRAME);
  const animation = format === "gif"
    ? frames.gif({ delay, loop: 0 })
    : frames.webp({ delay, loop: 0, lossless: true });
  return new Uint8Array(await animation.toBuffer());
}

function stripOf(estimates: NdArray<Float32Array>): NdArray<Float32Array> {
  const [steps, ...shape] = estimates.shape, each = shape.reduce((a, b) => a * b, 1);
  const count = Math.min(steps, STRIP), data = denseData(estimates);
  const chosen = new Float32Array(count * each);
  for (let i = 0; i < count; i++) {
    const step = count === 1 ? 0 : Math.round(i * (steps - 1) / (count - 1));
    chosen.set(data.subarray(step * each, (step + 1) * each), i * each);
  }
  return ndarray(chosen, [count, ...shape]);
}
