/**
 * What a training run writes down of itself: `log.jsonl`, one record a line, append-only.
 *
 * A run that is killed repeats the steps since its last checkpoint, and so their records: of records of one kind and
 * step the later holds.
 *
 * @module
 */
import { join } from "@std/path";
import { appendJsonLines, parseJsonLines } from "../io/json_lines.ts";
import type { DistanceQuality } from "./distance.ts";
import type { HeldOutQuality } from "./quality.ts";

/** One session: from a start of the command to its end. */
export type SessionRecord = {
  kind: "session";
  step: number; // at which it began
  images: number;
  started: string; // ISO 8601
  engine: string;
  cpu: string;
  cores: number;
};

/** Means over the steps since the record before. */
export type TrainRecord = {
  kind: "train";
  step: number;
  images: number;
  loss: number;
  gradNorm: number; // before clipping
  lr: number;
  emaDecay: number;
  imagesPerSecond: number; // in steps alone
  waited: number; // share of the time that steps waited for data
  noiseScale?: number;
};

/** Quality of the averaged parameters. */
export type EvaluationRecord = {
  kind: "evaluation";
  step: number;
  images: number;
  heldOut: Omit<HeldOutQuality, "byImage">;
  distance?: DistanceQuality;
};

/** A grid of samples, its file relative to the run's folder. */
export type DemoRecord = { kind: "demo"; step: number; images: number; file: string };

/** Any line. */
export type LogRecord = SessionRecord | TrainRecord | EvaluationRecord | DemoRecord;

/** The name of the file in a run's folder. */
export const LOG_FILE = "log.jsonl";

/** Appends records; the folder must exist. */
export async function appendLog(dir: string, ...records: LogRecord[]): Promise<void> {
  await appendJsonLines(join(dir, LOG_FILE), records);
}

/** The records that hold, by step; none where there is no file yet. Lines that were torn are left out. */
export async function readLog(dir: string): Promise<LogRecord[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(dir, LOG_FILE));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const held = new Map<string, LogRecord>();
  for (const { value } of parseJsonLines(text).values) {
    const record = value as LogRecord;
    held.set(`${record.kind}/${record.step}`, record);
  }
  return [...held.values()].sort((a, b) => a.step - b.step);
}

/** The records of one kind. */
export function ofKind<K extends LogRecord["kind"]>(
  records: readonly LogRecord[],
  kind: K,
): Extract<LogRecord, { kind: K }>[] {
  return records.filter((r): r is Extract<LogRecord, { kind: K }> => r.kind === kind);
}
