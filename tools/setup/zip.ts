/**
 * Reads a zip archive by ranges: its directory at the end, then only the entries that are wanted,
 * inflated as they stream and checked against their CRC-32.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/** Reads `length` bytes from `offset`. */
export type ByteReader = (offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>;

/** A file in an archive. */
export type ZipEntry = {
  name: string;
  /** 0: stored; 8: deflated. */
  method: number;
  crc32: number;
  compressedBytes: number;
  bytes: number;
  /** Where its local header begins. */
  offset: number;
};

const END = 0x06054b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50;
const CHUNK = 1 << 22;

/** A reader of an open file. */
export function fileReader(file: Deno.FsFile): ByteReader {
  return async (offset, length) => {
    await file.seek(offset, Deno.SeekMode.Start);
    const out = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const n = await file.read(out.subarray(at));
      if (n === null) throw invalid(`it ends after ${offset + at} bytes`);
      at += n;
    }
    return out;
  };
}

const invalid = (why: string) => new Deno.errors.InvalidData(`Cannot read the archive as ${why}`);

/**
 * The entries of an archive of `size` bytes.
 *
 * @throws {Deno.errors.InvalidData} where it is no zip archive, or a zip64 one (over 4 GiB).
 */
export async function zipEntries(read: ByteReader, size: number): Promise<ZipEntry[]> {
  const tailBytes = Math.min(size, 22 + 0xffff);
  const tail = await read(size - tailBytes, tailBytes);
  const end = view(tail);
  let at = tailBytes - 22;
  while (at >= 0 && end.getUint32(at, true) !== END) at--;
  if (at < 0) throw invalid("it has no directory at its end");
  const count = end.getUint16(at + 10, true);
  const bytes = end.getUint32(at + 12, true), offset = end.getUint32(at + 16, true);
  if (count === 0xffff || offset === 0xffffffff) throw invalid("zip64 is not supported");
  if (!(offset + bytes <= size)) throw invalid("its directory lies outside");
  const directory = await read(offset, bytes);
  const d = view(directory);
  const entries: ZipEntry[] = [];
  for (let i = 0, p = 0; i < count; i++) {
    if (!(p + 46 <= bytes && d.getUint32(p, true) === CENTRAL)) {
      throw invalid(`entry ${i} of its directory is damaged`);
    }
    const nameBytes = d.getUint16(p + 28, true);
    entries.push({
      name: new TextDecoder().decode(directory.subarray(p + 46, p + 46 + nameBytes)),
      method: d.getUint16(p + 10, true),
      crc32: d.getUint32(p + 16, true),
      compressedBytes: d.getUint32(p + 20, true),
      bytes: d.getUint32(p + 24, true),
      offset: d.getUint32(p + 42, true),
    });
    p += 46 + nameBytes + d.getUint16(p + 30, true) + d.getUint16(p + 32, true);
  }
  return entries;
}

/**
 * An entry's contents. The last chunk comes only where length and CRC-32 are right; otherwise the
 * stream fails with `Deno.errors.InvalidData`.
 */
export async function* readEntry(
  read: ByteReader,
  entry: ZipEntry,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (entry.method !== 0 && entry.method !== 8) {
    throw invalid(`"${entry.name}" is compressed by method ${entry.method}; 0 and 8 are supported`);
  }
  const local = view(await read(entry.offset, 30));
  if (local.getUint32(0, true) !== LOCAL) throw invalid(`"${entry.name}" has no header`);
  const start = entry.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  async function* compressed() {
    for (let at = 0; at < entry.compressedBytes; at += CHUNK) {
      yield await read(start + at, Math.min(CHUNK, entry.compressedBytes - at));
    }
  }
  const raw = ReadableStream.from(compressed());
  const plain = entry.method === 0 ? raw : raw.pipeThrough(new DecompressionStream("deflate-raw"));
  let crc = 0, bytes = 0;
  let held: Uint8Array<ArrayBuffer> | undefined;
  for await (const chunk of plain) {
    if (held) yield held;
    crc = crc32(chunk, crc);
    bytes += chunk.length;
    held = chunk;
  }
  if (bytes !== entry.bytes || crc !== entry.crc32) {
    throw invalid(
      `"${entry.name}" is damaged: ${bytes} bytes with CRC-32 ${crc.toString(16)}, ` +
        `must be ${entry.bytes} with ${entry.crc32.toString(16)}`,
    );
  }
  if (held) yield held;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
