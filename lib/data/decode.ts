import { inflateRawSync } from "node:zlib";
import ndarray from "ndarray";
import sharp from "sharp";
import { openImage, renderRgb } from "../io/images.ts";
import { coverBytes } from "./cover.ts";
import type { Size } from "./dataset.ts";
import { heightAndWidth } from "./dataset.ts";
import { rasteriseEmoji } from "./emoji_drawing.ts";
import type { PicturePlaces, PixelBlock } from "./pictures.ts";
import { readParquetImage } from "./parquet_images.ts";
import { readBytes } from "./read_bytes.ts";

/** A picture of [H, W, bytes] bytes, and the height and width that it had. */
export type DecodedPicture = { pixels: Uint8Array; from: readonly [number, number] };

/** What stands for the decoders in a cache's key: another version may decode to other values. */
export const DECODER = `pillow, vips ${sharp.versions.vips}, rsvg ${sharp.versions.rsvg}`;

/** Pictures of more pixels are made smaller by libvips first, which is many times as fast. */
const EXACT_PIXELS = 2_000_000;
/** How many times larger than what is wanted they stay then. */
const MARGIN = 4;

/**
 * Decodes one image file to [H, W, 3] bytes: it is resized until it just covers `size`, then the centre is cut out. For
 * a square that is the shorter side resized to `size`.
 *
 * Up to 2 megapixels the values are those of Pillow's bicubic, as the reference has them (see `coverBytes`); a
 * larger picture is first made a whole number of times smaller by libvips, where that leaves 4 times the size.
 */
export async function decodeSquare(
  bytes: Uint8Array,
  { size }: { size: Size },
): Promise<Uint8Array> {
  const [height, width] = heightAndWidth(size);
  const pixels = await renderRgb(await reduced(bytes, { height, width }));
  return coverBytes(pixels, { height, width }).data;
}

async function reduced(
  bytes: Uint8Array,
  { height, width }: { height: number; width: number },
): Promise<sharp.Sharp> {
  const image = openImage(bytes);
  const from = await image.metadata().then((known) => known.autoOrient, () => undefined);
  if (!from || from.width * from.height <= EXACT_PIXELS) return image; // what is no image is said when rendered
  const times = Math.floor(Math.min(from.height / height, from.width / width) / MARGIN);
  if (times < 2) return image;
  const small = [from.width, from.height].map((side) => Math.round(side / times));
  return image.resize(small[0], small[1], {
    fit: "fill",
    kernel: "cubic",
    fastShrinkOnLoad: false,
  });
}

/**
 * Decodes, or draws, picture `i` of a list at a size; `bytes` is what a pixel of it takes.
 *
 * Errors: TypeError where it is no image or a damaged one; the system's where it cannot be read.
 */
export async function decodePicture(
  places: PicturePlaces,
  { i, size, bytes }: { i: number; size: readonly [number, number]; bytes: 1 | 3 | 4 },
): Promise<DecodedPicture> {
  switch (places.kind) {
    case "emoji":
      return { pixels: await rasteriseEmoji(places.names[i], { size }), from: size };
    case "pixels":
      return resizePixels(places.block, { i, size, bytes });
    case "ranges":
      return await decodeFile(await readRange(places, i), { size, bytes });
    case "parquet":
      return await decodeFile(await readParquetImage(places, i), { size, bytes });
  }
}

/** Unpacked pictures are smaller than this, whatever an archive says. */
const MAX_INFLATED = 2 ** 28;

async function readRange(
  { files, file, from, length, deflated }: Extract<PicturePlaces, { kind: "ranges" }>,
  i: number,
): Promise<Uint8Array> {
  const packed = await readBytes(files[file[i]], { from: from[i], to: from[i] + length[i] });
  return deflated?.[i] ? inflateRawSync(packed, { maxOutputLength: MAX_INFLATED }) : packed;
}

async function decodeFile(
  file: Uint8Array,
  { size, bytes }: { size: readonly [number, number]; bytes: 1 | 3 | 4 },
): Promise<DecodedPicture> {
  const rgb = await decodeSquare(file, { size });
  const { autoOrient: { width, height } } = await sharp(file).metadata();
  return { pixels: bytes === 1 ? toGrey(rgb) : rgb, from: [height, width] };
}

/** Picture `i` of a block at another size, or with other channels. */
function resizePixels(
  block: PixelBlock,
  { i, size: [height, width], bytes }: {
    i: number;
    size: readonly [number, number];
    bytes: 1 | 3 | 4;
  },
): DecodedPicture {
  const each = block.height * block.width * block.bytes;
  const own = block.data.subarray(i * each, (i + 1) * each);
  const from = ndarray(own, [block.height, block.width, block.bytes]);
  const sized = coverBytes(from, { height, width }).data;
  const rgb = block.bytes === 3 ? sized : threefold(sized);
  return { pixels: bytes === 1 ? toGrey(rgb) : rgb, from: [block.height, block.width] };
}

/** Grey bytes as three equal channels. */
function threefold(grey: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: 3 * grey.length }, (_, i) => grey[Math.floor(i / 3)]);
}

/** Luma of [N, 3] bytes as Pillow has it (ITU-R 601-2); equal channels stay as they are. */
function toGrey(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    grey[i] = (19595 * rgb[at] + 38470 * rgb[at + 1] + 7471 * rgb[at + 2] + 0x8000) >> 16;
  }
  return grey;
}
