/**
 * What every format of data comes down to: a list of pictures that are not decoded yet, as plain
 * data. One path decodes, caches and splits them (`open_pictures.ts`).
 *
 * @module
 */

/** Pixels of many pictures of one size in one array: [N, height, width, bytes], row-major. */
export type PixelBlock = {
  /** In shared memory where it is to be sent to workers. */
  data: Uint8Array;
  height: number;
  width: number;
  /** Bytes of a pixel: grey, RGB, or RGB and alpha (not premultiplied). */
  bytes: 1 | 3 | 4;
};

/** Where the pictures of a list are: plain data, so that a worker can read them as well. */
export type PicturePlaces =
  /** Pixels in memory. */
  | { kind: "pixels"; block: PixelBlock }
  /** Image files, alone or in an archive: `length[i]` bytes from `from[i]` of `files[file[i]]`. */
  | {
    kind: "ranges";
    files: readonly string[];
    file: Uint32Array;
    from: Float64Array;
    length: Float64Array;
    /** Which of them are deflated there; none by default. */
    deflated?: Uint8Array;
  }
  /** Image files in a column of Parquet files: row `row[i]` of `files[file[i]]`. */
  | {
    kind: "parquet";
    files: readonly string[];
    column: string;
    file: Uint32Array;
    row: Uint32Array;
  }
  /** Emoji by name, to be drawn. */
  | { kind: "emoji"; names: readonly string[] };

/** Pictures as a format lists them. */
export type PictureList = {
  /** Of the data set. */
  name: string;
  /** What the messages call it, with its path: `folder of images "photos"`. */
  called: string;
  /** What the cache tells data sets apart by, such as the absolute path. */
  origin: string;
  places: PicturePlaces;
  /** What the user calls each picture: its path under the folder, its place in the file. */
  titles: readonly string[];
  /** One text a picture that changes whenever its bytes may have: what the cache knows it by. */
  stamps: readonly string[];
  /** Class of each picture, `NO_LABEL` where it alone has none; all 0 where there are no classes. */
  labels: Int32Array;
  /** Names of the classes; empty where pictures have none. */
  classes: readonly string[];
  /** Bytes of a decoded pixel: 1, 3, or 4 with alpha. */
  bytes: 1 | 3 | 4;
  /** Pictures of one family are never on both sides; each title is one by default. */
  families?: readonly string[];
  /** Which pictures are held out, where the format itself says so. */
  heldOut?: Uint8Array;
  warnings: readonly string[];
};

/** A zeroed array of bytes in memory that workers can share. */
export function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length));
}
