/**
 * Brings the wheels' files into the folder of a set-up.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "@std/path";
import { progress, type ProgressSink } from "../../lib/progress.ts";
import { checkSha256, download } from "./download.ts";
import { type FileRecord, isWhole, type Manifest, writeManifest } from "./manifest.ts";
import { clientFor, findWheel, type PipSettings } from "./package_index.ts";
import { downloadWithPip, type Pip } from "./pip.ts";
import { keptPath, type Wheel } from "./wheels.ts";
import { fileReader, readEntry, zipEntries } from "./zip.ts";

/** Where wheels come from: the user's pip, or an index that its settings name. */
export type Source =
  | { kind: "pip"; pip: Pip }
  | { kind: "index"; settings: PipSettings };

/** The wheels whose files are not all there. */
export async function missingWheels(
  wheels: readonly Wheel[],
  { folder, manifest, thorough }: { folder: string; manifest: Manifest; thorough: boolean },
): Promise<Wheel[]> {
  const missing: Wheel[] = [];
  for (const wheel of wheels) {
    const record = Object.entries(manifest.wheels[wheel.file] ?? {});
    let whole = record.length > 0;
    for (const [path, file] of record) {
      whole &&= await isWhole(join(folder, path), file, { thorough });
    }
    if (!whole) missing.push(wheel);
  }
  return missing;
}

/**
 * Downloads and unpacks each wheel and writes it into the record before the next, so that an
 * interrupted set-up goes on with the wheel it stopped at.
 */
export async function fetchWheels(
  wheels: readonly Wheel[],
  { folder, manifest, source, sink }: {
    folder: string;
    manifest: Manifest;
    source: Source;
    sink?: ProgressSink;
  },
): Promise<void> {
  const downloads = join(folder, "downloads");
  await Deno.mkdir(downloads, { recursive: true });
  const show = sink ? { sink } : {};
  for (const wheel of wheels) {
    const path = join(downloads, wheel.file);
    await fetchWheel(wheel, { path, source, show });
    manifest.wheels[wheel.file] = await unpackWheel(path, { folder, show });
    await writeManifest(folder, manifest);
    await Deno.remove(path);
  }
  await Deno.remove(downloads, { recursive: true });
}

async function fetchWheel(
  wheel: Wheel,
  { path, source, show }: { path: string; source: Source; show: { sink?: ProgressSink } },
): Promise<void> {
  const isThere = await checkSha256(path, wheel).then(() => true, () => false);
  if (isThere) return;
  await Deno.remove(path).catch(() => {});
  switch (source.kind) {
    case "pip":
      console.log(`Downloading ${wheel.file} (${megabytes(wheel.bytes)} MB) with pip`);
      await downloadWithPip(wheel, { pip: source.pip, folder: dirname(path) });
      try {
        return await checkSha256(path, wheel);
      } catch (error) {
        await Deno.remove(path);
        throw error;
      }
    case "index": {
      const client = await clientFor(source.settings);
      const { url, headers } = await findWheel(wheel, { settings: source.settings, client });
      using bar = progress({
        total: megabytes(wheel.bytes),
        label: wheel.project,
        unit: "MB",
        ...show,
      });
      const onProgress = (bytes: number) => bar.update(megabytes(bytes));
      await download(url, path, { sha256: wheel.sha256, headers, client, onProgress });
      client?.close();
    }
  }
}

/** Unpacks what is kept of a wheel; each file appears only when it is whole. */
export async function unpackWheel(
  path: string,
  { folder, show = {} }: { folder: string; show?: { sink?: ProgressSink } },
): Promise<Record<string, FileRecord>> {
  using file = await Deno.open(path);
  const read = fileReader(file);
  const entries = (await zipEntries(read, (await file.stat()).size))
    .map((entry) => ({ entry, kept: keptPath(entry.name) }))
    .filter(({ kept }) => kept !== undefined);
  if (entries.length === 0) {
    throw new Deno.errors.InvalidData(`Cannot use ${path} as it has none of the files wanted`);
  }
  const total = entries.reduce((sum, { entry }) => sum + entry.bytes, 0);
  using bar = progress({ total: megabytes(total), label: "unpacking", unit: "MB", ...show });
  const record: Record<string, FileRecord> = {};
  let done = 0;
  for (const { entry, kept } of entries) {
    const target = join(folder, kept!);
    await Deno.mkdir(dirname(target), { recursive: true });
    const hash = createHash("sha256");
    const aside = `${target}.part`;
    {
      using out = await Deno.open(aside, { write: true, create: true, truncate: true });
      for await (const chunk of readEntry(read, entry)) {
        hash.update(chunk);
        for (let n = 0; n < chunk.length;) n += await out.write(chunk.subarray(n));
        bar.update(megabytes(done += chunk.length));
      }
    }
    if (kept!.includes("/bin/")) await Deno.chmod(aside, 0o755);
    await Deno.rename(aside, target);
    record[kept!] = { bytes: entry.bytes, sha256: hash.digest("hex") };
  }
  return record;
}

/** Bytes as whole megabytes. */
export function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
