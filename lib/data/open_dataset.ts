import { type CifarSource, openCifar } from "./cifar.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { type EmojiSource, openEmoji } from "./emoji.ts";
import { type FolderSource, openFolder } from "./folder.ts";
import { type IdxSource, openIdx } from "./idx.ts";
import { type NpzSource, openNpz } from "./npz.ts";
import { openParquet, type ParquetSource } from "./parquet.ts";
import { openWebDataset, type WebDatasetSource } from "./webdataset.ts";
import { openZip, type ZipSource } from "./zip_archive.ts";

/** Where pictures come from; plain data, so that a run's configuration can hold it. */
export type DataSource =
  | EmojiSource
  | FolderSource
  | CifarSource
  | IdxSource
  | NpzSource
  | ParquetSource
  | WebDatasetSource
  | ZipSource;

/** The kinds of data sources. */
export const DATA_KINDS = [
  "emoji",
  "folder",
  "cifar",
  "idx",
  "npz",
  "parquet",
  "webdataset",
  "zip",
] as const satisfies readonly DataSource["kind"][];

/**
 * Opens a data set with its pictures at one size ready; `split.load` readies others.
 *
 * `onProgress` is called while pictures are drawn or decoded for the first time.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { batchAt } from "./batches.ts";
 * import { openDataset } from "./open_dataset.ts";
 *
 * const flags = await openDataset({ kind: "emoji", categories: ["flags"] }, { size: 16 });
 * const { images } = batchAt(flags.train, { size: 16, batchSize: 4, seed: 0, index: 0 });
 * assert.deepEqual(images.shape, [4, 16, 16, 3]);
 * ```
 */
export async function openDataset(
  source: DataSource,
  options: OpenOptions,
): Promise<Dataset> {
  switch (source.kind) {
    case "emoji":
      return await openEmoji(source, options);
    case "folder":
      return await openFolder(source, options);
    case "cifar":
      return await openCifar(source, options);
    case "idx":
      return await openIdx(source, options);
    case "npz":
      return await openNpz(source, options);
    case "parquet":
      return await openParquet(source, options);
    case "webdataset":
      return await openWebDataset(source, options);
    case "zip":
      return await openZip(source, options);
    default: // a kind that a configuration made up
      throw new RangeError(
        `Cannot open the data as their kind must be ${DATA_KINDS.join(", ")}: ` +
          `kind is ${JSON.stringify((source as { kind: unknown }).kind)}`,
      );
  }
}
