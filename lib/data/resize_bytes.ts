import ndarray, { type NdArray } from "ndarray";
import { denseData } from "./dense.ts";
import { type Resampling, resizeTaps, type Taps } from "./resampling.ts";

/** Bits after the point of Pillow's weights: 32, less 8 of the pixel and 2 for overshoots. */
const PRECISION = 22;

/** A rectangle in pixels. */
export type Crop = { top: number; left: number; height: number; width: number };

/**
 * Resizes a picture [H, W, C] of bytes to [height, width, C], to the byte as Pillow does:
 * antialiased, weights in fixed point, first along x, then along y, rounded to bytes between.
 * With `crop` only that part of the resized picture is computed.
 *
 * Each channel stands for itself, whereas Pillow takes alpha into the colours before it resizes.
 * Pillow 13 goes first along y for some shapes, all versions before it as is done here.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import ndarray from "ndarray";
 * import { resizeBytes } from "./resize_bytes.ts";
 *
 * const step = ndarray(Uint8Array.of(0, 0, 255, 255), [1, 4, 1]);
 * assert.deepEqual([...resizeBytes(step, { height: 1, width: 2 }).data], [21, 234]);
 * ```
 */
export function resizeBytes(
  picture: NdArray<Uint8Array>,
  { height, width, kernel = "bicubic", crop = { top: 0, left: 0, height, width } }: {
    height: number;
    width: number;
    kernel?: Resampling["kernel"];
    crop?: Crop;
  },
): NdArray<Uint8Array> {
  const [fromHeight, fromWidth, channels] = picture.shape;
  const whole = [height, width].every((v) => Number.isInteger(v) && v >= 1);
  if (!(picture.shape.length === 3 && picture.size > 0 && whole)) {
    throw new RangeError(
      `Cannot resize the picture as it must be [H, W, C], and height and width whole numbers >= 1: ` +
        `shape is [${picture.shape}], height is ${height}, width is ${width}`,
    );
  }
  const data = denseData(picture);
  const options = { kernel, antialias: true };
  const down = cut(resizeTaps({ from: fromHeight, to: height }, options), crop.top, crop.height);
  const across = cut(resizeTaps({ from: fromWidth, to: width }, options), crop.left, crop.width);
  const row = down.first[0], rows = down.first.at(-1)! + down.count.at(-1)! - row;
  const used = data.subarray(row * fromWidth * channels, (row + rows) * fromWidth * channels);
  down.first.forEach((_, i, first) => first[i] -= row);

  const wide = along(used, across, { lines: rows, length: fromWidth, each: channels });
  const out = along(wide, down, { lines: 1, length: rows, each: crop.width * channels });
  return ndarray(out, [crop.height, crop.width, channels]);
}

/** The taps of `n` output pixels from `start` on. */
function cut({ first, count, weights, stride }: Taps, start: number, n: number): Taps {
  if (!(Number.isInteger(start) && start >= 0 && n >= 1 && start + n <= first.length)) {
    throw new RangeError(
      `Cannot crop the picture as the part must lie within its ${first.length} pixels: ` +
        `it starts at ${start} and has ${n}`,
    );
  }
  return {
    first: first.slice(start, start + n),
    count: count.slice(start, start + n),
    weights: weights.slice(start * stride, (start + n) * stride),
    stride,
  };
}

/** Resizes the middle axis of [lines, length, each]. */
function along(
  data: Uint8Array,
  { first, count, weights, stride }: Taps,
  { lines, length, each }: { lines: number; length: number; each: number },
): Uint8Array {
  const fixed = Int32Array.from(weights, (w) => w * 2 ** PRECISION + (w < 0 ? -0.5 : 0.5));
  const out = new Uint8ClampedArray(lines * first.length * each);
  for (let line = 0, to = 0; line < lines; line++) {
    for (let i = 0; i < first.length; i++) {
      const start = (line * length + first[i]) * each;
      const begin = i * stride, end = begin + count[i];
      for (let e = 0; e < each; e++) {
        let sum = 1 << (PRECISION - 1); // a half, so that the shift rounds
        for (let k = begin, from = start + e; k < end; k++, from += each) {
          sum = (sum + Math.imul(fixed[k], data[from])) | 0;
        }
        out[to++] = sum >> PRECISION;
      }
    }
  }
  return new Uint8Array(out.buffer);
}
