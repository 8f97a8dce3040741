/**
 * What is made of finished pictures: a grid, an NPZ file, WebDataset shards.
 *
 * @module
 */
import { dirname } from "@std/path";
import ndarray from "ndarray";
import { writeFileAtomic } from "../../lib/io/atomic.ts";
import { decodeImage, imageGrid } from "../../lib/io/images.ts";
import type { NpyArray } from "../../lib/io/npy.ts";
import { writeNpz } from "../../lib/io/npz.ts";
import { refuseFullFolder, type ShardSample, writeTarShards } from "../../lib/io/tar_shards.ts";
import { type Classes, className } from "./classes.ts";
import type { Sample } from "./plan.ts";
import type { Store } from "./store.ts";

/** Files and folders to write; those left out are not. */
export type Outputs = {
  grid?: string;
  npz?: string;
  webdataset?: string;
  trajectory?: string;
};

/** Most pictures on one grid. */
const MAX_GRID = 1024;

type Pictures = { store: Store; samples: readonly Sample[]; size: readonly [number, number] };

/**
 * Looks whether the outputs can be written, before any work.
 *
 * @throws {TypeError|RangeError} where a file exists and is not to be replaced, or would be too large.
 */
export async function checkOutputs(
  { grid, npz, webdataset, trajectory }: Outputs,
  { n, size: [H, W], replace }: {
    n: number;
    size: readonly [number, number];
    /** Whether a file may be replaced. */
    replace: (path: string) => boolean;
  },
): Promise<void> {
  for (const path of [grid, npz, trajectory]) {
    if (path !== undefined && !replace(path) && await exists(path)) {
      throw new TypeError(`Cannot write ${path} as there is such a file: --force replaces it`);
    }
  }
  if (webdataset !== undefined) await refuseFullFolder(webdataset);
  if (grid !== undefined && !(n <= MAX_GRID)) {
    throw new RangeError(
      `Cannot draw a grid of ${n} pictures as it may hold ${MAX_GRID}: ask for --folder, --npz or --webdataset`,
    );
  }
  if (npz !== undefined && !(n * (H * W * 3 + 8) < 2 ** 32 - 4096)) {
    throw new RangeError(
      `Cannot write ${n} pictures of ${H} x ${W} to one NPZ file as it may have 4 GiB: ask for --webdataset`,
    );
  }
}

/** Writes a grid of the pictures, in their order, as PNG. */
export async function writeGrid(path: string, { store, samples, size }: Pictures): Promise<void> {
  const pixels = await pixelsOf({ store, samples, size });
  const values = Float32Array.from(pixels, (byte) => byte / 127.5 - 1);
  await writeFile(path, await imageGrid(ndarray(values, [samples.length, ...size, 3])));
}

/**
 * Writes the pictures in the layout that the evaluator of ADM (Dhariwal & Nichol 2021) reads: `arr_0`, uint8
 * [N, H, W, 3], and with classes `arr_1`, int64 [N].
 */
export async function writeSamplesNpz(
  path: string,
  { store, samples, size }: Pictures,
): Promise<void> {
  const labels = samples.flatMap(({ label }) => label ?? []);
  const arrays: Record<string, NpyArray> = {
    arr_0: {
      dtype: "u1",
      shape: [samples.length, ...size, 3],
      data: await pixelsOf({ store, samples, size }),
    },
  };
  if (labels.length > 0) {
    arrays.arr_1 = {
      dtype: "i8",
      shape: [labels.length],
      data: BigInt64Array.from(labels, BigInt),
    };
  }
  await writeFile(path, writeNpz(arrays));
}

/** Writes WebDataset shards of 1,000 pictures: `.png`, `.cls` with the class's number, `.json` with the seed. */
export async function writeShards(
  dir: string,
  { store, samples, classes }: Omit<Pictures, "size"> & {
    classes: Classes;
  },
): Promise<number> {
  const text = (value: unknown) => new TextEncoder().encode(String(value));
  async function* shardSamples(): AsyncGenerator<ShardSample> {
    for (const [i, { seed, label }] of samples.entries()) {
      const about = label === undefined ? { seed } : { seed, class: className(label, classes) };
      yield {
        key: String(i).padStart(6, "0"),
        files: {
          png: await Deno.readFile(store.pathOf({ seed, ...(label !== undefined && { label }) })),
          ...(label !== undefined && { cls: text(label) }),
          json: text(JSON.stringify(about)),
        },
      };
    }
  }
  return await writeTarShards(dir, shardSamples());
}

/** The bytes of all pictures, [N, H, W, 3]. */
async function pixelsOf(
  { store, samples, size: [H, W] }: Pictures,
): Promise<Uint8Array<ArrayBuffer>> {
  const each = H * W * 3, all = new Uint8Array(samples.length * each);
  for (const [i, sample] of samples.entries()) {
    const path = store.pathOf(sample);
    const { data, shape } = await decodeImage(await Deno.readFile(path));
    if (!(shape[0] === H && shape[1] === W)) {
      throw new RangeError(
        `Cannot use ${path} as it must be ${H} x ${W} pixels: it is ${shape[0]} x ${
          shape[1]
        }; remove it, and it is drawn again`,
      );
    }
    all.set(data, i * each);
  }
  return all;
}

/** Writes a file whole, making its folder. */
export async function writeFile(path: string, bytes: Uint8Array): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, bytes);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
