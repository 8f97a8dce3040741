/**
 * Decoded pixels on disk, so that pictures are rasterised or decoded once.
 *
 * One file a block: a JSON head (key and entries), the pixels, and a SHA-256 of both. A file that
 * is cut short, altered or of another key is made again; a cache folder that cannot be written is
 * no error. Files are written aside and renamed, so two processes may fill the same cache.
 *
 * @module
 */
import { join } from "@std/path";
import { writeFileAtomic } from "../io/atomic.ts";

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

/** What a cache file holds: `head` is any JSON value. */
export type CachedBlock = { head: unknown; data: Uint8Array };

const MAGIC = new TextEncoder().encode("hditpix1");

/** SHA-256 in hexadecimal digits. */
export async function sha256(bytes: Uint8Array | string): Promise<string> {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const digest = await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(
    await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>),
  );
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
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch {
    return undefined;
  }
  const end = bytes.length - 32;
  if (end < 12 || MAGIC.some((b, i) => bytes[i] !== b)) return undefined;
  const expected = await digest(bytes.subarray(0, end));
  if (expected.some((b, i) => bytes[end + i] !== b)) return undefined;
  const headLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + headLength)));
  return { head, data: bytes.subarray(12 + headLength, end) };
}

/** Writes a cache file whole or not at all; false where the folder cannot be written. */
export async function writeCache(path: string, { head, data }: CachedBlock): Promise<boolean> {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(12 + text.length + data.length + 32);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setUint32(8, text.length, true);
  bytes.set(text, 12);
  bytes.set(data, 12 + text.length);
  bytes.set(await digest(bytes.subarray(0, bytes.length - 32)), bytes.length - 32);
  try {
    await Deno.mkdir(join(path, ".."), { recursive: true });
    await writeFileAtomic(path, bytes);
    return true;
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    return false;
  }
}
