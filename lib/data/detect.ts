import { basename, join } from "@std/path";
import { isCifarName } from "./cifar.ts";
import { isIdxName } from "./idx.ts";
import { exists, expandBraces, isFolder, isImageName } from "./list_files.ts";
import type { DataSource } from "./open_dataset.ts";

/** How many files of a folder are looked at. */
const LOOKED_AT = 1000;

type FileKind = Exclude<DataSource["kind"], "emoji">;

/** What a file is by its name; the first that fits. */
const KINDS: [kind: FileKind, fits: (name: string) => boolean][] = [
  ["cifar", isCifarName],
  ["idx", isIdxName],
  ["parquet", (name) => name.endsWith(".parquet")],
  ["webdataset", (name) => name.endsWith(".tar")],
  ["npz", (name) => name.endsWith(".npz")],
  ["zip", (name) => name.endsWith(".zip")],
  ["folder", isImageName],
];

/**
 * The data source that a path means: a file by its name, also with braces (`{000..127}.tar`); a
 * folder by what most of its files are; `emoji` for the emoji set, unless there is such a file.
 *
 * Errors: RangeError where there is nothing at the path, or nothing that is known.
 */
export function detectDataSource(path: string): DataSource {
  if (path === "emoji" && !exists(path)) return { kind: "emoji" };
  const wrong = (what: string) =>
    new RangeError(`Cannot open the data as ${what}: path is "${path}"`);
  if (!isFolder(path)) {
    if (!exists(expandBraces(path)[0])) throw wrong("there is nothing there");
    if (/\.(?:tar\.\w+|tgz)$/.test(path)) throw wrong("the archive is compressed: unpack it first");
    const found = KINDS.find(([kind, fits]) => kind !== "folder" && fits(basename(path)));
    if (found) return { kind: found[0], path };
    throw wrong("it must be a folder, or a file such as .zip, .tar, .parquet or .npz");
  }
  const names = someNames(path);
  const counts = KINDS.map(([kind, fits]) => ({ kind, count: names.filter(fits).length }));
  const { kind, count } = counts.reduce((most, own) => own.count > most.count ? own : most);
  if (count === 0) {
    throw wrong(
      names.includes("data_batch_1")
        ? "it is CIFAR for Python, of which the binary version is needed"
        : "the folder holds neither pictures nor a data set that is known",
    );
  }
  if (kind !== "npz" && kind !== "zip") return { kind, path };
  throw wrong(`the folder holds .${kind} files: name one of them`);
}

/** Names of files under a folder, those at the top first. */
function someNames(root: string): string[] {
  const names: string[] = [], folders = [root];
  for (let at = 0; at < folders.length && names.length < LOOKED_AT; at++) {
    for (const { name, isDirectory } of Deno.readDirSync(folders[at])) {
      if (name.startsWith(".")) continue;
      const path = join(folders[at], name);
      if (isDirectory || isFolder(path)) folders.push(path);
      else names.push(name);
    }
  }
  return names;
}
