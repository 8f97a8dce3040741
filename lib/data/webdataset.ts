import { basename, dirname } from "@std/path";
import { z } from "zod";
import { type ByteSource, fileSource } from "../io/byte_source.ts";
import { classesOfLabels, NO_LABEL } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { IMAGE_EXTENSIONS, isImageName, type ListedFile, listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import type { PictureList } from "./pictures.ts";
import { sidesByName } from "./sides.ts";
import { indexTar, type TarEntry } from "./tar_index.ts";

/** Tar archives in the layout of WebDataset. */
export type WebDatasetSource = PictureOptions & {
  kind: "webdataset";
  /** One archive, a folder of them, or a pattern such as `shards/{000..127}.tar`. */
  path: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

const MOST = 2 ** 20; // bytes of a label file

/**
 * Opens tar archives in the layout of WebDataset: files that share a name up to its first dot are one
 * sample, such as `0042.jpg` and its label, `0042.cls` (a number) or `0042.json` (`{"label": 7}`).
 * Archives called `train-…` and `val-…` or `test-…` are the sides.
 *
 * Pictures are read from where they lie; nothing is unpacked.
 *
 * Errors: RangeError where an archive is truncated or damaged, there are no pictures, or a label is
 * no whole number; TypeError where a path leaves its archive.
 */
export async function openWebDataset(
  source: Omit<WebDatasetSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(listWebDataset(source), { ...source, ...options });
}

function listWebDataset(
  { path, channels = 3 }: Omit<WebDatasetSource, "kind">,
): PictureList {
  const called = `tar archives "${path}"`;
  const shards = listShards(path, { called, endings: /\.tar$/ });
  const sides = sidesByName(shards.map((shard) => shard.title));
  const used = [...sides.train, ...sides.heldOut].map((k) => shards[k]);
  const samples = used.map((shard) => samplesOf(shard, { called }));
  const all = samples.flatMap((own, k) => own.map((sample) => ({ ...sample, k })));
  if (all.length === 0) {
    throw new RangeError(
      `Cannot open the ${called} as they hold no pictures (${IMAGE_EXTENSIONS.join(", ")})`,
    );
  }
  const titles = all.map(({ name, k }) => `${used[k].title}/${name}`);
  const labels = Int32Array.from(all, ({ label }) => label);
  return {
    name: basename(path).replace(/\.tar$/, ""),
    called,
    origin: used.length === 1 ? used[0].path : dirname(used[0].path),
    places: {
      kind: "ranges",
      files: used.map((shard) => shard.path),
      file: Uint32Array.from(all, ({ k }) => k),
      from: Float64Array.from(all, ({ from }) => from),
      length: Float64Array.from(all, ({ from, to }) => to - from),
    },
    titles,
    stamps: all.map(({ name, k }) => `${used[k].stamp} ${name}`),
    ...classesOfLabels(labels, { names: undefined, titles, called }),
    bytes: channels,
    ...(sides.heldOut.length > 0 &&
      { heldOut: Uint8Array.from(all, ({ k }) => Number(k >= sides.train.length)) }),
    warnings: sides.warnings,
  };
}

type Sample = TarEntry & { label: number };

/** The pictures of an archive with their labels, in its order. */
function samplesOf({ path, title }: ListedFile, { called }: { called: string }): Sample[] {
  using source = fileSource(path);
  try {
    const pictures = new Map<string, TarEntry>(), labels = new Map<string, TarEntry>();
    for (const entry of indexTar(source)) {
      const [, key, ending] = /^((?:.*\/)?[^/.]+)\.(.+)$/.exec(entry.name) ?? [];
      if (key === undefined) continue;
      // of several pictures, such as 7.jpg and 7.mask.png, the one with the plain ending
      if (isImageName(ending) && (!pictures.has(key) || !ending.includes("."))) {
        pictures.set(key, entry);
      }
      if (ending === "cls" || (ending === "json" && !labels.has(key))) labels.set(key, entry);
    }
    return [...pictures].map(([key, entry]) => {
      const label = labels.get(key);
      return { ...entry, label: label ? labelOf(label, source) : NO_LABEL };
    });
  } catch (cause) {
    const Kind = cause instanceof TypeError ? TypeError : RangeError;
    const reason = (cause as Error).message;
    throw new Kind(`Cannot open the ${called}: ${title}: ${reason}`, { cause });
  }
}

/** The number in a `.cls` file, or under `label` or `cls` in a `.json` file that has one. */
function labelOf({ name, from, to }: TarEntry, source: ByteSource): number {
  if (!(to - from <= MOST)) {
    throw new RangeError(
      `Cannot read the label ${name} as it may have ${MOST} bytes: it has ${to - from}`,
    );
  }
  const text = new TextDecoder().decode(source.read(from, to)).trim();
  let value: unknown = text;
  if (name.endsWith(".json")) {
    const json = jsonSchema.safeParse(parseJson(text, { name }));
    value = json.data?.label ?? json.data?.cls;
    if (value === undefined) return NO_LABEL;
  }
  const label = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof label === "number" && Number.isSafeInteger(label) && label >= 0) return label;
  throw new RangeError(
    `Cannot read the label ${name} as it must be a whole number >= 0: it is ${
      JSON.stringify(value).slice(0, 40)
    }`,
  );
}

const jsonSchema = z.object({ label: z.unknown().optional(), cls: z.unknown().optional() });

function parseJson(text: string, { name }: { name: string }): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(
      `Cannot read the label ${name} as it is no JSON: ${(error as Error).message}`,
    );
  }
}
