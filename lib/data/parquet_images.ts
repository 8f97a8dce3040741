import { parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import type { PicturePlaces } from "./pictures.ts";
import { readBytes } from "./read_bytes.ts";

type ParquetPlaces = Extract<PicturePlaces, { kind: "parquet" }>;

/** A Parquet file that is read by ranges. */
export type ParquetFile = { file: AsyncBuffer; metadata: FileMetaData };

/** Opens a Parquet file: its metadata are read, its data when they are asked for. */
export async function openParquetFile(path: string): Promise<ParquetFile> {
  const { size } = await Deno.stat(path);
  const file: AsyncBuffer = {
    byteLength: size,
    slice: async (from, to = size) => (await readBytes(path, { from, to })).buffer,
  };
  return { file, metadata: await parquetMetadataAsync(file) };
}

/** Rows `rowStart` to `rowEnd` of columns; bytes stay bytes. */
export function readRows(
  { file, metadata }: ParquetFile,
  options: { columns: string[]; rowStart: number; rowEnd: number },
): Promise<Record<string, unknown>[]> {
  const how = { compressors, utf8: false, useOffsetIndex: true };
  return parquetReadObjects({ file, metadata, ...options, ...how });
}

/** What was read last: files cannot be read a picture at a time. */
type Recent = {
  files: Map<number, Promise<ParquetFile>>;
  spans: Map<string, Promise<unknown[]>>;
};
const recents = new WeakMap<ParquetPlaces, Recent>();

/** Spans of rows that are kept for the pictures beside the one that was asked for. */
const KEPT = 4;

/**
 * The bytes of image `i`: a column of bytes, or Hugging Face's `{bytes, path}`.
 *
 * Rows are read a group at a time, or by 64 where the file has an index of its pages.
 *
 * Errors: TypeError where there are no bytes; what the reader throws where the file is damaged.
 */
export async function readParquetImage(places: ParquetPlaces, i: number): Promise<Uint8Array> {
  const recent = recents.get(places) ?? { files: new Map(), spans: new Map() };
  recents.set(places, recent);
  const { column } = places, number = places.file[i], row = places.row[i];
  const opened = recent.files.get(number) ?? openParquetFile(places.files[number]);
  recent.files.set(number, opened);
  const parquet = await opened;
  const { rowStart, rowEnd } = spanOf(parquet, { row, column });

  const key = `${number} ${rowStart}`;
  const span = recent.spans.get(key) ??
    readRows(parquet, { columns: [column], rowStart, rowEnd })
      .then((rows) => rows.map((own) => own[column]));
  recent.spans.delete(key);
  recent.spans.set(key, span); // now the last
  if (recent.spans.size > KEPT) recent.spans.delete(recent.spans.keys().next().value!);
  return bytesOf((await span)[row - rowStart]);
}

function spanOf(
  { metadata }: ParquetFile,
  { row, column }: { row: number; column: string },
): { rowStart: number; rowEnd: number } {
  let start = 0;
  for (const { num_rows, columns } of metadata.row_groups) {
    const end = start + Number(num_rows);
    if (row >= end) {
      start = end;
      continue;
    }
    const own = columns.filter(({ meta_data }) => meta_data?.path_in_schema[0] === column);
    if (!own.every(({ offset_index_offset }) => offset_index_offset)) {
      return { rowStart: start, rowEnd: end };
    }
    const rowStart = row - (row - start) % 64;
    return { rowStart, rowEnd: Math.min(rowStart + 64, end) };
  }
  throw new RangeError(`Cannot read row ${row} as the file has ${start}`);
}

function bytesOf(value: unknown): Uint8Array {
  const bytes = value instanceof Uint8Array ? value : (value as { bytes?: unknown } | null)?.bytes;
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError("Cannot decode the image: the row has no bytes");
}
