/**
 * Decoded pixels on disk, so that pictures are rasterised or decoded once.
 *
 * One file a block: a JSON head, the pixels, and a checksum of both. A file that is cut short,
 * altered or of another key is made again; a cache folder that cannot be written is no error.
 * Files are written aside and renamed, so two processes may fill the same cache.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { dirname, join } from "@std/path";
import { sharedBytes } from "./pictures.ts";

/** The folder that the operating system keeps for caches, and `hdit` in it. */
export function defaultCacheFolder(
  { os = Deno.build.os, env = Deno.env.get.bind(Deno.env) }: {
    os?: typeof Deno.build.os;
    env?: (name: string) => string | undefined;
  } = {},
): string {
  const home = env("HOME") ?? env("USERPROFILE");
  const base = (() => {
    switch (os) {
      case "windows":
        return env("LOCALAPPDATA") ?? (home && join(home, "AppData", "Local"));
      case "darwin":
        return home && join(home, "Library", "Caches");
      default: // the XDG base directory specification: a relative path is to be ignored
        return env("XDG_CACHE_HOME")?.startsWith("/")
          ? env("XDG_CACHE_HOME")
          : home && join(home, ".cache");
    }
  })();
  return join(base || env("TMPDIR") || env("TEMP") || "/tmp", "hdit");
}

/** What a cache file holds: `head` is any JSON value, the data are in shared memory once read. */
export type CachedBlock = { head: unknown; data: Uint8Array };

const MAGIC = new TextEncoder().encode("hditpix2");
const PREFIX = MAGIC.length + 8; // then the head's length and a CRC-32 of all that follows the CRC

/** SHA-256 in hexadecimal digits. */
export async function sha256(bytes: Uint8Array | string): Promise<string> {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const digest = await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Path of the cache file for a key: a readable name, then a hash of the whole key. */
export async function cachePath(
  key: unknown,
  { folder, name }: { folder: string; name: string },
): Promise<string> {
  const readable = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return join(folder, `${readable}-${(await sha256(JSON.stringify(key))).slice(0, 24)}.pixels`);
}

/** Reads a cache file; `undefined` where there is none that is whole. */
export async function readCache(path: string): Promise<CachedBlock | undefined> {
  try {
    using file = await Deno.open(path);
    const prefix = new Uint8Array(PREFIX), view = new DataView(prefix.buffer);
    if (!await fillFrom(file, prefix) || MAGIC.some((b, i) => prefix[i] !== b)) return undefined;
    const headLength = view.getUint32(8, true), rest = (await file.stat()).size - PREFIX;
    if (!(headLength <= rest)) return undefined;
    const head = new Uint8Array(headLength), data = sharedBytes(rest - headLength);
    if (!await fillFrom(file, head) || !await fillFrom(file, data)) return undefined;
    if (view.getUint32(12, true) !== checksum(head, data)) return undefined;
    return { head: JSON.parse(new TextDecoder().decode(head)), data };
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return undefined; // the system's: it is not there, or may not be read
  }
}

/** Writes a cache file whole or not at all; false where the folder cannot be written. */
export async function writeCache(path: string, { head, data }: CachedBlock): Promise<boolean> {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const prefix = new Uint8Array(PREFIX), view = new DataView(prefix.buffer);
  prefix.set(MAGIC);
  view.setUint32(8, text.length, true);
  view.setUint32(12, checksum(text, data), true);
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      for (const part of [prefix, text, data]) {
        for (let done = 0; done < part.length;) done += await file.write(part.subarray(done));
      }
    }
    await Deno.rename(temporary, path);
    return true;
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    return false;
  }
}

function checksum(head: Uint8Array, data: Uint8Array): number {
  return crc32(data, crc32(head, head.length));
}

/** Fills `bytes` from the file; false where it ends before. */
async function fillFrom(file: Deno.FsFile, bytes: Uint8Array): Promise<boolean> {
  for (let done = 0; done < bytes.length;) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) return false;
    done += count;
  }
  return true;
}
