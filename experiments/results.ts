/**
 * The results of an ablation run: what is written while it goes on, and how it is read.
 *
 * | file in `runs/<name>/` | content |
 * |---|---|
 * | `config.json` | the resolved configuration, as in the last `run` record |
 * | `results.jsonl` | one record a line, append-only, discriminated on `kind` |
 * | `samples/*.png` | sample grids, named by `samples` records |
 * | `figures/*.json`, `report.html` | written by `writeReport`, from the records alone |
 *
 * A resumed run appends another `run` record and repeats what it has to: of records with the same
 * key, the later one holds. Values that are not finite (a run that diverged) are stored as null and
 * read as NaN.
 *
 * @module
 */
import { join } from "@std/path";
import { z } from "zod";
import { appendJsonLines, parseJsonLines, type TornLine } from "../lib/io/json_lines.ts";

/** A measured number: any float, null in JSON when it is not finite. */
const measured = z.custom<number | null>((v) => v === null || typeof v === "number")
  .transform((v) => v === null || !Number.isFinite(v) ? NaN : v);
const count = z.number().int().nonnegative();
const text = z.string().min(1);

/** Where the numbers were computed; `memory` in bytes. */
export const machineSchema = z.strictObject({
  cpu: text,
  cores: count,
  memory: count,
  os: text,
  deno: text,
  engine: text,
  versions: z.record(z.string(), z.string()),
});

/** The first record of every session; a resumed run has several. */
export const runSchema = z.strictObject({
  kind: z.literal("run"),
  name: text,
  /** The command line that starts or resumes this run, as one would type it. */
  command: text,
  /** ISO 8601, with the time zone. */
  started: z.string().datetime({ offset: true }),
  /** The name of the arm that the others are differences from. */
  base: text,
  seeds: z.array(z.number().int()).min(1),
  /** Training images that each arm and seed will see. */
  images: count,
  /** Side of the training images, in pixels. */
  size: z.number().int().positive(),
  data: z.strictObject({
    name: text,
    train: count,
    heldOut: count,
    classes: z.array(z.string()),
  }),
  machine: machineSchema,
  /** The whole resolved configuration, as in config.json. */
  config: z.record(z.string(), z.unknown()),
});

/** One arm: what differs from the base, and what it costs. */
export const armSchema = z.strictObject({
  kind: z.literal("arm"),
  arm: text,
  title: text,
  /** The axes on which it is compared; the base is on all of them. */
  axes: z.array(text),
  /** What differs from the base; empty for the base itself. */
  difference: z.record(z.string(), z.unknown()),
  params: count,
  /** Multiply-adds of one forward pass of one image of the trained size, by the paper's counting. */
  macs: z.number().nonnegative(),
  spec: z.unknown(),
});

/** A point of the training curve: the mean loss since the last such record. */
export const trainSchema = z.strictObject({
  kind: z.literal("train"),
  arm: text,
  seed: z.number().int(),
  step: count,
  images: count,
  loss: measured,
  gradNorm: measured,
  /** Time spent in training so far, over all sessions. */
  seconds: z.number().nonnegative(),
});

/** Held-out loss at fixed noise levels with fixed noise, the same for all arms. */
export const heldOutSchema = z.strictObject({
  /** Mean over images and noise levels. */
  mean: measured,
  /** [noise level, mean loss over images]. */
  bySigma: z.array(z.tuple([z.number().positive(), measured])),
  /** Mean loss of each image over the noise levels, in the order of the held-out split. */
  byImage: z.array(measured).optional(),
  n: count,
});

/** A Fréchet distance between samples and held-out images, with its 95 % interval. */
export const distanceSchema = z.strictObject({
  value: measured,
  low: measured,
  high: measured,
  /** Number of samples. */
  n: count,
  /** Number of held-out images they are compared with. */
  nReference: count,
  /** Name of the feature extractor, such as "random features". */
  features: text,
  /** Distance of as many training images: what a perfect model would get. */
  floor: measured.optional(),
});

/** An evaluation at one image size; another size than the trained one is extrapolation. */
export const evalSchema = z.strictObject({
  kind: z.literal("eval"),
  arm: text,
  seed: z.number().int(),
  images: count,
  size: z.number().int().positive(),
  weights: z.enum(["ema", "raw"]),
  heldOut: heldOutSchema,
  fd: distanceSchema.optional(),
});

/** A grid of samples; `file` is relative to the folder of the run. */
export const samplesSchema = z.strictObject({
  kind: z.literal("samples"),
  arm: text,
  seed: z.number().int(),
  images: count,
  size: z.number().int().positive(),
  file: text,
  n: count,
  sampler: text,
  steps: count,
});

/** Multiply-adds of one forward pass against resolution, for the cost chart. */
export const costSchema = z.strictObject({
  kind: z.literal("cost"),
  /** Name of the curve, such as "HDiT-B/4" or "DiT-B/4". */
  model: text,
  /** [side in pixels, multiply-adds]. */
  points: z.array(z.tuple([z.number().positive(), z.number().positive()])).min(1),
});

/** An arm that stopped by itself, such as one whose loss was no longer finite. */
export const failedSchema = z.strictObject({
  kind: z.literal("failed"),
  arm: text,
  seed: z.number().int(),
  images: count,
  message: text,
});

/** An arm and seed that has seen all its images and has been evaluated; `peakRss` in bytes. */
export const doneSchema = z.strictObject({
  kind: z.literal("done"),
  arm: text,
  seed: z.number().int(),
  images: count,
  seconds: z.number().nonnegative(),
  imagesPerSecond: z.number().nonnegative(),
  peakRss: count,
});

/** Any line of results.jsonl. */
export const resultSchema = z.discriminatedUnion("kind", [
  runSchema,
  armSchema,
  trainSchema,
  evalSchema,
  samplesSchema,
  costSchema,
  failedSchema,
  doneSchema,
]);

/** Where the numbers were computed. */
export type Machine = z.infer<typeof machineSchema>;
/** The first record of a session. */
export type RunRecord = z.infer<typeof runSchema>;
/** One arm: what differs and what it costs. */
export type ArmRecord = z.infer<typeof armSchema>;
/** A point of the training curve. */
export type TrainRecord = z.infer<typeof trainSchema>;
/** Held-out loss at fixed noise levels. */
export type HeldOut = z.infer<typeof heldOutSchema>;
/** A Fréchet distance with its interval. */
export type Distance = z.infer<typeof distanceSchema>;
/** An evaluation at one image size. */
export type EvalRecord = z.infer<typeof evalSchema>;
/** A sample grid. */
export type SamplesRecord = z.infer<typeof samplesSchema>;
/** Multiply-adds of a model against resolution. */
export type CostRecord = z.infer<typeof costSchema>;
/** An arm that stopped by itself. */
export type FailedRecord = z.infer<typeof failedSchema>;
/** An arm and seed that is finished. */
export type DoneRecord = z.infer<typeof doneSchema>;
/** Any record. */
export type ResultRecord = z.infer<typeof resultSchema>;

/** The records that hold, by kind, each in the order in which its key first appeared. */
export type Results = {
  run: RunRecord;
  /** Every `run` record, oldest first. */
  sessions: RunRecord[];
  arms: ArmRecord[];
  /** Sorted by arm, seed and images. */
  train: TrainRecord[];
  evals: EvalRecord[];
  samples: SamplesRecord[];
  costs: CostRecord[];
  failed: FailedRecord[];
  done: DoneRecord[];
  torn: TornLine[];
};

/** The name of the file of records in the folder of a run. */
export const RESULTS_FILE = "results.jsonl";

/** What makes two records the same one, so that the later holds. */
export function resultKey(record: ResultRecord): string {
  switch (record.kind) {
    case "run":
      return JSON.stringify(["run", record.started]);
    case "arm":
      return JSON.stringify(["arm", record.arm]);
    case "cost":
      return JSON.stringify(["cost", record.model]);
    case "train":
      return JSON.stringify(["train", record.arm, record.seed, record.step]);
    case "eval": {
      const { arm, seed, images, size, weights } = record;
      return JSON.stringify(["eval", arm, seed, images, size, weights]);
    }
    case "samples": {
      const { arm, seed, images, size, sampler, steps } = record;
      return JSON.stringify(["samples", arm, seed, images, size, sampler, steps]);
    }
    case "failed":
    case "done":
      return JSON.stringify([record.kind, record.arm, record.seed]);
  }
}

/**
 * Appends records to `results.jsonl` of a run, creating the folder where it is missing.
 *
 * Starts a new line first where the last one was torn, so that the fragment spoils nothing else.
 *
 * @throws {TypeError} where a record does not fit its schema.
 */
export async function appendResults(dir: string, records: ResultRecord[]): Promise<void> {
  for (const record of records) check(record, `a ${record.kind} record`);
  await Deno.mkdir(dir, { recursive: true });
  await appendJsonLines(join(dir, RESULTS_FILE), records);
}

/**
 * Reads the records of a run.
 *
 * @throws {TypeError} where a line is JSON but no valid record, or there is no `run` record.
 */
export async function readResults(dir: string): Promise<Results> {
  return parseResults(await Deno.readTextFile(join(dir, RESULTS_FILE)));
}

/**
 * Parses the text of `results.jsonl`; of records with the same key the last one holds.
 *
 * @throws {TypeError} where a line is JSON but no valid record, or there is no `run` record.
 */
export function parseResults(content: string): Results {
  const { values, torn } = parseJsonLines(content);
  const held = new Map<string, ResultRecord>();
  for (const { line, value } of values) {
    const record = check(value, `line ${line} of ${RESULTS_FILE}`);
    held.set(resultKey(record), record);
  }
  const all = [...held.values()];
  const of = <K extends ResultRecord["kind"]>(kind: K) =>
    all.filter((record): record is Extract<ResultRecord, { kind: K }> => record.kind === kind);
  const sessions = of("run");
  const run = sessions.at(-1);
  if (run === undefined) throw new TypeError("Cannot read results as there is no run record");
  const done = of("done");
  const finished = new Set(done.map(({ arm, seed }) => JSON.stringify([arm, seed])));
  const arms = of("arm");
  const rank = new Map(arms.map(({ arm }, index) => [arm, index]));
  const order = <R extends { arm: string; seed: number; images: number }>(records: R[]) =>
    records.sort((a, b) =>
      (rank.get(a.arm) ?? 0) - (rank.get(b.arm) ?? 0) || a.seed - b.seed || a.images - b.images
    );
  return {
    run,
    sessions,
    arms,
    train: order(of("train")),
    evals: order(of("eval")),
    samples: order(of("samples")),
    costs: of("cost"),
    failed: of("failed").filter(({ arm, seed }) => !finished.has(JSON.stringify([arm, seed]))),
    done: order(done),
    torn,
  };
}

function check(value: unknown, what: string): ResultRecord {
  const parsed = resultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues
    .map(({ path, message }) => `${path.join(".") || "record"}: ${message}`).join("; ");
  throw new TypeError(`Cannot accept ${what} as it does not fit the schema: ${reasons}`);
}
