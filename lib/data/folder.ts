/**
 * A folder of pictures as a data set: sub-folders are classes, and what is decoded once is kept in
 * the cache folder, never in the user's.
 *
 * @module
 */
import { basename } from "@std/path";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { exists, IMAGE_EXTENSIONS, isFolder, isImageName, listFiles } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { layoutOfPaths } from "./path_layout.ts";
import type { PictureList } from "./pictures.ts";

/** Which folder, and how it is read. Plain data, so that a run's configuration can hold it. */
export type FolderSource = PictureOptions & {
  kind: "folder";
  path: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

/**
 * Opens a folder of pictures; see `layoutOfPaths` for what its sub-folders mean.
 *
 * Errors: RangeError where the folder does not exist, is no folder, or holds fewer than two
 * pictures that can be decoded.
 */
export async function openFolder(
  source: Omit<FolderSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(await listFolder(source), { ...source, ...options });
}

/** The pictures of a folder as they lie there. */
export async function listFolder(
  { path, channels = 3 }: Omit<FolderSource, "kind">,
): Promise<PictureList> {
  const called = `folder of images "${path}"`;
  if (!isFolder(path)) {
    throw new RangeError(
      `Cannot open the ${called} as it ${exists(path) ? "is a file" : "does not exist"}`,
    );
  }
  const root = await Deno.realPath(path);
  const files = listFiles(root, isImageName);
  if (files.length === 0) {
    throw new RangeError(
      `Cannot open the ${called} as it holds none (${IMAGE_EXTENSIONS.join(", ")})`,
    );
  }
  const { kept, ...layout } = layoutOfPaths(files.map((file) => file.title));
  const own = kept.map((i) => files[i]);
  return {
    name: basename(root),
    called,
    origin: root,
    places: {
      kind: "ranges",
      files: own.map((file) => file.path),
      file: Uint32Array.from(own.keys()),
      from: new Float64Array(own.length),
      length: Float64Array.from(own, (file) => file.bytes),
    },
    titles: own.map((file) => file.title),
    stamps: own.map((file) => file.stamp),
    ...layout,
    bytes: channels,
  };
}
