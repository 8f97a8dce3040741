/**
 * Stand-in for `jsr:@std/path` where the JSR registry does not answer: the same
 * functions from Node's built-in module. `tools/setup.ts` puts it in place.
 *
 * @module
 */
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const { basename, dirname, extname, isAbsolute, join, normalize, relative, resolve } = path;

/** The path of a `file:` URL. */
export function fromFileUrl(url: string | URL): string {
  return fileURLToPath(url);
}

/** The `file:` URL of a path. */
export function toFileUrl(path: string): URL {
  return pathToFileURL(path);
}
