import type { Dataset, OpenOptions } from "./dataset.ts";
import { type EmojiSource, openEmoji } from "./emoji.ts";
import { type FolderSource, openFolder } from "./folder.ts";

/** Where pictures come from; plain data, so that a run's configuration can hold it. */
export type DataSource = EmojiSource | FolderSource;

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
export function openDataset(
  source: DataSource,
  options: OpenOptions,
): Promise<Dataset> {
  switch (source.kind) {
    case "emoji":
      return openEmoji(source, options);
    case "folder":
      return openFolder(source, options);
  }
}
