import { basename, resolve } from "@std/path";
import { parquetSchema } from "hyparquet";
import { z } from "zod";
import { classesOfLabels, NO_LABEL } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { type ListedFile, listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { openParquetFile, type ParquetFile, readRows } from "./parquet_images.ts";
import type { PictureList } from "./pictures.ts";
import { sidesByName } from "./sides.ts";

/** Parquet files with a column of image files, as Hugging Face keeps data sets of pictures. */
export type ParquetSource = PictureOptions & {
  kind: "parquet";
  /** One file, a folder of them, or a pattern such as `data/train-{00000..00003}-of-00004.parquet`. */
  path: string;
  /** Column of image files (default: the first that Hugging Face's features or the types tell). */
  imageColumn?: string;
  /** Column of labels, whole numbers or names (default: the first of classes, or one called `label`). */
  labelColumn?: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

const LABELS = ["label", "labels", "fine_label", "class", "cls"];

/**
 * Opens Parquet files with a column of image files: bytes, or `{bytes, path}`. Names of classes are
 * those of Hugging Face's `ClassLabel`. Files called `train-…` and `validation-…` or `test-…` are the
 * sides.
 *
 * Errors: RangeError where a file is damaged, columns are missing, or a label is no class.
 */
export async function openParquet(
  source: Omit<ParquetSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(await listParquet(source), { ...source, ...options });
}

async function listParquet(source: Omit<ParquetSource, "kind">): Promise<PictureList> {
  const { path, channels = 3 } = source, called = `Parquet files "${path}"`;
  const shards = listShards(path, { called, endings: /\.parquet$/ });
  const sides = sidesByName(shards.map((shard) => shard.title));
  const used = [...sides.train, ...sides.heldOut].map((k) => shards[k]);
  const tables: Table[] = [];
  for (const shard of used) tables.push(await readTable(shard, { source, called }));

  const all = tables.flatMap(({ values }, k) => values.map((value, row) => ({ value, row, k })));
  const titles = all.map(({ row, k }) => `${used[k].title}#${row}`);
  const [{ imageColumn: column, names }] = tables;
  return {
    name: basename(path),
    called,
    origin: resolve(path),
    places: {
      kind: "parquet",
      files: used.map((shard) => shard.path),
      column,
      file: Uint32Array.from(all, ({ k }) => k),
      row: Uint32Array.from(all, ({ row }) => row),
    },
    titles,
    stamps: all.map(({ row, k }) => `${used[k].stamp} ${column} ${row}`),
    ...classesOfValues(all.map(({ value }) => value), { names, titles, called }),
    bytes: channels,
    ...(sides.heldOut.length > 0 && {
      heldOut: Uint8Array.from(all, ({ k }) => Number(k >= sides.train.length)),
    }),
    warnings: sides.warnings,
  };
}

/** What is read of a file before its pictures. */
type Table = {
  imageColumn: string;
  /** The label of each row, undefined where there are none. */
  values: unknown[];
  /** Names of the classes, where the file has them. */
  names: string[] | undefined;
};

async function readTable(
  { path, title }: ListedFile,
  { source, called }: { source: Omit<ParquetSource, "kind">; called: string },
): Promise<Table> {
  try {
    const parquet = await openParquetFile(path), rowEnd = Number(parquet.metadata.num_rows);
    const { imageColumn, labelColumn, names } = chooseColumns(parquet, source);
    if (labelColumn === undefined) {
      return { imageColumn, names, values: new Array(rowEnd).fill(undefined) };
    }
    const rows = await readRows(parquet, { columns: [labelColumn], rowStart: 0, rowEnd });
    return { imageColumn, names, values: rows.map((row) => row[labelColumn]) };
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new RangeError(`Cannot open the ${called}: ${title}: ${reason}`, { cause });
  }
}

/** What Hugging Face writes of the columns that it knows. */
const featuresSchema = z.object({
  info: z.object({
    features: z.record(
      z.string(),
      z.object({ _type: z.string().optional(), names: z.array(z.string()).optional() }).catch({}),
    ),
  }),
});

function chooseColumns(
  { metadata }: ParquetFile,
  { imageColumn, labelColumn }: Pick<ParquetSource, "imageColumn" | "labelColumn">,
): { imageColumn: string; labelColumn: string | undefined; names: string[] | undefined } {
  const { children } = parquetSchema(metadata);
  const columns = children.map(({ element }) => element.name);
  const features = featuresOf(metadata.key_value_metadata);
  const ofType = (type: string) => columns.find((name) => features[name]?._type === type);
  const holdsBytes = children.find(({ element, children }) =>
    children.some((child) => child.element.name === "bytes") ||
    (element.type === "BYTE_ARRAY" && !element.logical_type && !element.converted_type)
  );
  const image = imageColumn ?? ofType("Image") ?? holdsBytes?.element.name;
  const label = labelColumn ?? ofType("ClassLabel") ??
    LABELS.find((name) => columns.includes(name));
  for (const [what, name] of [["image", image], ["label", label ?? columns[0]]]) {
    if (name !== undefined && columns.includes(name)) continue;
    throw new RangeError(
      `Cannot find the ${what} column${name === undefined ? "" : ` "${name}"`}: ` +
        `columns are ${columns.join(", ")}`,
    );
  }
  return {
    imageColumn: image!,
    labelColumn: label,
    names: label === undefined ? undefined : features[label]?.names,
  };
}

function featuresOf(pairs: { key: string; value?: string }[] | undefined) {
  const text = pairs?.find(({ key }) => key === "huggingface")?.value;
  try {
    return featuresSchema.parse(JSON.parse(text ?? "")).info.features;
  } catch {
    return {}; // written by something else
  }
}

/** Labels as whole numbers, or as names, whose order is that of the alphabet. */
function classesOfValues(
  values: readonly unknown[],
  { names, titles, called }: {
    names: string[] | undefined;
    titles: readonly string[];
    called: string;
  },
): Pick<PictureList, "labels" | "classes"> {
  const texts = new Set(values.filter((value) => typeof value === "string"));
  const all = names ?? (texts.size > 0 ? [...texts].sort() : undefined);
  const index = new Map(all?.map((name, i) => [name, i]));
  const labels = Int32Array.from(values, (value, i) => {
    if (value === undefined || value === null) return NO_LABEL;
    const label = typeof value === "string" ? index.get(value) : value;
    const whole = typeof label === "bigint" || Number.isInteger(label) ? Number(label) : NaN;
    if (whole >= NO_LABEL && whole < 2 ** 31) return whole;
    throw new RangeError(
      `Cannot open the ${called} as labels must be whole numbers or names of classes: ` +
        `${titles[i]} has ${typeof value === "string" ? JSON.stringify(value) : value}`,
    );
  });
  return classesOfLabels(labels, { names: all, titles, called });
}
