/**
 * The record of a set-up: each file that was unpacked with its length and SHA-256, and from what
 * the binding was compiled. What the record says is done need not be done again.
 *
 * @module
 */
import { join } from "@std/path";
import { writeFileAtomic } from "../../lib/io/atomic.ts";
import { fileSha256 } from "./download.ts";

export type FileRecord = { bytes: number; sha256: string };

export type Manifest = {
  /** By the wheel's file name: what was unpacked from it, by path. */
  wheels: Record<string, Record<string, FileRecord>>;
  binding?: { key: string; compiler: string; file: FileRecord };
};

/** The record in a folder; an empty one where there is none that can be read. */
export async function readManifest(folder: string): Promise<Manifest> {
  try {
    const manifest = JSON.parse(await Deno.readTextFile(join(folder, "manifest.json")));
    return typeof manifest?.wheels === "object" ? manifest : { wheels: {} };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) {
      return { wheels: {} };
    }
    throw error;
  }
}

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const text = JSON.stringify(manifest, null, 1) + "\n";
  await writeFileAtomic(join(folder, "manifest.json"), new TextEncoder().encode(text));
}

/** The record of a file as it is now. */
export async function recordFile(path: string): Promise<FileRecord> {
  return { bytes: (await Deno.stat(path)).size, sha256: await fileSha256(path) };
}

/** Whether a file is as its record says: its length, and its checksum too where `thorough`. */
export async function isWhole(
  path: string,
  { bytes, sha256 }: FileRecord,
  { thorough }: { thorough: boolean },
): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => undefined);
  if (info?.size !== bytes) return false;
  return !thorough || await fileSha256(path) === sha256;
}
