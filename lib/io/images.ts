/**
 * Image files to arrays and back, by sharp (libvips).
 *
 * Channels last, as everywhere. A file is decoded to 8-bit sRGB with three channels: grey is
 * repeated, an embedded colour profile is applied, the EXIF orientation is respected, of an
 * animation the first frame is taken, and transparency is composited on white.
 *
 * @module
 */
import ndarray, { type NdArray } from "ndarray";
import sharp from "sharp";
import { denseData } from "../data/dense.ts";

/** Decoding stops before an image of more pixels than this (8,000 × 12,500), so that a small
 * hostile file cannot fill the memory. */
export const MAX_PIXELS = 100_000_000;

/** How every file is opened: a truncated or damaged image is an error, a mere warning is not. */
const OPEN: sharp.SharpOptions = { failOn: "error", limitInputPixels: MAX_PIXELS };

/** The decoding pipeline that all readers share; callers add what follows (such as a resize). */
export function openImage(bytes: Uint8Array): sharp.Sharp {
  if (bytes.length === 0) throw new TypeError("Cannot decode the image: the file is empty");
  return sharp(bytes, OPEN).autoOrient().flatten({ background: "#ffffff" }).toColourspace("srgb");
}

/**
 * Runs a pipeline made by `openImage` to its bytes: [H, W, 3], row-major.
 *
 * Errors: TypeError where the bytes are no image, or a damaged one.
 */
export async function renderRgb(pipeline: sharp.Sharp): Promise<NdArray<Uint8Array>> {
  let result: { data: Uint8Array; info: sharp.OutputInfo };
  try {
    result = await pipeline.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new TypeError(`Cannot decode the image: ${reason}`, { cause: error });
  }
  const { data, info: { width, height, channels } } = result;
  if (channels === 3) {
    return ndarray(new Uint8Array(data.buffer, data.byteOffset, data.length), [height, width, 3]);
  }
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) rgb.fill(data[i * channels], i * 3, i * 3 + 3);
  return ndarray(rgb, [height, width, 3]);
}

/**
 * Decodes a PNG, JPEG, WebP, GIF, TIFF or AVIF file to 8-bit RGB, [H, W, 3].
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import ndarray from "ndarray";
 * import { decodeImage, encodePng } from "./images.ts";
 *
 * const red = ndarray(Uint8Array.of(255, 0, 0, 255, 0, 0), [1, 2, 3]);
 * assert.deepEqual((await decodeImage(await encodePng(red))).data, red.data);
 * ```
 */
export async function decodeImage(bytes: Uint8Array): Promise<NdArray<Uint8Array>> {
  return await renderRgb(openImage(bytes));
}

/** Encodes 8-bit pixels [H, W, C] as a PNG file; C is 1 (grey), 3 (RGB) or 4 (RGB and alpha). */
export async function encodePng(pixels: NdArray<Uint8Array>): Promise<Uint8Array> {
  const [height, width, channels] = pixels.shape;
  if (!(pixels.shape.length === 3 && [1, 3, 4].includes(channels) && pixels.size > 0)) {
    throw new RangeError(
      `Cannot encode a PNG as pixels must be [H, W, C] with C of 1, 3 or 4: shape is [${pixels.shape}]`,
    );
  }
  const raw = { width, height, channels: channels as 1 | 3 | 4 };
  const image = sharp(denseData(pixels), { raw });
  const png = await (channels === 1 ? image.toColourspace("b-w") : image).png().toBuffer();
  return new Uint8Array(png.buffer, png.byteOffset, png.length);
}

/** Maps [-1, 1] to bytes, clipped and rounded; NaN becomes 0. */
export function toBytes(values: Float32Array): Uint8Array {
  const out = new Uint8ClampedArray(values.length); // clips, and rounds half to even
  for (let i = 0; i < values.length; i++) out[i] = (values[i] + 1) * 127.5;
  return new Uint8Array(out.buffer);
}

/**
 * Lays images out in rows, left to right, on white, and encodes the sheet as a PNG file.
 *
 * `images` is [N, H, W, C] in [-1, 1] (values outside are clipped), C is 1 or 3. `columns` is the
 * whole number next above √N unless given, `gap` is in pixels (default 2).
 */
export async function imageGrid(
  images: NdArray<Float32Array>,
  { columns, gap = 2 }: { columns?: number; gap?: number } = {},
): Promise<Uint8Array> {
  const [n, height, width, channels] = images.shape;
  if (!(images.shape.length === 4 && n >= 1 && (channels === 1 || channels === 3))) {
    throw new RangeError(
      `Cannot draw a grid as images must be [N, H, W, C] with N >= 1 and C of 1 or 3: ` +
        `shape is [${images.shape}]`,
    );
  }
  const across = columns ?? Math.ceil(Math.sqrt(n));
  if (!(Number.isInteger(across) && across >= 1 && Number.isInteger(gap) && gap >= 0)) {
    throw new RangeError(
      `Cannot draw a grid as columns must be a whole number >= 1 and gap one >= 0: ` +
        `columns is ${across}, gap is ${gap}`,
    );
  }
  const used = Math.min(across, n), down = Math.ceil(n / across);
  const sheetWidth = used * width + (used - 1) * gap;
  const sheetHeight = down * height + (down - 1) * gap;
  const sheet = new Uint8Array(sheetWidth * sheetHeight * channels).fill(255);
  const bytes = toBytes(denseData(images));
  for (let i = 0; i < n; i++) {
    const left = (i % across) * (width + gap), top = Math.floor(i / across) * (height + gap);
    for (let y = 0; y < height; y++) {
      const from = (i * height + y) * width * channels;
      sheet.set(
        bytes.subarray(from, from + width * channels),
        ((top + y) * sheetWidth + left) * channels,
      );
    }
  }
  return await encodePng(ndarray(sheet, [sheetHeight, sheetWidth, channels]));
}
