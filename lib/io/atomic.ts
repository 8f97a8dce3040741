import { basename, dirname, join } from "@std/path";

/**
 * Writes a file so that a reader, or a crash at any moment, sees the old bytes or the new ones whole.
 *
 * A temporary file in the same folder is written, flushed to the disk and renamed over `path`; the
 * folder is flushed too where the system allows it. Temporary files are named
 * `.NAME.RANDOM.tmp`; after a crash they may be left behind (see `removeStaleTemporaries`).
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(
    dirname(path),
    `.${basename(path)}.${crypto.randomUUID().slice(0, 8)}.tmp`,
  );
  try {
    using file = await Deno.open(temporary, { write: true, createNew: true });
    let written = 0;
    while (written < bytes.length) written += await file.write(bytes.subarray(written));
    await file.sync();
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  await Deno.rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Writes a text file as `writeFileAtomic` does. */
export async function writeTextFileAtomic(path: string, text: string): Promise<void> {
  await writeFileAtomic(path, new TextEncoder().encode(text));
}

/** Removes what interrupted `writeFileAtomic` calls for `name` left in `folder`. */
export async function removeStaleTemporaries(folder: string, name: RegExp): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const match = /^\.(.*)\.[0-9a-f]{8}\.tmp$/.exec(entry.name);
    if (entry.isFile && match && name.test(match[1])) await Deno.remove(join(folder, entry.name));
  }
}

async function syncFolder(folder: string): Promise<void> {
  try {
    using handle = await Deno.open(folder, { read: true });
    await handle.sync();
  } catch {
    // Windows cannot open folders; the rename alone is atomic there.
  }
}
