/**
 * Finds a trained model where a user points: the folder of a run of `train`, a folder of checkpoints, one
 * checkpoint, or one of the reference's files.
 *
 * @module
 */
import { basename, join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import type { Prediction } from "../diffusion/preconditioning.ts";
import type { Sampler } from "../diffusion/samplers/sampler.ts";
import type { SafetensorsTensor } from "../io/safetensors.ts";
import { type HditParams, hditParamsFromStateDict } from "../models/hdit.ts";
import type { HditSpec } from "../models/spec.ts";
import { stateDictShapes } from "../models/state_dict.ts";
import { type Checkpoint, loadCheckpoint, readCheckpoint } from "../training/checkpoint.ts";
import { reconstructEma } from "../training/ema_snapshots.ts";
import type { ResolvedConfig } from "./config.ts";
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
  /** Where it draws from pictures that are this many times smaller. */
  superResolution?: { factor: number };
  /** What was read, for people. */
  source: string;
};

/**
 * The averaged weights of a training, those that the optimiser left, or, of a run with `postHocEma`, an average of any
 * length (EDM2), put together from the stored ones.
 */
export type Weights = "ema" | "raw" | { sigmaRel: number };

const CHECKPOINT = /^checkpoint_\d{8,}\.(safetensors|json)$/;

/**
 * Opens the model at a path. The caller disposes `params`.
 *
 * @throws {TypeError|RangeError} where there is no model, or not the weights that are asked for.
 */
export async function openTrainedModel(
  path: string,
  { weights = "ema" }: { weights?: Weights } = {},
): Promise<TrainedModel> {
  const { isFile } = await Deno.stat(path).catch(() => {
    throw new TypeError(`Cannot find a model as there is nothing at ${path}`);
  });
  if (!isFile) {
    const trained = typeof weights === "object"
      ? await fromStoredAverages(join(path, "ema"), weights)
      : fromCheckpoint(await newestIn(path), weights);
    const said = await samplingOf(path);
    if (!said) return trained;
    const { sigmaMin, sigmaMax, ...sampling } = said;
    return { ...trained, sigmaMin, sigmaMax, sampling };
  }
  if (typeof weights === "object") {
    throw new TypeError(
      `Cannot make an average of another length from one file: name the folder of a run with postHocEma, not ${path}`,
    );
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

/** How the `config.json` of a run of `train` says that samples are drawn. */
async function samplingOf(dir: string): Promise<ResolvedConfig["sampling"] | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(join(dir, "config.json"))).sampling;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What `openTraining` saves as the identity of a run; `more` is what `train` adds. */
type TrainingConfig = {
  model: HditSpec;
  prediction?: Prediction;
  size: [number, number];
  sigmaData: number;
  more?: { classes?: string[]; superResolution?: { factor: number } } | null;
};

/** The model of a checkpoint of `openTraining`. */
export function fromCheckpoint(
  { meta, tensors, path }: Omit<Checkpoint, "skipped">,
  weights: Weights & string,
): TrainedModel {
  return modelOf(meta.config as TrainingConfig, {
    source: `${path}, step ${meta.step}`,
    tensorOf: (name) => {
      const averaged = weights === "ema" ? tensors.get(`ema.${name}`) : undefined;
      return averaged ?? tensors.get(`params.${name}`); // buffers are not averaged
    },
  });
}

async function fromStoredAverages(
  dir: string,
  { sigmaRel }: { sigmaRel: number },
): Promise<TrainedModel> {
  const { tensors, config, step } = await reconstructEma(dir, { sigmaRel });
  return modelOf(config as TrainingConfig, {
    source: `${dir}, average of length ${sigmaRel} at step ${step}`,
    tensorOf: (name) => tensors.get(name),
  });
}

function modelOf(
  { model: spec, prediction = "edm", size, sigmaData, more }: TrainingConfig,
  { source, tensorOf }: {
    source: string;
    tensorOf: (name: string) => SafetensorsTensor | undefined;
  },
): TrainedModel {
  const { classes = [], superResolution } = more ?? {};
  const state: Record<string, tf.Tensor> = {};
  for (const name of stateDictShapes(spec).keys()) {
    const found = tensorOf(name);
    if (found) state[name] = toTensor(found);
  }
  return {
    spec,
    params: hditParamsFromStateDict(state, spec),
    size,
    prediction,
    sigmaData,
    sigmaMin: 0.01, // the paper's configurations
    sigmaMax: 160,
    classNames: classes.length === spec.numClasses ? classes : [],
    sampling: {},
    ...(superResolution && { superResolution }),
    source,
  };
}

function toTensor({ data, shape }: SafetensorsTensor): tf.Tensor {
  return tf.tensor(data as Float32Array, shape, "float32");
}
