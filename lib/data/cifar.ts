import { basename, dirname, join } from "@std/path";
import { classesOfLabels } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { type PictureList, sharedBytes } from "./pictures.ts";

/** CIFAR-10 or CIFAR-100 in its binary version: the folder that holds its files, or one above. */
export type CifarSource = PictureOptions & {
  kind: "cifar";
  path: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

/** What the files are called; a record is its labels, then 32 × 32 red, green and blue bytes. */
const VERSIONS = [
  { files: /^(?:data_batch_\d|test_batch)\.bin$/, labels: 1, classes: "batches.meta.txt" },
  { files: /^(?:train|test)\.bin$/, labels: 2, classes: "fine_label_names.txt" }, // coarse, fine
];
const SIDE = 32, PLANE = SIDE * SIDE;

/** Whether a name is that of a file of CIFAR. */
export function isCifarName(name: string): boolean {
  return VERSIONS.some(({ files }) => files.test(name));
}

/**
 * Opens CIFAR-10 (`data_batch_1.bin` …, `test_batch.bin`) or CIFAR-100 (`train.bin`, `test.bin`,
 * its fine labels), Krizhevsky 2009. Test files are what is held out.
 *
 * Errors: RangeError where there are no such files, one is cut short, or a label is no class.
 */
export async function openCifar(
  source: Omit<CifarSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(await listCifar(source), { ...source, ...options });
}

async function listCifar(
  { path, channels = 3 }: Omit<CifarSource, "kind">,
): Promise<PictureList> {
  const called = `CIFAR files "${path}"`;
  const all = listShards(path, { called, endings: /\.bin$/ });
  const found = VERSIONS.map((version) => ({
    ...version,
    files: all.filter((file) => version.files.test(basename(file.path))),
  })).filter(({ files }) => files.length > 0);
  if (found.length !== 1) {
    throw new RangeError(
      `Cannot open the ${called} as they must be those of CIFAR-10 (data_batch_1.bin …) or of ` +
        `CIFAR-100 (train.bin, test.bin): there are ${all.map((file) => file.title).join(", ")}`,
    );
  }
  const [{ files, labels: labelBytes, classes }] = found;
  const record = labelBytes + 3 * PLANE;
  for (const { title, bytes } of files) {
    if (bytes > 0 && bytes % record === 0) continue;
    throw new RangeError(
      `Cannot open the ${called} as ${title} must have records of ${record} bytes: ` +
        `it has ${bytes} bytes, which is cut short or another format`,
    );
  }

  const count = files.reduce((sum, file) => sum + file.bytes / record, 0);
  const labels = new Int32Array(count), data = sharedBytes(count * 3 * PLANE);
  const titles: string[] = [], stamps: string[] = [], heldOut = new Uint8Array(count);
  for (const file of files) {
    const bytes = await Deno.readFile(file.path);
    const tested = basename(file.path).startsWith("test");
    for (let at = 0; at + record <= bytes.length; at += record) {
      const i = titles.length, number = at / record;
      labels[i] = bytes[at + labelBytes - 1];
      interleave(bytes.subarray(at + labelBytes, at + record), { out: data, at: i * 3 * PLANE });
      heldOut[i] = Number(tested);
      titles.push(`${file.title}#${number}`);
      stamps.push(`${file.stamp}#${number}`);
    }
  }
  const names = await classNames(join(dirname(files[0].path), classes));
  const official = heldOut.includes(0) && heldOut.includes(1);
  return {
    name: labelBytes === 1 ? "CIFAR-10" : "CIFAR-100",
    called,
    origin: dirname(files[0].path),
    places: { kind: "pixels", block: { data, height: SIDE, width: SIDE, bytes: 3 } },
    titles,
    stamps,
    ...classesOfLabels(labels, { names, titles, called }),
    bytes: channels,
    ...(official && { heldOut }),
    warnings: [],
  };
}

/** Three planes to pixels of three bytes. */
function interleave(planes: Uint8Array, { out, at }: { out: Uint8Array; at: number }): void {
  for (let i = 0; i < PLANE; i++, at += 3) {
    out[at] = planes[i];
    out[at + 1] = planes[PLANE + i];
    out[at + 2] = planes[2 * PLANE + i];
  }
}

/** The names of the classes, one a line; nothing where the file is not there. */
async function classNames(path: string): Promise<string[] | undefined> {
  const text = await Deno.readTextFile(path).catch(() => undefined);
  const names = text?.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return names?.length ? names : undefined;
}
