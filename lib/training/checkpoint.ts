import { basename, dirname, join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import { treeEntries, treeMap } from "../engine/tree.ts";
import { removeStaleTemporaries, writeFileAtomic, writeTextFileAtomic } from "../io/atomic.ts";
import {
  encodeSafetensors,
  parseSafetensors,
  type SafetensorsInput,
  type SafetensorsTensor,
} from "../io/safetensors.ts";
import { jsonDifferences } from "./json_differences.ts";

/** What a checkpoint says of itself, besides its tensors: plain JSON. */
export type CheckpointMeta = {
  step: number; // optimiser steps done
  /** What must be the same to go on from it. */
  config: unknown;
  [more: string]: unknown;
};

/** A checkpoint that was read and whose checksum holds. */
export type Checkpoint = {
  meta: CheckpointMeta;
  tensors: Map<string, SafetensorsTensor>;
  path: string; // of the safetensors file
  /** Newer checkpoints that were passed over, with the reason. */
  skipped: { path: string; reason: string }[];
};

const FORMAT = "hdit-checkpoint-1";
const NAME = /^checkpoint_(\d{8,})\.(safetensors|json)$/;
const baseOf = (step: number) => `checkpoint_${`${step}`.padStart(8, "0")}`;

/** A state that is read out of its engine, ready to be written while training goes on. */
export type Snapshot = { bytes: Uint8Array<ArrayBuffer>; meta: CheckpointMeta };

/** Reads every tensor of a tree of float32 tensors into the bytes of a checkpoint. */
export async function takeSnapshot(
  { state, meta }: { state: unknown; meta: CheckpointMeta },
): Promise<Snapshot> {
  if (!(Number.isSafeInteger(meta.step) && meta.step >= 0)) {
    throw new RangeError(
      `Cannot save a checkpoint as step must be a whole number >= 0: step is ${meta.step}`,
    );
  }
  const tensors: Record<string, SafetensorsInput> = {};
  for (const [path, leaf] of treeEntries(state)) {
    const data = await leaf.data() as Float32Array;
    tensors[path] = { dtype: leaf.dtype === "int32" ? "I32" : "F32", shape: leaf.shape, data };
  }
  return { bytes: encodeSafetensors(tensors, { format: FORMAT }) as Uint8Array<ArrayBuffer>, meta };
}

/**
 * Writes a checkpoint into `dir`: `checkpoint_STEP.safetensors` with the tensors, then
 * `checkpoint_STEP.json` with the counters, the configuration and the SHA-256 of the tensors.
 *
 * Each file appears whole or not at all, the JSON last, so that a crash at any moment leaves the
 * checkpoints before it good. Older checkpoints but the newest `keep` are removed afterwards.
 * Throws a RangeError rather than replace or remove a checkpoint of another configuration.
 */
export async function saveCheckpoint(
  dir: string,
  { state, meta, keep = 2 }: { state: unknown; meta: CheckpointMeta; keep?: number },
): Promise<string> {
  return await writeSnapshot(dir, await takeSnapshot({ state, meta }), { keep });
}

/** Writes a snapshot as `saveCheckpoint` does; returns the path of the tensors. */
export async function writeSnapshot(
  dir: string,
  { bytes, meta }: Snapshot,
  { keep = 2 }: { keep?: number } = {},
): Promise<string> {
  if (!(Number.isInteger(keep) && keep >= 1)) {
    throw new RangeError(`Cannot save a checkpoint as keep must be at least 1: keep is ${keep}`);
  }
  await Deno.mkdir(dir, { recursive: true });
  const config = JSON.parse(JSON.stringify(meta.config ?? null));
  const base = baseOf(meta.step);
  for (const step of await stepsIn(dir)) {
    const other = await readMeta(dir, step).catch(() => undefined); // a torn one may be replaced
    if (other && jsonDifferences(config, other.meta.config).length > 0) {
      throw new RangeError(
        `Cannot save a checkpoint as ${dir} holds one of another configuration: ${
          baseOf(step)
        }.json; use another folder`,
      );
    }
  }
  await writeFileAtomic(join(dir, `${base}.safetensors`), bytes);
  const about = {
    format: FORMAT,
    file: `${base}.safetensors`,
    bytes: bytes.length,
    sha256: await sha256(bytes),
    meta,
  };
  await writeTextFileAtomic(join(dir, `${base}.json`), JSON.stringify(about, null, 1) + "\n");
  await prune(dir, { newest: meta.step, keep });
  return join(dir, `${base}.safetensors`);
}

/**
 * Writes a checkpoint with its `score` into `dir` in place of the one that is there, if it is better: the lower, the
 * better. Returns whether it was. The one before goes last, so that there is a good one at any moment.
 */
export async function saveBest(
  dir: string,
  { state, meta, score }: { state: unknown; meta: CheckpointMeta; score: number },
): Promise<boolean> {
  if (!Number.isFinite(score)) {
    throw new RangeError(`Cannot save the best as its score must be finite: score is ${score}`);
  }
  const before = await stepsIn(dir);
  const scores = await Promise.all(
    before.map((step) =>
      readMeta(dir, step).then(({ meta }) => Number(meta.score), () => Infinity)
    ),
  );
  if (scores.some((other) => other <= score)) return false;
  await saveCheckpoint(dir, { state, meta: { ...meta, score }, keep: 1 });
  for (const step of before) if (step !== meta.step) await removeCheckpoint(dir, step);
  return true;
}

/**
 * Reads the newest good checkpoint of a folder, or undefined when there is none.
 *
 * A checkpoint whose JSON is missing or torn, whose tensors are missing, shorter or longer than
 * written, or fail their checksum is passed over for the one before, and named in `skipped`. Throws a
 * RangeError when there are checkpoints but none is good: starting afresh must be a decision.
 */
export async function loadCheckpoint(dir: string): Promise<Checkpoint | undefined> {
  const steps = (await stepsIn(dir)).toReversed();
  const skipped: Checkpoint["skipped"] = [];
  for (const step of steps) {
    const path = join(dir, `${baseOf(step)}.safetensors`);
    try {
      return { ...await readCheckpoint(path), skipped };
    } catch (error) {
      skipped.push({ path, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  // Tensors without JSON are what an interrupted first save leaves: nothing was ever good.
  const ever = await Promise.all(steps.map((step) => exists(join(dir, `${baseOf(step)}.json`))));
  if (ever.some(Boolean)) {
    throw new RangeError(
      `Cannot go on as no checkpoint in ${dir} is good: ${
        skipped.map((s) => `${s.path}: ${s.reason}`).join("; ")
      }`,
    );
  }
  return undefined;
}

/**
 * Reads one checkpoint, named by either of its files. Throws a RangeError, or what reading the files throws, unless it is
 * as it was written.
 */
export async function readCheckpoint(file: string): Promise<Omit<Checkpoint, "skipped">> {
  const dir = dirname(file), step = Number(NAME.exec(basename(file))?.[1]);
  const path = join(dir, `${baseOf(step)}.safetensors`);
  const { meta, bytes: length, sha256: sum } = await readMeta(dir, step);
  const bytes = await Deno.readFile(path) as Uint8Array<ArrayBuffer>;
  if (!(bytes.length === length)) {
    throw new RangeError(`it has ${bytes.length} bytes, ${length} were written`);
  }
  if (!(await sha256(bytes) === sum)) throw new RangeError("its checksum does not hold");
  return { meta, tensors: parseSafetensors(bytes).tensors, path };
}

/**
 * Puts the tensors of a checkpoint in the places of a tree of the same paths and shapes; new tensors.
 *
 * Throws a RangeError that names tensors which are missing, left over or of another shape.
 */
export function restoreTree<T>(like: T, tensors: Map<string, SafetensorsTensor>): T {
  const wanted = new Map(treeEntries(like));
  const problems = [
    ...[...wanted].filter(([path]) => !tensors.has(path)).map(([path]) => `${path} is missing`),
    ...[...tensors.keys()].filter((path) => !wanted.has(path)).map((path) =>
      `${path} is left over`
    ),
    ...[...wanted].flatMap(([path, { shape }]) => {
      const found = tensors.get(path)?.shape;
      return found && `${found}` !== `${shape}` ? [`${path} is [${found}], not [${shape}]`] : [];
    }),
  ];
  if (problems.length > 0) {
    const more = problems.length > 5 ? `; and ${problems.length - 5} more` : "";
    throw new RangeError(
      `Cannot restore the checkpoint as its tensors differ from the model's: ${
        problems.slice(0, 5).join("; ")
      }${more}`,
    );
  }
  return treeMap(like, (leaf, path) => {
    const { data, shape } = tensors.get(path)!;
    return tf.tensor(data as Float32Array, shape, leaf.dtype);
  });
}

async function readMeta(dir: string, step: number) {
  const text = await Deno.readTextFile(join(dir, `${baseOf(step)}.json`));
  const about = JSON.parse(text);
  if (!(about?.format === FORMAT && about.meta?.step === step)) {
    throw new RangeError(`its JSON is not that of step ${step} in format ${FORMAT}`);
  }
  return about as { meta: CheckpointMeta; bytes: number; sha256: string };
}

/** Steps of which there is any file, rising. */
async function stepsIn(dir: string): Promise<number[]> {
  const steps = new Set<number>();
  try {
    for await (const { name, isFile } of Deno.readDir(dir)) {
      const step = NAME.exec(name)?.[1];
      if (isFile && step && name.startsWith(`${baseOf(Number(step))}.`)) steps.add(Number(step));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return [...steps].sort((a, b) => a - b);
}

async function prune(dir: string, { newest, keep }: { newest: number; keep: number }) {
  const older = (await stepsIn(dir)).filter((step) => step <= newest).toReversed().slice(keep);
  for (const step of older) await removeCheckpoint(dir, step);
  await removeStaleTemporaries(dir, NAME);
}

async function removeCheckpoint(dir: string, step: number) {
  // The JSON goes first: tensors without it are no checkpoint.
  await Deno.remove(join(dir, `${baseOf(step)}.json`)).catch(ignoreMissing);
  await Deno.remove(join(dir, `${baseOf(step)}.safetensors`)).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return digest.toHex?.() ?? Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
}
