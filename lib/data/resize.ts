import ndarray, { type NdArray } from "ndarray";
import { denseData } from "./dense.ts";
import { type Resampling, resizeTaps, type Taps } from "./resampling.ts";

export type { Resampling } from "./resampling.ts";

/** What to resize to; bicubic and antialiased unless said otherwise. */
export type ResizeOptions = { height: number; width: number } & Partial<Resampling>;

/**
 * Resizes images [N, H, W, C] to [N, height, width, C], first along x, then along y, with the
 * conventions of torch's `interpolate(align_corners=False)`, which with antialiasing are Pillow's
 * for images of floats. Values are not clipped.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import ndarray from "ndarray";
 * import { resizeImages } from "./resize.ts";
 *
 * const step = ndarray(Float32Array.of(0, 0, 1, 1), [1, 1, 4, 1]);
 * const half = resizeImages(step, { height: 1, width: 2, kernel: "bilinear", antialias: true });
 * assert.deepEqual([...half.data].map((v) => v.toFixed(4)), ["0.1429", "0.8571"]);
 * ```
 */
export function resizeImages(
  images: NdArray<Float32Array>,
  { height, width, kernel = "bicubic", antialias = true }: ResizeOptions,
): NdArray<Float32Array> {
  const [n, fromHeight, fromWidth, channels] = checkedShape(images, { height, width });
  const data = denseData(images);
  const resampling = { kernel, antialias };
  const wide = fromWidth === width
    ? data
    : along(data, resizeTaps({ from: fromWidth, to: width }, resampling), {
      lines: n * fromHeight,
      length: fromWidth,
      each: channels,
    });
  const out = fromHeight === height
    ? wide
    : along(wide, resizeTaps({ from: fromHeight, to: height }, resampling), {
      lines: n,
      length: fromHeight,
      each: width * channels,
    });
  return ndarray(out === data ? data.slice() : out, [n, height, width, channels]);
}

/** The shape of images that can be resized; RangeError for others. */
function checkedShape(
  images: NdArray,
  { height, width }: { height: number; width: number },
): number[] {
  const whole = [height, width].every((v) => Number.isInteger(v) && v >= 1);
  if (!(images.shape.length === 4 && images.size > 0 && whole)) {
    throw new RangeError(
      `Cannot resize images as they must be [N, H, W, C], and height and width whole numbers >= 1: ` +
        `shape is [${images.shape}], height is ${height}, width is ${width}`,
    );
  }
  return images.shape;
}

/** Resizes the middle axis of [lines, length, each]. */
function along(
  data: Float32Array,
  { first, count, weights, stride }: Taps,
  { lines, length, each }: { lines: number; length: number; each: number },
): Float32Array {
  const to = first.length;
  const out = new Float32Array(lines * to * each);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < to; i++) {
      const at = (line * to + i) * each;
      for (let k = 0; k < count[i]; k++) {
        const weight = weights[i * stride + k];
        const from = (line * length + first[i] + k) * each;
        for (let e = 0; e < each; e++) out[at + e] += weight * data[from + e];
      }
    }
  }
  return out;
}
