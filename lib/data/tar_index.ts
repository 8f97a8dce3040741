import type { ByteSource } from "../io/byte_source.ts";

/** A file in a tar archive: its bytes are `from` to `to` of the archive. */
export type TarEntry = { name: string; from: number; to: number };

const BLOCK = 512;
const MOST = 2 ** 20; // bytes of an extended header

/**
 * Lists the files of a tar archive without reading their bytes, which readers of streams do: ustar,
 * with long names and sizes as GNU tar and pax (POSIX.1-2001) write them.
 *
 * Errors: RangeError where the archive is truncated or damaged, TypeError where a path is absolute
 * or leaves its folder.
 */
export function indexTar(source: ByteSource): TarEntry[] {
  const entries: TarEntry[] = [];
  let at = 0, more: Extended = {};
  while (at + BLOCK <= source.size) {
    const header = source.read(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return entries; // the end mark
    checkHeader(header, { at });
    const from = at + BLOCK, to = from + (more.size ?? numberOf(header.subarray(124, 136)));
    if (!(to >= from && to <= source.size)) {
      throw wrong(
        `it is truncated: a file ends at byte ${to}, the archive has ${source.size} bytes`,
      );
    }
    at = from + Math.ceil((to - from) / BLOCK) * BLOCK;
    const type = String.fromCharCode(header[156]);
    if (type === "L" || type === "x") {
      if (!(to - from <= MOST)) {
        throw wrong(`a name may have ${MOST} bytes at most: it has ${to - from}`);
      }
      const bytes = source.read(from, to);
      more = type === "L" ? { ...more, path: textOf(bytes) } : { ...more, ...paxRecords(bytes) };
      continue;
    }
    if (type === "0" || type === "\0") { // the rest are folders, links and the like
      entries.push({ name: checkPath(more.path ?? nameOf(header)), from, to });
    }
    if (type !== "K" && type !== "g") more = {};
  }
  if (at < source.size) throw wrong(`it is truncated in a header at byte ${at}`);
  return entries;
}

/** What headers of their own say of the file after them. */
type Extended = { path?: string; size?: number };

function checkHeader(header: Uint8Array, { at }: { at: number }): void {
  let sum = 8 * 0x20; // the checksum itself counts as spaces
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i];
  if (sum !== numberOf(header.subarray(148, 156))) {
    throw wrong(`its header at byte ${at} is damaged, or it is another format`);
  }
}

/** Octal digits, or with the first bit set a big-endian number (GNU). */
function numberOf(field: Uint8Array): number {
  if (field[0] & 0x80) return field.reduce((n, byte, i) => n * 256 + (i === 0 ? 0 : byte), 0);
  const digits = textOf(field).trim();
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}

function nameOf(header: Uint8Array): string {
  const name = textOf(header.subarray(0, 100));
  const prefix = textOf(header.subarray(257, 263)) === "ustar" && header[262] === 0
    ? textOf(header.subarray(345, 500))
    : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Lines `LENGTH KEY=VALUE`, the length in bytes and of the whole line. */
function paxRecords(bytes: Uint8Array): Extended {
  const more: Extended = {};
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at), length = Number(textOf(bytes.subarray(at, space)));
    if (!(space > at && length > space - at && at + length <= bytes.length)) {
      throw wrong("an extended header is damaged");
    }
    const line = textOf(bytes.subarray(space + 1, at + length - 1)), equals = line.indexOf("=");
    const key = line.slice(0, equals), value = line.slice(equals + 1);
    if (key === "path") more.path = value;
    if (key === "size") more.size = Number(value);
    at += length;
  }
  return more;
}

function checkPath(path: string): string {
  const name = path.replace(/^(?:\.\/)+/, "");
  if (name.startsWith("/") || /\\|^[A-Za-z]:/.test(name) || name.split("/").includes("..")) {
    throw new TypeError(
      `Cannot read the tar archive as a path must stay inside its folder: ${JSON.stringify(path)}`,
    );
  }
  return name;
}

/** Text up to the first zero byte. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function wrong(what: string): RangeError {
  return new RangeError(`Cannot read the tar archive as ${what}`);
}
