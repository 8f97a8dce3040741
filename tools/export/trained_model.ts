/**
 * Finds a trained model where a user points: the folder of a run of `train` or `ablate`, a folder of
 * checkpoints, one checkpoint, or one of the reference's files.
 *
 * @module
 */
import { basename, join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import type { SavedRun } from "../../experiments/config.ts";
import { readResults } from "../../experiments/results.ts";
import type { Prediction } from "../../lib/diffusion/preconditioning.ts";
import type { Sampler } from "../../lib/diffusion/samplers/sampler.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { type HditParams, hditParamsFromStateDict } from "../../lib/models/hdit.ts";
import type { HditSpec } from "../../lib/models/spec.ts";
import { stateDictShapes } from "../../lib/models/state_dict.ts";
import { nearest } from "../../lib/nearest.ts";
import { type Checkpoint, loadCheckpoint, readCheckpoint } from "../../lib/training/checkpoint.ts";
import { inferenceModel } from "./inference_model.ts";

/** A model with the weights of its training, and what its samplers should know. */
export type TrainedModel = {
  spec: HditSpec;
  params: HditParams;
  /** The size that it was trained at; undefined where the file does not say. */
  size: readonly [height: number, width: number] | undefined;
  prediction: Prediction;
  sigmaData: number;
  sigmaMin: number;
  sigmaMax: number;
  /** Empty where they are not known. */
  classNames: string[];
  /** How the run says that samples are drawn; empty where it does not. */
  sampling: { sampler?: Sampler; steps?: number; guidanceScale?: number };
  /** What was read, for people. */
  source: string;
};

/** The averaged weights of a training, or those that the optimiser left. */
export type Weights = "ema" | "raw";

/** Which weights, and which training of an ablation run. */
export type ModelChoice = {
  weights?: Weights; // ema
  arm?: string | undefined; // base
  seed?: number | undefined; // 0
};

const CHECKPOINT = /^checkpoint_\d{8,}\.(safetensors|json)$/;

/**
 * Opens the model at a path. The caller disposes `params`.
 *
 * @throws {TypeError|RangeError} where there is no model, or not the arm or the weights that are asked for.
 */
export async function openTrainedModel(
  path: string,
  { weights = "ema", ...arm }: ModelChoice = {},
): Promise<TrainedModel> {
  const { isFile } = await Deno.stat(path).catch(() => {
    throw new TypeError(`Cannot find a model as there is nothing at ${path}`);
  });
  const run = isFile ? undefined : await readConfig(path);
  if (run?.ablation) return await fromAblation(path, { run: run as SavedRun, weights, ...arm });
  if (arm.arm !== undefined || arm.seed !== undefined) {
    throw new TypeError(
      `Cannot choose an arm or a seed as ${path} is not the folder of an ablation run`,
    );
  }
  if (!isFile) {
    const trained = fromCheckpoint(await newestIn(path), weights);
    if (!run?.sampling) return trained;
    const { sampler, steps, guidanceScale } = run.sampling;
    return { ...trained, sampling: { sampler, steps, guidanceScale } };
  }
  if (!CHECKPOINT.test(basename(path))) return await inferenceModel(path, weights);
  const checkpoint = await readCheckpoint(path).catch((error) => {
    throw new RangeError(`Cannot use the checkpoint ${path}: ${error.message}`, { cause: error });
  });
  return fromCheckpoint(checkpoint, weights);
}

/** The newest good checkpoint of a folder, or of the run that it is the folder of. */
async function newestIn(dir: string): Promise<Checkpoint> {
  const found = await loadCheckpoint(dir) ?? await loadCheckpoint(join(dir, "checkpoints"));
  if (found) return found;
  throw new TypeError(
    `Cannot find a model as ${dir} holds no checkpoint and no run: name the folder of a run ` +
      "(runs/emoji), of checkpoints, or a .safetensors file",
  );
}

/** What the `config.json` of a run's folder says: of `ablate`, or of `train`. */
type RunConfig = Partial<SavedRun> & { sampling?: Required<TrainedModel["sampling"]> };

async function readConfig(dir: string): Promise<RunConfig | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(join(dir, "config.json")));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function fromAblation(
  dir: string,
  { run, weights, arm = "base", seed = 0 }: ModelChoice & { run: SavedRun; weights: Weights },
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

/** What `openTraining` saves as the identity of a run; `more` is what `train` adds. */
type TrainingConfig = {
  model: HditSpec;
  prediction?: Prediction;
  size: [number, number];
  sigmaData: number;
  more?: { classes?: string[]; sigmaMin?: number; sigmaMax?: number } | null;
};

function fromCheckpoint(
  { meta, tensors, path }: Omit<Checkpoint, "skipped">,
  weights: Weights,
): TrainedModel {
  const { model: spec, prediction = "edm", size, sigmaData, more } = meta.config as TrainingConfig;
  // the paper's configurations, where the run does not say
  const { classes = [], sigmaMin = 0.01, sigmaMax = 160 } = more ?? {};
  const state: Record<string, tf.Tensor> = {};
  for (const name of stateDictShapes(spec).keys()) {
    const averaged = weights === "ema" ? tensors.get(`ema.${name}`) : undefined;
    const found = averaged ?? tensors.get(`params.${name}`); // buffers are not averaged
    if (found) state[name] = toTensor(found);
  }
  return {
    spec,
    params: hditParamsFromStateDict(state, spec),
    size,
    prediction,
    sigmaData,
    sigmaMin,
    sigmaMax,
    classNames: classes.length === spec.numClasses ? classes : [],
    sampling: {},
    source: `${path}, step ${meta.step}`,
  };
}

function toTensor({ data, shape }: SafetensorsTensor): tf.Tensor {
  return tf.tensor(data as Float32Array, shape, "float32");
}
