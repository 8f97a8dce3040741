import { basename, join, relative, resolve } from "@std/path";

/** A file of a data set: `title` is its path under the folder, with "/"; `stamp` changes with it. */
export type ListedFile = { path: string; title: string; bytes: number; stamp: string };

/** What files are taken for pictures, by the end of their names. */
export const IMAGE_EXTENSIONS: readonly string[] = "png jpg jpeg webp gif avif tif tiff".split(" ");

/** Whether a name is that of a picture. */
export function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.includes(name.toLowerCase().split(".").pop()!);
}

/**
 * Files under a folder in natural order (img2 before img10); hidden names are left out, and no link
 * is followed in a circle.
 */
export function listFiles(root: string, wanted: (name: string) => boolean): ListedFile[] {
  const files: ListedFile[] = [];
  const visited = new Set<string>();
  function visit(folder: string): void {
    const real = Deno.realPathSync(folder);
    if (visited.has(real)) return; // a link that leads back up
    visited.add(real);
    for (const { name, isDirectory, isSymlink } of Deno.readDirSync(folder)) {
      if (name.startsWith(".") || name === "__MACOSX") continue;
      const path = join(folder, name);
      if (isDirectory) visit(path);
      else if (isSymlink && isFolder(path)) visit(path);
      else if (wanted(name)) {
        const file = fileAt(path, relative(root, path));
        if (file) files.push(file);
      }
    }
  }
  visit(resolve(root));
  const { compare } = new Intl.Collator("en", { numeric: true });
  return files.sort((a, b) => compare(a.title, b.title) || (a.title < b.title ? -1 : 1));
}

/**
 * The files of a data set that may lie in several: one file, all with an ending under a folder, or
 * those that braces name, such as `train-{000..127}.tar` or `{a,b}.tar`.
 *
 * Errors: RangeError where there are none, or one that is named does not exist.
 */
export function listShards(
  path: string,
  { called, endings }: { called: string; endings: RegExp },
): ListedFile[] {
  if (isFolder(path)) {
    const found = listFiles(path, (name) => endings.test(name));
    if (found.length > 0) return found;
    throw new RangeError(`Cannot open the ${called} as the folder holds none of its files`);
  }
  const named = exists(path) ? [path] : expandBraces(path);
  const files = named.map((path) => fileAt(resolve(path), basename(path)));
  const missing = named.filter((_, i) => !files[i]);
  if (missing.length === 0) return files as ListedFile[];
  throw new RangeError(
    `Cannot open the ${called} as ` +
      (named.length === 1
        ? "it does not exist"
        : `${missing.length} of its ${named.length} files do not exist: the first is "${
          missing[0]
        }"`),
  );
}

/** The names that a pattern with braces means: `{00..12}` counts, `{a,b}` lists. */
export function expandBraces(pattern: string): string[] {
  const [whole, inside] = /\{([^{}]*)\}/.exec(pattern) ?? [];
  if (whole === undefined) return [pattern];
  const [, first, last] = /^(\d+)\.\.(\d+)$/.exec(inside) ?? [];
  const count = Number(last) - Number(first) + 1;
  if (first !== undefined && !(count >= 1 && count <= 1e6)) {
    throw new RangeError(
      `Cannot expand the pattern as its numbers must rise, by at most a million: they are ${whole}`,
    );
  }
  const parts = first === undefined
    ? inside.split(",")
    : Array.from({ length: count }, (_, i) => `${Number(first) + i}`.padStart(first.length, "0"));
  return parts.flatMap((part) => expandBraces(pattern.replace(whole, () => part)));
}

/** Whether a path is a folder that can be read. */
export function isFolder(path: string): boolean {
  return statOf(path)?.isDirectory ?? false;
}

/** Whether there is anything at a path. */
export function exists(path: string): boolean {
  return statOf(path) !== undefined;
}

function fileAt(path: string, title: string): ListedFile | undefined {
  const info = statOf(path);
  if (!info?.isFile) return undefined;
  const own = title.replaceAll("\\", "/"), { size, mtime } = info;
  return { path, title: own, bytes: size, stamp: JSON.stringify([own, mtime?.getTime(), size]) };
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined; // a link to nothing, or not to be read
  }
}
