import { basename, dirname, join } from "@std/path";
import { packTar } from "modern-tar";

/** A sample of a WebDataset: its files by their endings, all named by its key. */
export type ShardSample = { key: string; files: Readonly<Record<string, Uint8Array>> };

/**
 * Writes samples as WebDataset shards, `NAME-000000.tar` and on, of `perShard` samples each; gives back the
 * number of shards.
 *
 * `dir` appears whole, once all is written, or not at all. The same samples give the same bytes: files have no
 * owner and no time. Throws a TypeError where `dir` holds something already, and a RangeError for a key
 * with a dot, which readers would take for the beginning of the ending.
 */
export async function writeTarShards(
  dir: string,
  samples: AsyncIterable<ShardSample>,
  { name = "samples", perShard = 1000 }: { name?: string; perShard?: number } = {},
): Promise<number> {
  await refuseFullFolder(dir);
  const made = join(dirname(dir), `.${basename(dir)}.${crypto.randomUUID().slice(0, 8)}.tmp`);
  await Deno.mkdir(made, { recursive: true });
  let shards = 0;
  try {
    for await (const group of grouped(samples, perShard)) {
      const file = `${name}-${String(shards++).padStart(6, "0")}.tar`;
      await Deno.writeFile(join(made, file), await packTar(group.flatMap(entriesOf)));
    }
    await Deno.remove(dir).catch(() => {}); // an empty one
    await Deno.rename(made, dir);
  } catch (error) {
    await Deno.remove(made, { recursive: true });
    throw error;
  }
  return shards;
}

/** Throws a TypeError unless there is nothing at `dir`, or an empty folder. */
export async function refuseFullFolder(dir: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(dir)) {
      throw new TypeError(
        `Cannot write to ${dir} as the folder must be new or empty: it holds ${name}`,
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function entriesOf({ key, files }: ShardSample) {
  if (key.includes(".")) {
    throw new RangeError(`Cannot write the sample as its key must have no dot: key is ${key}`);
  }
  return Object.entries(files).map(([ending, body]) => ({
    header: { name: `${key}.${ending}`, size: body.length, mtime: new Date(0) },
    body,
  }));
}

async function* grouped<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const item of items) {
    group.push(item);
    if (group.length === size) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
