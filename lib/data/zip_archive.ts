import { basename } from "@std/path";
import { z } from "zod";
import { fileSource } from "../io/byte_source.ts";
import { readZip, type ZipEntry } from "../io/zip.ts";
import { classesOfLabels, NO_LABEL } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { IMAGE_EXTENSIONS, isImageName, listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { layoutOfPaths } from "./path_layout.ts";
import type { PictureList } from "./pictures.ts";

/** A zip archive of pictures: a folder in one file, or what the data set tools of StyleGAN and EDM write. */
export type ZipSource = PictureOptions & {
  kind: "zip";
  path: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

const LABELS = "dataset.json", MAX_LABELS = 2 ** 28; // bytes

/**
 * Opens a zip archive of pictures. Labels are those of its `dataset.json`, `{"labels": [[path,
 * label], …]}`, else sub-folders are what they are in a folder (see `layoutOfPaths`).
 *
 * Errors: RangeError where the archive is damaged, holds no pictures, or its labels are not one for
 * each of them; TypeError where a path leaves the archive.
 */
export async function openZip(
  source: Omit<ZipSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(listZip(source), { ...source, ...options });
}

function listZip({ path, channels = 3 }: Omit<ZipSource, "kind">): PictureList {
  const called = `zip archive "${path}"`;
  const [file] = listShards(path, { called, endings: /\.zip$/ });
  const { pictures: all, labels } = readArchive(file.path, { called });
  if (all.length === 0) {
    throw new RangeError(
      `Cannot open the ${called} as it holds no pictures (${IMAGE_EXTENSIONS.join(", ")})`,
    );
  }
  const names = all.map(({ name }) => name);
  const { kept, ...layout } = labels === undefined
    ? layoutOfPaths(withoutTop(names))
    : { kept: [...all.keys()], warnings: [], ...labelsOf(labels, { names, called }) };
  const own = kept.map((i) => all[i]);
  return {
    name: basename(path).replace(/\.zip$/, ""),
    called,
    origin: file.path,
    places: {
      kind: "ranges",
      files: [file.path],
      file: new Uint32Array(own.length),
      from: Float64Array.from(own, ({ place }) => place.from),
      length: Float64Array.from(own, ({ place }) => place.to - place.from),
      deflated: Uint8Array.from(own, ({ place }) => Number(place.deflated)),
    },
    titles: own.map(({ name }) => name),
    stamps: own.map(({ name }) => `${file.stamp} ${name}`),
    ...layout,
    bytes: channels,
  };
}

/** An archive's pictures in natural order, and the text of its file of labels. */
function readArchive(
  path: string,
  { called }: { called: string },
): { pictures: ZipEntry[]; labels: string | undefined } {
  using source = fileSource(path);
  try {
    // pictures are unpacked one at a time, each to a size that is checked
    const entries = readZip(source, { maxInflated: Infinity });
    const { compare } = new Intl.Collator("en", { numeric: true });
    const pictures = [...entries.values()].filter(({ name }) => isPicture(name))
      .sort((a, b) => compare(a.name, b.name) || (a.name < b.name ? -1 : 1));
    const listed = entries.get(LABELS);
    if (!(!listed || listed.size <= MAX_LABELS)) {
      throw new RangeError(
        `its ${LABELS} may have ${MAX_LABELS} bytes at most: it has ${listed.size}`,
      );
    }
    return { pictures, labels: listed && new TextDecoder().decode(listed.read()) };
  } catch (cause) {
    const Kind = cause instanceof TypeError ? TypeError : RangeError;
    throw new Kind(`Cannot open the ${called}: ${(cause as Error).message}`, { cause });
  }
}

function isPicture(name: string): boolean {
  return isImageName(name) && !name.split("/").some((part) => /^(?:\.|__MACOSX$)/.test(part));
}

/** Paths without the one folder that all are in, as archives of a folder have it. */
function withoutTop(names: readonly string[]): readonly string[] {
  const top = `${names[0].split("/")[0]}/`;
  return names.every((name) => name.startsWith(top) && name.slice(top.length).includes("/"))
    ? names.map((name) => name.slice(top.length))
    : names;
}

/** `{"labels": [[path, label], …]}`, or null where there are none. */
const labelsSchema = z.object({
  labels: z.array(z.tuple([z.string(), z.int().min(0)])).nullish(),
});

function labelsOf(
  text: string,
  { names, called }: { names: readonly string[]; called: string },
): Pick<PictureList, "labels" | "classes"> {
  const wrong = (what: string) =>
    new RangeError(`Cannot open the ${called} as its ${LABELS} ${what}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw wrong(`is no JSON: ${(error as Error).message}`);
  }
  const parsed = labelsSchema.safeParse(json);
  if (!parsed.success) {
    throw wrong(
      `must hold {"labels": [[path, whole number], …]} or null: ${
        parsed.error.issues.slice(0, 1).map(({ path, message }) => `${path.join(".")}: ${message}`)
      }`,
    );
  }
  const listed = new Map(parsed.data.labels ?? []);
  const missing = names.filter((name) => !listed.has(name));
  if (listed.size > 0 && missing.length > 0) {
    throw wrong(
      `must have a label for each of the ${names.length} pictures: ` +
        `${missing.length} have none, the first is ${missing[0]}`,
    );
  }
  const labels = Int32Array.from(names, (name) => listed.get(name) ?? NO_LABEL);
  return classesOfLabels(labels, { names: undefined, titles: names, called });
}
