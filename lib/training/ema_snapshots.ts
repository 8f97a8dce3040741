import { join } from "@std/path";
import { treeEntries } from "../engine/tree.ts";
import { removeStaleTemporaries, writeFileAtomic } from "../io/atomic.ts";
import {
  encodeSafetensors,
  parseSafetensors,
  type SafetensorsInput,
  type SafetensorsTensor,
} from "../io/safetensors.ts";
import { averagedParams } from "./ema.ts";
import { mixingWeights, powerGamma } from "./power_ema.ts";
import type { Leaves } from "./train_step.ts";

/** A stored average of a run's parameters: how long it is, relative to the steps that it covers. */
export type EmaSnapshot = { path: string; step: number; sigmaRel: number };

/** An average put together from stored ones. */
export type ReconstructedEma = {
  /** All of a model's parameters, buffers among them; see `restoreTree`. */
  tensors: Map<string, SafetensorsTensor>;
  step: number;
  sigmaRel: number;
  /** What went into it; the weights sum to 1. */
  parts: (EmaSnapshot & { weight: number })[];
  /** The configuration of the run. */
  config: unknown;
};

const FORMAT = "hdit-ema-1";
const NAME = /^ema_(\d{8,})_(0\.\d+)\.safetensors$/;

/** Stores the averages of a step, one file each: `ema_STEP_SIGMAREL.safetensors`, which appears whole or not at all. */
export async function writeEmaSnapshots<P>(
  dir: string,
  { params, averages, sigmaRels, step, config }: {
    params: P;
    averages: readonly Leaves[];
    sigmaRels: readonly number[];
    step: number;
    config: unknown;
  },
): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  for (const [i, sigmaRel] of sigmaRels.entries()) {
    const tensors: Record<string, SafetensorsInput> = {};
    for (const [path, leaf] of treeEntries(averagedParams(params, averages[i]))) {
      tensors[path] = { dtype: "F32", shape: leaf.shape, data: await leaf.data() };
    }
    const metadata = {
      format: FORMAT,
      step: `${step}`,
      sigma_rel: `${sigmaRel}`,
      gamma: `${powerGamma(sigmaRel)}`,
      config: JSON.stringify(config),
    };
    const name = `ema_${`${step}`.padStart(8, "0")}_${sigmaRel}.safetensors`;
    await writeFileAtomic(join(dir, name), encodeSafetensors(tensors, metadata));
  }
  await removeStaleTemporaries(dir, NAME);
}

/** The stored averages in a folder, in the order of their steps. */
export async function listEmaSnapshots(dir: string): Promise<EmaSnapshot[]> {
  const found: EmaSnapshot[] = [];
  for await (const { name } of Deno.readDir(dir)) {
    const match = NAME.exec(name);
    if (match) found.push({ path: join(dir, name), step: +match[1], sigmaRel: +match[2] });
  }
  return found.sort((a, b) => a.step - b.step || a.sigmaRel - b.sigmaRel);
}

/**
 * The average of length `sigmaRel` over the first `step` steps, as nearly as the averages stored by then can be mixed
 * to it. Without `step`: over all that are stored.
 *
 * Files are read one at a time; the sum is in double precision. Averages much shorter than the distance of the stored
 * ones, or much longer than the longest, are off by a few per cent of their profile.
 * Throws a RangeError when nothing is stored by that step or the files are of different runs.
 */
export async function reconstructEma(
  source: string | readonly EmaSnapshot[],
  { sigmaRel, step: wanted }: { sigmaRel: number; step?: number },
): Promise<ReconstructedEma> {
  const all = typeof source === "string" ? await listEmaSnapshots(source) : source;
  const step = wanted ?? Math.max(0, ...all.map((stored) => stored.step));
  const stored = all.filter((snapshot) => snapshot.step <= step);
  if (!(stored.length > 0)) {
    throw new RangeError(
      `Cannot reconstruct the average as no average is stored by step ${step}: there are ${all.length} in all`,
    );
  }
  const profileOf = (at: { step: number; sigmaRel: number }) => ({
    step: at.step,
    gamma: powerGamma(at.sigmaRel),
  });
  const weights = mixingWeights(stored.map(profileOf), profileOf({ step, sigmaRel }));
  const parts = stored.map((snapshot, i) => ({ ...snapshot, weight: weights[i] }));
  return { ...await mix(parts), step, sigmaRel, parts };
}

/** The weighted sum of the files' tensors. */
async function mix(parts: ReconstructedEma["parts"]) {
  const sums = new Map<string, { shape: number[]; sum: Float64Array }>();
  let config: string | undefined;
  for (const { path, weight } of parts) {
    const { tensors, metadata } = parseSafetensors(await Deno.readFile(path));
    if (!(metadata.format === FORMAT && metadata.config === (config ?? metadata.config))) {
      throw new RangeError(
        `Cannot reconstruct the average as ${path} is of another run, or no average at all`,
      );
    }
    config = metadata.config;
    for (const [name, { shape, data }] of tensors) {
      const { sum } = sums.get(name) ?? { sum: new Float64Array(data.length) };
      for (let i = 0; i < data.length; i++) sum[i] += weight * Number(data[i]);
      sums.set(name, { shape, sum });
    }
  }
  const tensors = new Map(
    [...sums].map(([name, { shape, sum }]): [string, SafetensorsTensor] => [
      name,
      { dtype: "F32", shape, data: Float32Array.from(sum) },
    ]),
  );
  return { tensors, config: JSON.parse(config!) as unknown };
}
