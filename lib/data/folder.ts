/**
 * A folder of pictures as a data set: sub-folders are classes, one side of each picture is cut to
 * a centred square, and what is decoded once is kept in the cache folder, never in the user's.
 *
 * @module
 */
import { join, relative, resolve } from "@std/path";
import { openImage, renderRgb } from "../io/images.ts";
import { cachePath, defaultCacheFolder, readCache, writeCache } from "./cache.ts";
import type { PixelBlock } from "./compose.ts";
import type { Dataset, LoadProgress, Split } from "./dataset.ts";
import { inParallel } from "./pool.ts";
import { makeSplit, splitByFamily } from "./split.ts";

/** Which folder, and how it is read. Plain data, so that a run's configuration can hold it. */
export type FolderSource = {
  kind: "folder";
  path: string;
  /** Whether half of the training draws are mirrored (default false). */
  mirror?: boolean;
  /** Share of the pictures that is held out, by a hash of their paths (default 0.1, at least one). */
  testFraction?: number;
};

/** What files are taken for pictures, by the end of their names. */
export const IMAGE_EXTENSIONS: readonly string[] = "png jpg jpeg webp gif avif tif tiff".split(" ");

type ImageFile = { path: string; mtime: number; bytes: number }; // path under the root, with "/"
type Entry = ImageFile & { error?: string };

/** Pictures under a folder, in natural order (img2 before img10); hidden names are left out. */
export async function listImages(root: string): Promise<ImageFile[]> {
  const files: ImageFile[] = [];
  const visited = new Set<string>();
  async function visit(folder: string): Promise<void> {
    const real = await Deno.realPath(folder);
    if (visited.has(real)) return; // a link that leads back up
    visited.add(real);
    for await (const { name } of Deno.readDir(folder)) {
      if (name.startsWith(".") || name === "__MACOSX") continue;
      const path = join(folder, name);
      let info: Deno.FileInfo;
      try {
        info = await Deno.stat(path);
      } catch {
        continue; // a link to nothing
      }
      if (info.isDirectory) await visit(path);
      else if (IMAGE_EXTENSIONS.includes(name.toLowerCase().split(".").pop()!)) {
        const under = relative(root, path).replaceAll("\\", "/");
        files.push({ path: under, mtime: info.mtime?.getTime() ?? 0, bytes: info.size });
      }
    }
  }
  await visit(root);
  const { compare } = new Intl.Collator("en", { numeric: true });
  return files.sort((a, b) => compare(a.path, b.path) || (a.path < b.path ? -1 : 1));
}

/**
 * Decodes one picture to [size, size, 3] bytes: the shorter side is resized to `size` by a cubic
 * kernel (Catmull-Rom, a = −0.5, widened when shrinking), then the centre is cut out.
 *
 * The reference does the same with Pillow's bicubic. libvips averages whole-number blocks first
 * where it shrinks to less than half, so values differ by a few levels near sharp edges.
 */
export async function decodeSquare(
  bytes: Uint8Array,
  { size }: { size: number },
): Promise<Uint8Array> {
  const pipeline = openImage(bytes).resize(size, size, {
    fit: "cover",
    position: "centre",
    kernel: "cubic",
    fastShrinkOnLoad: false,
  });
  return (await renderRgb(pipeline)).data;
}

/** Squares of those files that can be decoded, and for each file why not; from the cache if it has them. */
async function decodeFiles(
  files: readonly ImageFile[],
  { root, part, size, cacheFolder, onProgress }: {
    root: string;
    part: string;
    size: number;
    cacheFolder: string;
    onProgress: LoadProgress | undefined;
  },
): Promise<{ entries: Entry[]; data: Uint8Array }> {
  const each = size * size * 3;
  const key = { kind: "folder", version: 1, root, part, size };
  const name = `folder-${root.split(/[\\/]/).pop()}-${size}`;
  const path = await cachePath(key, { folder: cacheFolder, name });
  const cached = await readCache(path);
  const known = new Map<string, Entry & { at: number }>();
  let at = 0;
  for (const entry of (cached?.head ?? []) as Entry[]) {
    known.set(JSON.stringify([entry.path, entry.mtime, entry.bytes]), { ...entry, at });
    if (entry.error === undefined) at += each;
  }

  const squares = new Array<Uint8Array | undefined>(files.length);
  const entries: Entry[] = files.map((file) => ({ ...file }));
  const missing: number[] = [];
  files.forEach((file, i) => {
    const found = known.get(JSON.stringify([file.path, file.mtime, file.bytes]));
    if (!found) missing.push(i);
    else if (found.error !== undefined) entries[i].error = found.error;
    else squares[i] = cached!.data.subarray(found.at, found.at + each);
  });
  let done = files.length - missing.length;
  await inParallel(missing.length, {
    limit: 4,
    work: async (m) => {
      const i = missing[m];
      try {
        squares[i] = await decodeSquare(await Deno.readFile(join(root, files[i].path)), { size });
      } catch (error) {
        entries[i].error = (error as Error).message;
      }
      onProgress?.({ done: ++done, total: files.length, what: files[i].path });
    },
  });

  const data = new Uint8Array(squares.filter((square) => square).length * each);
  let to = 0;
  for (const square of squares) {
    if (!square) continue;
    data.set(square, to);
    to += each;
  }
  if (missing.length > 0 || known.size !== files.length) {
    await writeCache(path, { head: entries, data });
  }
  return { entries, data };
}

/**
 * Opens a folder of pictures at one size.
 *
 * Classes are the sub-folders directly under it, if every picture is in one. Pictures that cannot
 * be decoded are left out and named in `warnings`. All pixels are held in memory, 12 KB a picture
 * at 64 px.
 *
 * Errors: RangeError where the folder does not exist, is no folder, or holds fewer than two
 * pictures that can be decoded.
 */
export async function openFolder(
  source: Omit<FolderSource, "kind">,
  { size, cacheFolder = defaultCacheFolder(), onProgress }: {
    size: number;
    cacheFolder?: string;
    onProgress?: LoadProgress;
  },
): Promise<Dataset> {
  const { path, mirror = false, testFraction = 0.1 } = source;
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info?.isDirectory) {
    throw new RangeError(
      `Cannot open the folder of images as ${info ? "it is a file" : "it does not exist"}: ` +
        `path is "${path}"`,
    );
  }
  const root = await Deno.realPath(resolve(path));
  const files = await listImages(root);
  if (files.length === 0) {
    throw new RangeError(
      `Cannot open the folder of images as it holds none (${IMAGE_EXTENSIONS.join(", ")}): ` +
        `path is "${path}"`,
    );
  }
  const options = { root, cacheFolder };
  const { entries, data } = await decodeFiles(files, { ...options, part: "all", size, onProgress });
  const good = entries.filter((entry) => entry.error === undefined);
  const broken = entries.filter((entry) => entry.error !== undefined);
  const warnings: string[] = [];
  if (broken.length > 0) {
    const named = broken.slice(0, 20).map((entry) => `${entry.path} (${entry.error})`).join("; ");
    const rest = broken.length > 20 ? `; and ${broken.length - 20} more` : "";
    warnings.push(`Skipped ${broken.length} of ${files.length} images: ${named}${rest}`);
  }
  if (good.length < 2) {
    throw new RangeError(
      `Cannot open the folder of images as train and test need one each: ` +
        `images that can be decoded are ${good.length} of ${files.length}, path is "${path}"` +
        (broken.length > 0 ? `. ${warnings[0]}` : ""),
    );
  }

  const folders = good.map((entry) => entry.path.includes("/") ? entry.path.split("/")[0] : "");
  const loose = folders.filter((folder) => folder === "").length;
  const classes = loose === 0 ? [...new Set(folders)] : []; // in natural order, as the files are
  if (loose > 0 && loose < folders.length) {
    warnings.push(
      `Classes are not used, as ${loose} of ${folders.length} images lie beside the sub-folders`,
    );
  }

  const sides = splitByFamily(good.map((entry) => entry.path.normalize("NFC")), { testFraction });
  const squares = {
    train: takeRows(data, sides.train, { each: size * size * 3 }),
    test: takeRows(data, sides.test, { each: size * size * 3 }),
  };
  const side = (name: "train" | "test"): Split => {
    const own = sides[name].map((i) => good[i]);
    return makeSplit({
      name,
      labels: sides[name].map((i) => Math.max(0, classes.indexOf(folders[i]))),
      titles: own.map((entry) => entry.path),
      mirror,
      getPixels: async (other, onProgress): Promise<PixelBlock> => {
        if (other === size) return { data: squares[name], size, bytes: 3 };
        const again = { ...options, part: name, size: other, onProgress };
        const decoded = await decodeFiles(own, again);
        const gone = decoded.entries.find((entry) => entry.error !== undefined);
        if (gone) {
          throw new RangeError(
            `Cannot load size ${other} as an image has changed since the folder was opened: ` +
              `${gone.path} (${gone.error})`,
          );
        }
        return { data: decoded.data, size: other, bytes: 3 };
      },
    });
  };
  const dataset = { train: side("train"), test: side("test") };
  await dataset.train.load(size);
  await dataset.test.load(size);
  return { name: root.split(/[\\/]/).pop()!, classes, channels: 3, ...dataset, warnings };
}

function takeRows(data: Uint8Array, rows: number[], { each }: { each: number }): Uint8Array {
  const out = new Uint8Array(rows.length * each);
  rows.forEach((row, to) => out.set(data.subarray(row * each, (row + 1) * each), to * each));
  return out;
}
