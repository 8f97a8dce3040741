/**
 * A folder of pictures as a data set: sub-folders are classes, and what is decoded once is kept in
 * the cache folder, never in the user's.
 *
 * @module
 */
import { basename, join, relative } from "@std/path";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import type { PictureList } from "./pictures.ts";

/** Which folder, and how it is read. Plain data, so that a run's configuration can hold it. */
export type FolderSource = PictureOptions & {
  kind: "folder";
  path: string;
  /** Channels to decode to: 1 (grey) or 3 (default). */
  channels?: 1 | 3;
};

/** What files are taken for pictures, by the end of their names. */
export const IMAGE_EXTENSIONS: readonly string[] = "png jpg jpeg webp gif avif tif tiff".split(" ");

type ImageFile = { path: string; mtime: number; bytes: number }; // path under the root, with "/"

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
 * Opens a folder of pictures.
 *
 * Classes are the sub-folders directly under it, if every picture is in one.
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
async function listFolder(
  { path, channels = 3 }: Omit<FolderSource, "kind">,
): Promise<PictureList> {
  const called = `folder of images "${path}"`;
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info?.isDirectory) {
    throw new RangeError(
      `Cannot open the ${called} as ${info ? "it is a file" : "it does not exist"}`,
    );
  }
  const root = await Deno.realPath(path);
  const files = await listImages(root);
  if (files.length === 0) {
    throw new RangeError(
      `Cannot open the ${called} as it holds none (${IMAGE_EXTENSIONS.join(", ")})`,
    );
  }
  const titles = files.map((file) => file.path);
  const { classes, labels, warnings } = classesOf(titles);
  return {
    name: basename(root),
    called,
    origin: root,
    places: {
      kind: "ranges",
      files: titles.map((title) => join(root, title)),
      file: Uint32Array.from(files.keys()),
      from: new Float64Array(files.length),
      length: Float64Array.from(files, (file) => file.bytes),
    },
    titles,
    stamps: files.map((file) => JSON.stringify([file.path, file.mtime, file.bytes])),
    labels,
    classes,
    bytes: channels,
    warnings,
  };
}

/** Sub-folders as classes, in natural order as the files are, if every picture is in one. */
function classesOf(
  titles: readonly string[],
): { classes: string[]; labels: Int32Array; warnings: string[] } {
  const folders = titles.map((title) => title.includes("/") ? title.split("/")[0] : "");
  const loose = folders.filter((folder) => folder === "").length;
  if (loose === 0) {
    const classes = [...new Set(folders)];
    const index = new Map(classes.map((name, i) => [name, i]));
    return { classes, labels: Int32Array.from(folders, (name) => index.get(name)!), warnings: [] };
  }
  const labels = new Int32Array(titles.length);
  if (loose === titles.length) return { classes: [], labels, warnings: [] };
  const warning =
    `Classes are not used, as ${loose} of ${titles.length} images lie beside the sub-folders`;
  return { classes: [], labels, warnings: [warning] };
}
