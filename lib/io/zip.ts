/**
 * Reads zip archives that nobody vouches for: nothing is written to the disk, sizes are checked before anything is
 * allocated, and stored entries are views of the archive. (Ready-made readers copy stored entries and believe the
 * sizes that an archive states.)
 *
 * @module
 */
import { crc32, inflateRawSync } from "node:zlib";
import type { ByteSource } from "./byte_source.ts";

/** One file of an archive. */
export type ZipEntry = {
  /** Path with `/`: relative, without `.` or `..`. */
  name: string;
  /** Bytes once unpacked. */
  size: number;
  /** Where its bytes are in the archive, as they lie there. */
  place: { from: number; to: number; deflated: boolean };
  /** The bytes, their checksum verified. */
  read(): Uint8Array;
};

type Entry = {
  name: string;
  encodedName: Uint8Array;
  method: number; // 0: stored, 8: deflated
  crc: number;
  packed: number; // bytes in the archive
  size: number;
  header: number; // where the local header starts
};

const STORED = 0, DEFLATED = 8;
const END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50;
const DIRECTORY = 0x02014b50, LOCAL = 0x04034b50;
const MAX_DIRECTORY = 2 ** 28; // bytes; about three million entries
const MAX_INFLATED = 2 ** 31; // bytes of all deflated entries together
const MAX_RATIO = 1032; // that deflate can reach (zlib's technical notes)

/**
 * Lists the entries of a zip archive by name; zip64 included, deflated and stored entries. All deflated ones
 * together may have `maxInflated` bytes (default 2 GiB).
 *
 * Throws a RangeError where the archive is truncated, entries overlap or reach outside of it, or a checksum does not
 * hold (a checksum of 0 counts as none), and a TypeError where it has an encrypted entry, another compression,
 * or a path that is absolute or leaves its folder.
 *
 * Source: PKWARE's APPNOTE 6.3, sections 4.3 to 4.5.
 */
export function readZip(
  source: ByteSource,
  { maxInflated = MAX_INFLATED }: { maxInflated?: number } = {},
): Map<string, ZipEntry> {
  const { count, from, to } = findDirectory(source);
  const entries = new Map<string, Entry>();
  const bytes = source.read(from, to);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { entry, next } = directoryEntry(bytes, at);
    at = next;
    if (entries.has(entry.name)) throw wrong(`a name occurs twice: ${entry.name}`);
    entries.set(entry.name, entry);
  }
  if (!(at === bytes.length)) {
    throw wrong(`its directory has ${bytes.length} bytes, its ${count} entries ${at}`);
  }
  let end = 0, inflated = 0;
  const files = new Map<string, ZipEntry>();
  for (const entry of [...entries.values()].sort((a, b) => a.header - b.header)) {
    const span = dataOf(source, entry, from);
    if (!(entry.header >= end)) throw wrong(`entries overlap: ${entry.name}`);
    end = span.to;
    if (entry.method === DEFLATED) inflated += entry.size;
    if (!entry.name.endsWith("/")) files.set(entry.name, fileOf(source, entry, span));
  }
  if (!(inflated <= maxInflated)) {
    throw wrong(`it would unpack to ${inflated} bytes, ${maxInflated} are allowed`);
  }
  return files;
}

function fileOf(source: ByteSource, entry: Entry, span: { from: number; to: number }): ZipEntry {
  const { name, size, method, crc } = entry;
  if (!(method === STORED ? size === entry.packed : size <= entry.packed * MAX_RATIO + 64)) {
    throw wrong(`the size of ${name} cannot be true: ${size} bytes from ${entry.packed}`);
  }
  let bytes: Uint8Array | undefined;
  return {
    name,
    size,
    place: { ...span, deflated: method === DEFLATED },
    read() {
      if (bytes) return bytes;
      const packed = source.read(span.from, span.to);
      const unpacked = method === STORED ? packed : inflate(packed, entry);
      if (!(crc === 0 || crc32(unpacked) === crc)) {
        throw wrong(`the checksum of ${name} does not hold`);
      }
      return bytes = unpacked;
    },
  };
}

function inflate(packed: Uint8Array, { name, size }: Entry): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
  } catch (cause) {
    throw new RangeError(`Cannot read the zip archive as ${name} cannot be unpacked`, { cause });
  }
  if (bytes.length === size) return bytes;
  throw wrong(`${name} has ${bytes.length} bytes, ${size} were announced`);
}

/** The place of the directory, from the record at the end of the archive. */
function findDirectory(source: ByteSource): { count: number; from: number; to: number } {
  const start = Math.max(0, source.size - 22 - 0xffff); // the record, then a comment
  const tail = source.read(start, source.size);
  const view = viewOf(tail);
  let at = tail.length - 22;
  while (at >= 0 && !(u32(view, at) === END && at + 22 + u16(view, at + 20) === tail.length)) at--;
  if (!(at >= 0)) throw wrong("it has no directory: it is another format, or truncated");
  const locator = start + at - 20;
  const end64 = locator >= 0 ? findEnd64(source, locator) : undefined;
  const [count, size, from] = end64 ?? [u16(view, at + 10), u32(view, at + 12), u32(view, at + 16)];
  const limit = end64 ? locator : start + at;
  if (!(from + size <= limit && size <= MAX_DIRECTORY && count * 46 <= size)) {
    throw wrong(
      `its directory does not fit: ${count} entries in ${size} bytes from ${from}, the file has ${source.size}`,
    );
  }
  return { count, from, to: from + size };
}

/** Count of entries, size and place of the directory from the zip64 record, if there is one. */
function findEnd64(source: ByteSource, locator: number): [number, number, number] | undefined {
  const link = viewOf(source.read(locator, locator + 20));
  if (u32(link, 0) !== LOCATOR64) return undefined;
  const at = u64(link, 8);
  if (!(at + 56 <= locator)) throw wrong(`its zip64 record does not fit: it starts at ${at}`);
  const record = viewOf(source.read(at, at + 56));
  if (u32(record, 0) !== END64) throw wrong("its zip64 record is damaged");
  return [u64(record, 32), u64(record, 40), u64(record, 48)];
}

function directoryEntry(bytes: Uint8Array, at: number): { entry: Entry; next: number } {
  const view = viewOf(bytes);
  if (!(at + 46 <= bytes.length && u32(view, at) === DIRECTORY)) {
    throw wrong("its directory is damaged");
  }
  const nameEnd = at + 46 + u16(view, at + 28), extraEnd = nameEnd + u16(view, at + 30);
  const next = extraEnd + u16(view, at + 32);
  if (!(next <= bytes.length)) throw wrong("its directory is damaged");
  const encodedName = bytes.subarray(at + 46, nameEnd);
  const name = nameOf(encodedName);
  const method = u16(view, at + 10);
  if (u16(view, at + 8) & 1) throw refused(`${name} is encrypted`);
  if (!(method === STORED || method === DEFLATED)) {
    throw refused(`${name} must be stored or deflated: its compression is number ${method}`);
  }
  const entry: Entry = {
    name,
    encodedName,
    method,
    crc: u32(view, at + 16),
    packed: u32(view, at + 20),
    size: u32(view, at + 24),
    header: u32(view, at + 42),
  };
  widen(entry, viewOf(bytes.subarray(nameEnd, extraEnd)));
  return { entry, next };
}

/** Takes the sizes that need more than 32 bits from the zip64 field (APPNOTE 4.5.3). */
function widen(entry: Entry, extra: DataView): void {
  const wide = (["size", "packed", "header"] as const).filter((key) => entry[key] === 0xffffffff);
  if (wide.length === 0) return;
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = u16(extra, at + 2);
    if (u16(extra, at) === 1 && length >= 8 * wide.length && at + 4 + length <= extra.byteLength) {
      wide.forEach((key, i) => entry[key] = u64(extra, at + 4 + 8 * i));
      return;
    }
    at += 4 + length;
  }
  throw wrong(`the sizes of ${entry.name} are missing`);
}

/** Where the data of an entry are, from its local header. */
function dataOf(source: ByteSource, entry: Entry, limit: number): { from: number; to: number } {
  const { name, header, packed, encodedName, method } = entry;
  if (!(header + 30 <= limit)) throw wrong(`${name} reaches outside of the file`);
  const view = viewOf(source.read(header, header + 30));
  const nameLength = u16(view, 26);
  const from = header + 30 + nameLength + u16(view, 28);
  if (!(from + packed <= limit)) throw wrong(`${name} reaches outside of the file`);
  const again = source.read(header + 30, header + 30 + nameLength);
  const same = u32(view, 0) === LOCAL && u16(view, 8) === method &&
    again.length === encodedName.length && again.every((byte, i) => byte === encodedName[i]);
  if (!same) throw wrong(`the header of ${name} contradicts the directory`);
  return { from, to: from + packed };
}

function nameOf(encoded: Uint8Array): string {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(encoded);
  } catch {
    throw wrong("a name is not UTF-8");
  }
  const parts = name.replace(/\/$/, "").split("/");
  // deno-lint-ignore no-control-regex
  if (parts.some((part) => ["", ".", ".."].includes(part)) || /[\\:\x00-\x1f]/.test(name)) {
    throw refused(`a path must stay inside its folder: ${JSON.stringify(name)}`);
  }
  return name;
}

function wrong(what: string): RangeError {
  return new RangeError(`Cannot read the zip archive as ${what}`);
}

function refused(what: string): TypeError {
  return new TypeError(`Cannot read the zip archive as ${what}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const u16 = (view: DataView, at: number) => view.getUint16(at, true);
const u32 = (view: DataView, at: number) => view.getUint32(at, true);
function u64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw wrong(`a size cannot be true: ${value} bytes`);
}
