/**
 * Finds a trained model as `openTrainedModel` does, or an arm of an ablation.
 *
 * @module
 */
import { join } from "@std/path";
import type { SavedRun } from "../../experiments/config.ts";
import { readResults } from "../../experiments/results.ts";
import { nearest } from "../../lib/nearest.ts";
import {
  fromCheckpoint,
  openTrainedModel,
  type TrainedModel,
  type Weights,
} from "../../lib/runs/trained_model.ts";
import { loadCheckpoint } from "../../lib/training/checkpoint.ts";

export type { TrainedModel, Weights } from "../../lib/runs/trained_model.ts";

/** Which weights, and which training of an ablation run. */
export type ModelChoice = {
  weights?: Weights; // ema
  arm?: string | undefined; // base
  seed?: number | undefined; // 0
};

/**
 * Opens the model at a path. The caller disposes `params`.
 *
 * @throws {TypeError|RangeError} where there is no model, or not the arm or the weights that are asked for.
 */
export async function openModel(
  path: string,
  { weights = "ema", ...arm }: ModelChoice = {},
): Promise<TrainedModel> {
  const run = await readAblation(path);
  if (run) {
    if (typeof weights === "string") return await fromAblation(path, { run, weights, ...arm });
    throw new TypeError(
      `Cannot make an average of another length as ablations store none: ${path}`,
    );
  }
  if (arm.arm !== undefined || arm.seed !== undefined) {
    throw new TypeError(
      `Cannot choose an arm or a seed as ${path} is not the folder of an ablation run`,
    );
  }
  return await openTrainedModel(path, { weights });
}

async function readAblation(dir: string): Promise<SavedRun | undefined> {
  try {
    const saved = JSON.parse(await Deno.readTextFile(join(dir, "config.json")));
    return saved?.ablation ? saved as SavedRun : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

async function fromAblation(
  dir: string,
  { run, weights, arm = "base", seed = 0 }: ModelChoice & {
    run: SavedRun;
    weights: Weights & string;
  },
): Promise<TrainedModel> {
  const name = `${arm}-seed${seed}`, root = join(dir, "checkpoints");
  const known: string[] = [];
  try {
    for await (const entry of Deno.readDir(root)) if (entry.isDirectory) known.push(entry.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (!known.includes(name)) {
    const near = nearest(name, known);
    throw new RangeError(
      `Cannot find the arm ${arm} with seed ${seed} in ${dir}: ` +
        (near ? `did you mean ${near}?` : `there are ${known.sort().join(", ") || "none yet"}`),
    );
  }
  const checkpoint = await loadCheckpoint(join(root, name));
  if (!checkpoint) throw new TypeError(`Cannot find a model as ${join(root, name)} is empty`);
  const trained = fromCheckpoint(checkpoint, weights);
  const { sampler, schedule: { steps, sigmaMin, sigmaMax } } = run.ablation.evaluation;
  const classes = await readResults(dir).then(({ run }) => run.data.classes, () => []);
  const classNames = classes.length === trained.spec.numClasses ? classes : [];
  return { ...trained, sigmaMin, sigmaMax, classNames, sampling: { sampler, steps } };
}
