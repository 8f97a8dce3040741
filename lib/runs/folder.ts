/**
 * The folder of a run: made once, found again by the same command, never mixed with another run's.
 *
 * @module
 */
import { join } from "@std/path";
import { writeTextFileAtomic } from "../io/atomic.ts";
import { jsonDifferences } from "../training/json_differences.ts";

const CONFIG_FILE = "config.json";

/**
 * What `config.json` of a run's folder holds; undefined where the folder is new.
 *
 * @throws {TypeError} where the folder holds something else, which is not ours to write to.
 */
export async function readRunConfig(dir: string): Promise<object | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(dir, CONFIG_FILE));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return await refuseOthersFiles(dir);
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new TypeError(`Cannot go on with the run as ${join(dir, CONFIG_FILE)} is not JSON`);
  }
}

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

/** Saves what a run is, making its folder where there is none. */
export async function saveRunConfig(dir: string, config: unknown): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  await writeTextFileAtomic(join(dir, CONFIG_FILE), JSON.stringify(config, null, 2) + "\n");
}

/**
 * Checks that a run found in a folder is the one that is asked for.
 *
 * @throws {TypeError} naming what differs.
 */
export function checkSameRun(
  dir: string,
  { saved, asked }: { saved: unknown; asked: unknown },
): void {
  const differences = jsonDifferences(JSON.parse(JSON.stringify(asked)), saved);
  if (differences.length === 0) return;
  throw new TypeError(
    `Cannot go on with the run in ${dir} as it is another one; choose another folder with --out, ` +
      `or ask for the same run:\n${differences.map((line) => `- ${line}`).join("\n")}`,
  );
}
