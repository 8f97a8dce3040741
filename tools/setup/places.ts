/**
 * Where the set-up keeps files. What is fetched and built lies in a folder of the user's cache,
 * shared by all checkouts; in the npm package's folder it adds two links and changes nothing,
 * since the files there are hard links into Deno's own cache.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname, join } from "@std/path";
import { defaultCacheFolder } from "../../lib/data/cache.ts";
import { type Flavour, TENSORFLOW } from "./wheels.ts";

/** The folder of all set-ups: `HDIT_TENSORFLOW`, or `tensorflow` in the project's cache folder. */
export function rootFolder(env: (name: string) => string | undefined = Deno.env.get): string {
  return env("HDIT_TENSORFLOW") || join(defaultCacheFolder({ env }), "tensorflow");
}

/** The folder of one release and flavour. */
export function setupFolder(root: string, flavour: Flavour): string {
  return join(root, `${TENSORFLOW}-${flavour}-${Deno.build.arch}`);
}

/** A package's own folder, links followed. */
export async function packageFolder(name: string): Promise<string> {
  const require = createRequire(import.meta.url);
  try {
    return await Deno.realPath(dirname(require.resolve(`${name}/package.json`)));
  } catch {
    throw new Deno.errors.NotFound(
      `Cannot find the npm package ${name} as it is not in node_modules: run deno install`,
    );
  }
}

/** The folders that the package lacks and the set-up brings. */
const links = ["deps", "lib"] as const;

/** The binding's file in the package's folder, or in the folder of a set-up. */
export function bindingPath(folder: string): string {
  return join(folder, "lib", "napi-v8", "tfjs_binding.node");
}

/**
 * What the package's folder has: nothing, links to a set-up, or files of its own, as its own
 * install script leaves them.
 */
export type Placed = { kind: "nothing" } | { kind: "own" } | { kind: "linked"; folder: string };

/** What the package's folder has in the places of `deps` and `lib`. */
export async function placed(packageFolder: string): Promise<Placed> {
  for (const name of links) {
    const info = await Deno.lstat(join(packageFolder, name)).catch(() => undefined);
    if (!info) continue;
    if (!info.isSymlink) return { kind: "own" };
    return { kind: "linked", folder: dirname(await Deno.readLink(join(packageFolder, name))) };
  }
  return { kind: "nothing" };
}

/** Links the package's folder to a set-up; true where something changed. */
export async function place(packageFolder: string, folder: string): Promise<boolean> {
  let changed = false;
  for (const name of links) {
    const link = join(packageFolder, name), target = join(folder, name);
    if (await Deno.readLink(link).catch(() => undefined) === target) continue;
    await Deno.remove(link).catch(() => {});
    await Deno.symlink(target, link);
    changed = true;
  }
  return changed;
}

/** Removes the links, and only links. */
export async function unplace(packageFolder: string): Promise<boolean> {
  let changed = false;
  for (const name of links) {
    const link = join(packageFolder, name);
    const info = await Deno.lstat(link).catch(() => undefined);
    if (!info?.isSymlink) continue;
    await Deno.remove(link);
    changed = true;
  }
  return changed;
}

/** Bytes of all files under a folder; 0 where there is none. */
export async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) bytes += await folderBytes(path);
      else if (entry.isFile) bytes += (await Deno.stat(path)).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}
