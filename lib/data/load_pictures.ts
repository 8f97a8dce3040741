import { cachePath, readCache, writeCache } from "./cache.ts";
import type { LoadProgress } from "./dataset.ts";
import { type DecodedPicture, decodePicture, DECODER } from "./decode.ts";
import { type PictureList, type PicturePlaces, type PixelBlock, sharedBytes } from "./pictures.ts";
import { inParallel } from "./pool.ts";

/** A picture of a list: why it cannot be decoded, or the height and width that it had. */
export type PictureState = { error: string } | { from: readonly [height: number, width: number] };

/** Pictures at one size. */
export type LoadedPictures = {
  places: PicturePlaces;
  /** Which of the places each picture has that was asked for; -1 where it cannot be decoded. */
  at: Int32Array;
  /** Nothing where a picture was not tried. */
  states: (PictureState | undefined)[];
};

type Entry = { stamp: string } & PictureState;

/** How many pictures are decoded at a time: libvips works beside JavaScript, one thread each. */
export const DECODING = 2 * navigator.hardwareConcurrency;

/**
 * Decodes pictures `rows` of a list into one block, from the cache where it has them: a cache file
 * is known by the list's origin, `part` and the size, and each picture in it by its stamp.
 */
export async function loadPictures(
  list: PictureList,
  { rows, part, size, cacheFolder, onProgress }: {
    rows: readonly number[];
    part: string;
    size: readonly [number, number];
    cacheFolder: string;
    onProgress: LoadProgress | undefined;
  },
): Promise<LoadedPictures> {
  const { places, bytes, stamps, titles } = list, [height, width] = size;
  if (places.kind === "pixels" && isAt(places.block, { size, bytes })) {
    return { places, at: Int32Array.from(rows), states: rows.map(() => ({ from: size })) };
  }
  const each = height * width * bytes;
  const key = { version: 2, origin: list.origin, part, size, bytes, decoder: DECODER };
  const name = `${list.name}-${part}-${height === width ? height : size.join("x")}`;
  const path = await cachePath(key, { folder: cacheFolder, name });
  const cached = await readCache(path);
  const entries = (cached?.head ?? []) as Entry[];
  const same = entries.length === rows.length &&
    entries.every(({ stamp }, k) => stamp === stamps[rows[k]]);
  if (same && cached) return blockOf(cached.data, { states: entries, size, bytes });

  const known = new Map<string, { entry: Entry; at: number }>();
  let held = 0;
  for (const entry of entries) known.set(entry.stamp, { entry, at: "error" in entry ? 0 : held++ });
  const data = sharedBytes(rows.length * each), states = new Array<PictureState>(rows.length);
  const missing: number[] = [];
  rows.forEach((row, k) => {
    const found = known.get(stamps[row]);
    if (!found) return missing.push(k);
    states[k] = found.entry;
    data.set(cached!.data.subarray(found.at * each, (found.at + 1) * each), k * each);
  });
  let done = rows.length - missing.length;
  await inParallel(missing.length, {
    limit: DECODING,
    work: async (m) => {
      const k = missing[m], i = rows[k];
      states[k] = await stateOf(async () => {
        const decoded = await decodePicture(places, { i, size, bytes });
        data.set(decoded.pixels, k * each);
        return decoded;
      });
      onProgress?.({ done: ++done, total: rows.length, what: titles[i] });
    },
  });

  let end = 0; // pictures that could not be decoded leave no gap
  states.forEach((state, k) => {
    if (!("error" in state)) data.copyWithin(each * end++, each * k, each * (k + 1));
  });
  const good = data.subarray(0, end * each);
  const head: Entry[] = rows.map((row, k) => ({ ...states[k], stamp: stamps[row] }));
  await writeCache(path, { head, data: good });
  return blockOf(good, { states, size, bytes });
}

/** Decodes 64 pictures from all over a list, to see that they can be; the others stay untried. */
export async function tryPictures(
  { places, bytes, titles }: PictureList,
  { size }: { size: readonly [number, number] },
): Promise<LoadedPictures> {
  const count = titles.length, tried = Math.min(count, 64);
  const at = Int32Array.from({ length: count }, (_, i) => i);
  const states = new Array<PictureState | undefined>(count).fill(undefined);
  await inParallel(tried, {
    limit: DECODING,
    work: async (k) => {
      const i = Math.floor(k * count / tried);
      states[i] = await stateOf(() => decodePicture(places, { i, size, bytes }));
      if ("error" in states[i]) at[i] = -1;
    },
  });
  return { places, at, states };
}

/** Decodes a picture and says how it went. */
async function stateOf(decode: () => Promise<DecodedPicture>): Promise<PictureState> {
  try {
    return { from: (await decode()).from };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function isAt(
  block: PixelBlock,
  { size: [height, width], bytes }: { size: readonly [number, number]; bytes: number },
): boolean {
  return block.height === height && block.width === width && block.bytes === bytes;
}

function blockOf(
  data: Uint8Array,
  { states, size: [height, width], bytes }: {
    states: PictureState[];
    size: readonly [number, number];
    bytes: 1 | 3 | 4;
  },
): LoadedPictures {
  let next = 0;
  const at = Int32Array.from(states, (state) => "error" in state ? -1 : next++);
  return { places: { kind: "pixels", block: { data, height, width, bytes } }, at, states };
}
