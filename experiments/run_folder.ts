/**
 * The folder of a run: made once, found again by the same command, never mixed with another run's.
 *
 * @module
 */
import { join } from "@std/path";
import { writeTextFileAtomic } from "../lib/io/atomic.ts";
import type { Ablation } from "./config.ts";

/** What config.json holds. */
export type SavedRun = { ablation: Ablation; images: number };

const CONFIG_FILE = "config.json";

/** The run that a folder holds; undefined where it holds none. */
export async function readRun(dir: string): Promise<SavedRun | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(dir, CONFIG_FILE));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return await refuseOthersFiles(dir);
    throw error;
  }
  try {
    return JSON.parse(text) as SavedRun;
  } catch {
    throw new TypeError(`Cannot go on with the run as ${join(dir, CONFIG_FILE)} is not JSON`);
  }
}

/** A folder that holds something else is not ours to write to. */
async function refuseOthersFiles(dir: string): Promise<undefined> {
  try {
    for await (const { name } of Deno.readDir(dir)) {
      throw new TypeError(
        `Cannot write a run to ${dir} as the folder must be new or hold an earlier run: it holds ${name}`,
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return undefined;
}

/** Saves what decides the run's numbers. */
export async function saveRun(dir: string, run: SavedRun): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  await writeTextFileAtomic(join(dir, CONFIG_FILE), JSON.stringify(run, null, 2) + "\n");
}

/**
 * Checks that a run found in a folder is the one that is asked for.
 *
 * @throws {TypeError} naming what differs.
 */
export function checkSameRun(
  dir: string,
  { saved, asked }: { saved: SavedRun; asked: { ablation: Ablation; images?: number } },
): void {
  const differences = differingPaths(saved.ablation, asked.ablation);
  if (asked.images !== undefined && asked.images !== saved.images) {
    differences.push(`images: ${saved.images} there, ${asked.images} asked for`);
  }
  if (differences.length === 0) return;
  throw new TypeError(
    `Cannot go on with the run in ${dir} as it is another one; choose another folder with --out, ` +
      `or ask for the same run:\n${differences.map((line) => `- ${line}`).join("\n")}`,
  );
}

function differingPaths(a: unknown, b: unknown, path = ""): string[] {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null;
  if (isObject(a) && isObject(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].flatMap((key) =>
      differingPaths(a[key], b[key], path ? `${path}.${key}` : key)
    );
  }
  if (Object.is(a, b)) return [];
  const show = (value: unknown) => value === undefined ? "nothing" : JSON.stringify(value);
  return [`${path}: ${show(a)} there, ${show(b)} asked for`];
}
