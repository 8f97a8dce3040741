import { gunzipSync } from "node:zlib";
import { basename, dirname } from "@std/path";
import { classesOfLabels, NO_LABEL } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { type ListedFile, listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { type PictureList, sharedBytes } from "./pictures.ts";
import { sidesByName } from "./sides.ts";

/** MNIST and its like (Fashion-MNIST, KMNIST, EMNIST), as idx files, plain or gzipped. */
export type IdxSource = PictureOptions & {
  kind: "idx";
  /** The folder of the files, or one above. */
  path: string;
  /** Channels to decode to: 1 (default, as they are) or 3. */
  channels?: 1 | 3;
};

/** `train-images-idx3-ubyte.gz`, `t10k-images.idx3-ubyte`, `emnist-letters-test-labels-idx1-ubyte` */
const NAME = /^(.*?)(images|labels)[-.]idx([13])-ubyte(\.gz)?$/;
const MAX_INFLATED = 2 ** 31;

/** Whether a name is that of an idx file. */
export function isIdxName(name: string): boolean {
  return NAME.test(name);
}

/**
 * Opens pictures in LeCun's idx format: big-endian, the magic number 0x00000803 and three sizes, then
 * one byte a pixel; labels after 0x00000801 and their count. Files `t10k-…` or `test-…` are what is
 * held out.
 *
 * Errors: RangeError where there are no such files, one is cut short or has another magic number,
 * numbers of pictures and labels differ, or the pictures of two files have different sizes.
 */
export async function openIdx(
  source: Omit<IdxSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(await listIdx(source), { ...source, ...options });
}

async function listIdx(
  { path, channels = 1 }: Omit<IdxSource, "kind">,
): Promise<PictureList> {
  const called = `idx files "${path}"`;
  const files = partsOf(listShards(path, { called, endings: NAME }));
  const parts = [...files.keys()].filter((part) => files.get(part)!.images);
  if (parts.length === 0) {
    throw new RangeError(
      `Cannot open the ${called} as there is none of pictures, such as train-images-idx3-ubyte`,
    );
  }
  const sides = sidesByName(parts.map((part) => part.replace("t10k", "test")));
  const used = [...sides.train, ...sides.heldOut];
  const read = await Promise.all(used.map((k) => readPart(files.get(parts[k])!, { called })));
  const [{ height, width }] = read;
  for (const { title, height: h, width: w } of read) {
    if (h === height && w === width) continue;
    throw new RangeError(
      `Cannot open the ${called} as all pictures must have one size: ` +
        `those of ${read[0].title} are ${width} × ${height}, those of ${title} ${w} × ${h}`,
    );
  }

  const each = height * width, count = read.reduce((sum, part) => sum + part.count, 0);
  const data = sharedBytes(count * each), labels = new Int32Array(count);
  const heldOut = new Uint8Array(count), titles: string[] = [], stamps: string[] = [];
  read.forEach((part, k) => {
    const at = titles.length;
    data.set(part.pixels, at * each);
    labels.set(part.labels, at);
    heldOut.fill(Number(k >= sides.train.length), at, at + part.count);
    for (let i = 0; i < part.count; i++) {
      titles.push(`${part.title}#${i}`);
      stamps.push(`${part.stamp}#${i}`);
    }
  });
  const first = files.get(parts[used[0]])!.images!.path;
  return {
    name: basename(dirname(first)),
    called,
    origin: dirname(first),
    places: { kind: "pixels", block: { data, height, width, bytes: 1 } },
    titles,
    stamps,
    ...classesOfLabels(labels, { names: undefined, titles, called }),
    bytes: channels,
    ...(sides.heldOut.length > 0 && { heldOut }),
    warnings: sides.warnings,
  };
}

type PartFiles = { images?: ListedFile; labels?: ListedFile };

/** Files that belong together, by the beginning of their names; plain ones before gzipped ones. */
function partsOf(files: readonly ListedFile[]): Map<string, PartFiles> {
  const parts = new Map<string, PartFiles>();
  for (const file of files) {
    const name = basename(file.path);
    const [, start, what] = NAME.exec(name)!;
    const key = file.title.slice(0, -name.length) + start, part = parts.get(key) ?? {};
    parts.set(key, part);
    const field = what as "images" | "labels";
    if (!part[field] || !name.endsWith(".gz")) part[field] = file;
  }
  return parts;
}

type Part = {
  title: string;
  stamp: string;
  count: number;
  height: number;
  width: number;
  pixels: Uint8Array;
  labels: ArrayLike<number>;
};

async function readPart(
  { images, labels }: PartFiles,
  { called }: { called: string },
): Promise<Part> {
  const { title, stamp } = images!;
  const { sizes: [count, height, width], data } = await readIdx(images!, { called, axes: 3 });
  const part = { title, stamp, count, height, width, pixels: data };
  if (!labels) return { ...part, labels: new Int32Array(count).fill(NO_LABEL) };
  const own = await readIdx(labels, { called, axes: 1 });
  if (own.sizes[0] === count) return { ...part, labels: own.data };
  throw new RangeError(
    `Cannot open the ${called} as each picture must have a label: ` +
      `${title} has ${count} pictures, ${labels.title} ${own.sizes[0]} labels`,
  );
}

async function readIdx(
  { path, title }: ListedFile,
  { called, axes }: { called: string; axes: number },
): Promise<{ sizes: number[]; data: Uint8Array }> {
  const wrong = (what: string) => new RangeError(`Cannot open the ${called} as ${title} ${what}`);
  let bytes: Uint8Array = await Deno.readFile(path);
  if (title.endsWith(".gz")) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: MAX_INFLATED });
    } catch (error) {
      throw wrong(`cannot be unpacked: ${(error as Error).message}`);
    }
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = 4 + 4 * axes, magic = 0x800 + axes;
  if (!(bytes.length >= start && view.getUint32(0) === magic)) {
    throw wrong(
      `must start with 0x${hex(magic)}: it starts with 0x${
        bytes.length >= 4 ? hex(view.getUint32(0)) : ""
      } and has ${bytes.length} bytes`,
    );
  }
  const sizes = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const needed = start + sizes.reduce((a, b) => a * b, 1);
  if (!(bytes.length === needed && needed > start)) {
    throw wrong(`must have ${needed} bytes for [${sizes}]: it has ${bytes.length}`);
  }
  return { sizes, data: bytes.subarray(start) };
}

const hex = (value: number) => value.toString(16).padStart(8, "0");
