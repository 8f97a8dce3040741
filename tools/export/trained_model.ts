/**
 * Finds a trained model where a user points: the folder of an ablation run, the folder of a
 * training run's checkpoints, or an inference checkpoint.
 *
 * @module
 */
import { basename, dirname, join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import type { SavedRun } from "../../experiments/config.ts";
import { readResults } from "../../experiments/results.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { type HditParams, hditParamsFromStateDict } from "../../lib/models/hdit.ts";
import type { HditSpec } from "../../lib/models/spec.ts";
import { stateDictShapes } from "../../lib/models/state_dict.ts";
import { nearest } from "../../lib/nearest.ts";
import { type Checkpoint, loadCheckpoint } from "../../lib/training/checkpoint.ts";
import { inferenceModel } from "./inference_model.ts";

/** A model with the averaged weights of its training, and what its samplers should know. */
export type TrainedModel = {
  spec: HditSpec;
  params: HditParams;
  /** The size that it was trained at; undefined where the file does not say. */
  size: readonly [height: number, width: number] | undefined;
  sigmaData: number;
  sigmaMin: number;
  sigmaMax: number;
  /** Empty where they are not known. */
  classNames: string[];
  /** What was read, for people. */
  source: string;
};

/** Which training of an ablation run. */
export type RunChoice = { arm?: string | undefined; seed?: number | undefined };

const CHECKPOINT = /^checkpoint_\d{8,}\.(safetensors|json)$/;

/**
 * Opens the model at a path. The caller disposes `params`.
 *
 * @throws {TypeError|RangeError} where there is no model, or not the arm that is asked for.
 */
export async function openTrainedModel(
  path: string,
  choice: RunChoice = {},
): Promise<TrainedModel> {
  const { isFile } = await Deno.stat(path).catch(() => {
    throw new TypeError(`Cannot find a model as there is nothing at ${path}`);
  });
  if (isFile && !CHECKPOINT.test(basename(path))) {
    refuseChoice(choice, path);
    return await inferenceModel(path);
  }
  const dir = isFile ? dirname(path) : path;
  const run = isFile ? undefined : await readSavedRun(dir);
  if (run) return await fromRun(dir, { run, ...choice });
  refuseChoice(choice, path);
  const checkpoint = await loadCheckpoint(dir);
  if (!checkpoint) {
    throw new TypeError(
      `Cannot find a model as ${path} holds no checkpoint and no run: name the folder of a run ` +
        "(runs/emoji), of checkpoints, or a .safetensors file",
    );
  }
  if (isFile && basename(checkpoint.path).split(".")[0] !== basename(path).split(".")[0]) {
    throw new RangeError(
      `Cannot use ${path} as the newest good checkpoint beside it is ${basename(checkpoint.path)}`,
    );
  }
  return fromCheckpoint(checkpoint);
}

function refuseChoice({ arm, seed }: RunChoice, path: string): void {
  if (arm === undefined && seed === undefined) return;
  throw new TypeError(`Cannot choose an arm or a seed as ${path} is not the folder of a run`);
}

async function readSavedRun(dir: string): Promise<SavedRun | undefined> {
  try {
    const saved = JSON.parse(await Deno.readTextFile(join(dir, "config.json")));
    return saved?.ablation ? saved as SavedRun : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function fromRun(
  dir: string,
  { run, arm = "base", seed = 0 }: RunChoice & { run: SavedRun },
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
  const trained = fromCheckpoint(checkpoint);
  const { sigmaMin, sigmaMax } = run.ablation.evaluation.schedule;
  const classes = await readResults(dir).then(({ run }) => run.data.classes, () => []);
  const classNames = classes.length === trained.spec.numClasses ? classes : [];
  return { ...trained, sigmaMin, sigmaMax, classNames };
}

/** What `openTraining` saves as the identity of a run. */
type TrainingConfig = { model: HditSpec; size: [number, number]; sigmaData: number };

function fromCheckpoint({ meta, tensors, path }: Checkpoint): TrainedModel {
  const { model: spec, size, sigmaData } = meta.config as TrainingConfig;
  const state: Record<string, tf.Tensor> = {};
  for (const name of stateDictShapes(spec).keys()) {
    // buffers are not averaged
    const found = tensors.get(`ema.${name}`) ?? tensors.get(`params.${name}`);
    if (found) state[name] = toTensor(found);
  }
  return {
    spec,
    params: hditParamsFromStateDict(state, spec),
    size,
    sigmaData,
    sigmaMin: 0.01, // the paper's configurations
    sigmaMax: 160,
    classNames: [],
    source: `${path}, step ${meta.step}`,
  };
}

function toTensor({ data, shape }: SafetensorsTensor): tf.Tensor {
  return tf.tensor(data as Float32Array, shape, "float32");
}
