import { inflateRawSync } from "node:zlib";
import sharp from "sharp";
import { openImage, renderRgb } from "../io/images.ts";
import type { Size } from "./dataset.ts";
import { heightAndWidth } from "./dataset.ts";
import { rasteriseEmoji } from "./emoji_drawing.ts";
import type { PicturePlaces, PixelBlock } from "./pictures.ts";
import { readParquetImage } from "./parquet_images.ts";
import { readBytes } from "./read_bytes.ts";

/** A picture of [H, W, bytes] bytes, and the height and width that it had. */
export type DecodedPicture = { pixels: Uint8Array; from: readonly [number, number] };

/** What stands for the decoders in a cache's key: another version may decode to other values. */
export const DECODER = `vips ${sharp.versions.vips}, rsvg ${sharp.versions.rsvg}`;

/** How pictures are brought to a size: cut to the middle, the rest by a cubic kernel. */
const COVER: sharp.ResizeOptions = {
  fit: "cover",
  position: "centre",
  kernel: "cubic",
  fastShrinkOnLoad: false,
};

/**
 * Decodes one image file to [H, W, 3] bytes: it is resized until it just covers `size` by a cubic
 * kernel (Catmull-Rom, a = −0.5, widened when shrinking), then the centre is cut out. For a square
 * that is the shorter side resized to `size`.
 *
 * The reference does the same with Pillow's bicubic. libvips averages whole-number blocks first
 * where it shrinks to less than half, so values differ by a few levels near sharp edges.
 */
export async function decodeSquare(
  bytes: Uint8Array,
  { size }: { size: Size },
): Promise<Uint8Array> {
  const [height, width] = heightAndWidth(size);
  return (await renderRgb(openImage(bytes).resize(width, height, COVER))).data;
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
      return await resizePixels(places.block, { i, size, bytes });
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
async function resizePixels(
  block: PixelBlock,
  { i, size: [height, width], bytes }: {
    i: number;
    size: readonly [number, number];
    bytes: 1 | 3 | 4;
  },
): Promise<DecodedPicture> {
  const each = block.height * block.width * block.bytes;
  const own = block.data.subarray(i * each, (i + 1) * each);
  const raw = { width: block.width, height: block.height, channels: block.bytes };
  const same = height === block.height && width === block.width;
  const rgb = same && block.bytes === 3 ? own : (await renderRgb(
    sharp(own, { raw }).toColourspace("srgb").resize(width, height, COVER),
  )).data;
  return { pixels: bytes === 1 ? toGrey(rgb) : rgb, from: [block.height, block.width] };
}

/** Luma of [N, 3] bytes as Pillow has it (ITU-R 601-2); equal channels stay as they are. */
function toGrey(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    grey[i] = (19595 * rgb[at] + 38470 * rgb[at + 1] + 7471 * rgb[at + 2] + 0x8000) >> 16;
  }
  return grey;
}
