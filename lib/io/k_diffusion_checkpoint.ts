/**
 * The reference's checkpoints: slim ones for inference (safetensors with the configuration in the metadata), and those
 * of its training program (`.pth`).
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { treeEntries } from "../engine/tree.ts";
import type { HditParams } from "../models/hdit_params.ts";
import type { HditSpec } from "../models/spec.ts";
import { hditParamsFromStateDict } from "../models/state_dict.ts";
import { writeFileAtomic } from "./atomic.ts";
import { specFromKDiffusion } from "./k_diffusion_config.ts";
import type { Json } from "./k_diffusion_schema.ts";
import { toKDiffusionConfig } from "./k_diffusion_write.ts";
import type { PickleKey } from "./pickle.ts";
import { encodeSafetensors, parseSafetensors, type SafetensorsInput } from "./safetensors.ts";
import { paramsFromStored, type WeightsDtype } from "./stored_params.ts";
import { tensorsOf } from "./state_dict_file.ts";
import { storedTensors } from "./stored_tensor.ts";
import { openTorchFile, type TorchValue } from "./torch_file.ts";

export type { WeightsDtype } from "./stored_params.ts";

/** A model that was read: its configuration as it stands in the file, and its weights, which the caller disposes of. */
export type LoadedModel = {
  /** See `parseKDiffusionConfig` for noise levels, sizes and the rest. */
  config: Json;
  spec: HditSpec;
  /** Buffers included. */
  params: HditParams;
  /** How the weights are stored; `mixed` where not all alike. */
  dtype: WeightsDtype | "mixed";
};

/** A model out of a training checkpoint, and how far its training was. */
export type LoadedTraining = LoadedModel & {
  /** Optimiser steps and passes over the data; undefined where the file does not say. */
  step: number | undefined;
  epoch: number | undefined;
  /** Seconds of training. */
  elapsed: number | undefined;
};

const FORMATS = { fp32: "F32", fp16: "F16", bf16: "BF16" } as const;

/**
 * Loads an inference checkpoint, given as a path or as its bytes.
 *
 * `config` replaces the one in the metadata. Throws a RangeError where the file is damaged or its tensors are not those of
 * the configuration, naming them, and a TypeError where there is no configuration or weights are not floats.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { setEngine } from "../engine/engine.ts";
 * import { treeDispose } from "../engine/tree.ts";
 * import { initHdit } from "../models/hdit_params.ts";
 * import { presets } from "../models/presets.ts";
 *
 * await setEngine("cpu");
 * const path = `${await Deno.makeTempDir()}/model.safetensors`;
 * const params = initHdit(presets.smoke, { seed: 0, stream: "model" });
 * await saveInferenceCheckpoint(path, { spec: presets.smoke, size: [32, 32], params });
 * const loaded = await loadInferenceCheckpoint(path);
 * assert.deepEqual(loaded.spec, presets.smoke);
 * treeDispose([params, loaded.params]);
 * ```
 */
export async function loadInferenceCheckpoint(
  from: string | Uint8Array,
  options: { config?: Json } = {},
): Promise<LoadedModel> {
  const bytes = typeof from === "string" ? await Deno.readFile(from) : from;
  const { metadata, tensors } = parseSafetensors(bytes);
  const config = options.config ?? configOf(metadata.config);
  const spec = specFromKDiffusion(config);
  return { config, spec, ...paramsFromStored(storedTensors(tensors), spec) };
}

function configOf(text: string | undefined): Json {
  if (text === undefined) {
    throw new TypeError(
      'Cannot load the checkpoint as its metadata must hold a "config": give one in the options',
    );
  }
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new SyntaxError('Cannot load the checkpoint as its "config" must be JSON', { cause });
  }
}

/** What is saved: `config` is written as it is, or made from `spec` and `size`. */
export type SaveInferenceOptions = {
  config?: Json;
  spec?: HditSpec;
  size?: [height: number, width: number];
  /** The averaged weights, usually. */
  params: HditParams;
  dtype?: WeightsDtype; // fp32
  /** Whether a file of that name may be replaced. Default: false. */
  overwrite?: boolean;
};

/**
 * Saves weights, buffers included, as the reference's inference checkpoint; the file appears whole or not at all.
 *
 * fp16 and bf16 round to the nearest. Throws a RangeError where the tensors are not those of the configuration, a number
 * does not fit fp16, or the configuration cannot be written, and a TypeError where the file exists or neither `config` nor
 * `spec` and `size` are given.
 */
export async function saveInferenceCheckpoint(
  path: string,
  { config, spec, size, params, dtype = "fp32", overwrite = false }: SaveInferenceOptions,
): Promise<void> {
  if (!overwrite && await exists(path)) {
    throw new TypeError(
      `Cannot save the checkpoint as ${path} exists: give another name, or overwrite: true`,
    );
  }
  const written = config ?? (spec && size ? toKDiffusionConfig({ spec, size }) : undefined);
  if (!written) {
    throw new TypeError("Cannot save the checkpoint as it needs a config, or a spec and a size");
  }
  const own = specFromKDiffusion(written);
  if (spec && !isDeepStrictEqual(own, spec)) {
    throw new RangeError("Cannot save the checkpoint as config and spec describe two models");
  }
  checkNames(params, own);
  const tensors: Record<string, SafetensorsInput> = {};
  for (const [name, leaf] of treeEntries(params)) {
    const data = await leaf.data() as Float32Array;
    if (dtype === "fp16") checkHalf(name, data);
    tensors[name] = { dtype: FORMATS[dtype], shape: leaf.shape, data };
  }
  await writeFileAtomic(
    path,
    encodeSafetensors(tensors, { config: JSON.stringify(written, null, 4) }),
  );
}

/** The tree must have the names and shapes of the spec's state dict. */
function checkNames(params: HditParams, spec: HditSpec): void {
  hditParamsFromStateDict(Object.fromEntries(treeEntries(params)), spec);
}

function checkHalf(name: string, data: Float32Array): void {
  const tooLarge = data.find((x) => Math.abs(x) >= 65520 && Number.isFinite(x));
  if (tooLarge !== undefined) {
    throw new RangeError(
      `Cannot save ${name} as its numbers must be less than 65520 in fp16: one is ${tooLarge}`,
    );
  }
}

/**
 * Loads the averaged weights of a training checkpoint (`.pth`), or with `weights: "model"` the trained ones.
 *
 * From a path, only the weights asked for are read. Nothing in the file is executed: see `openTorchFile` for what is
 * refused. `config` replaces the one in the file, which old files lack.
 */
export function loadTrainingCheckpoint(
  from: string | Uint8Array,
  { weights = "model_ema", config }: { weights?: "model_ema" | "model"; config?: Json } = {},
): LoadedTraining {
  using file = openTorchFile(from);
  const contents = dictOf(file.value, "the checkpoint");
  const own = config ?? contents.get("config") ?? undefined;
  if (own === undefined) {
    throw new TypeError(
      'Cannot load the checkpoint as it must hold a "config": give one in the options',
    );
  }
  const known = (config ?? plainJson(own as TorchValue)) as Json;
  const spec = specFromKDiffusion(known);
  const stored = tensorsOf(contents.get(weights), weights);
  const number = (key: string) => {
    const value = contents.get(key);
    return typeof value === "number" ? value : undefined;
  };
  return {
    config: known,
    spec,
    ...paramsFromStored(stored, spec),
    step: number("step"),
    epoch: number("epoch"),
    elapsed: number("elapsed"),
  };
}

function dictOf(value: TorchValue | undefined, what: string): Map<PickleKey, TorchValue> {
  if (value instanceof Map) return value;
  throw new TypeError(`Cannot load the checkpoint as ${what} must be a dict`);
}

const MAX_NODES = 100_000, MAX_DEPTH = 64;

/** Settings out of a file as plain JSON: dicts become objects; bounded, since lists in a pickle may hold themselves. */
function plainJson(value: TorchValue): unknown {
  let nodes = 0;
  const visit = (node: TorchValue, depth: number): unknown => {
    if (!(++nodes <= MAX_NODES && depth <= MAX_DEPTH)) {
      throw new RangeError(
        `Cannot load the checkpoint as its config must have at most ${MAX_NODES} values, ${MAX_DEPTH} deep`,
      );
    }
    if (node instanceof Map) {
      return Object.fromEntries(
        [...node].map(([key, child]) => [`${key}`, visit(child, depth + 1)]),
      );
    }
    if (Array.isArray(node)) return node.map((child) => visit(child, depth + 1));
    if (node === null || ["boolean", "number", "string"].includes(typeof node)) return node;
    throw new TypeError("Cannot load the checkpoint as its config must be plain settings");
  };
  return visit(value, 0);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });
}
