import ndarray, { type NdArray } from "ndarray";
import { denseData } from "./dense.ts";

/** How pixels are weighed; `antialias` widens the kernel when shrinking, so that every pixel counts. */
export type Resampling = { kernel: "bilinear" | "bicubic"; antialias: boolean };

/** Keys' cubic kernel (1981), a = −0.5 or −0.75. */
function cubic(x: number, a: number): number {
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

/** For each output position the input positions that it is made of, and their weights. */
function taps(
  { from, to }: { from: number; to: number },
  { kernel, antialias }: Resampling,
): { index: number; weight: number }[][] {
  const scale = from / to;
  const widen = antialias ? Math.max(scale, 1) : 1;
  const reach = (kernel === "bicubic" ? 2 : 1) * widen;
  const a = antialias ? -0.5 : -0.75; // as torch has it, whether it shrinks or not
  const weigh = (x: number) => kernel === "bicubic" ? cubic(x, a) : Math.max(0, 1 - Math.abs(x));
  return Array.from({ length: to }, (_, i) => {
    const centre = scale * (i + 0.5) - 0.5; // in pixels of the input, whose centres are whole
    const own: { index: number; weight: number }[] = [];
    for (let j = Math.ceil(centre - reach); j <= Math.floor(centre + reach); j++) {
      const inside = j >= 0 && j < from;
      if (antialias && !inside) continue; // the kernel is cut off at the border
      const weight = weigh((j - centre) / widen);
      // without antialiasing the border's pixel goes on for ever
      if (weight !== 0) own.push({ index: Math.min(Math.max(j, 0), from - 1), weight });
    }
    const sum = own.reduce((s, { weight }) => s + weight, 0);
    return own.map(({ index, weight }) => ({ index, weight: weight / sum }));
  });
}

/**
 * Resizes images [N, H, W, C] to [N, height, width, C], first along x, then along y, with the
 * conventions of torch's `interpolate(align_corners=False)`. Values are not clipped.
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
  { height, width, kernel = "bicubic", antialias = true }:
    & { height: number; width: number }
    & Partial<Resampling>,
): NdArray<Float32Array> {
  const [n, fromHeight, fromWidth, channels] = images.shape;
  const whole = [height, width].every((v) => Number.isInteger(v) && v >= 1);
  if (!(images.shape.length === 4 && images.size > 0 && whole)) {
    throw new RangeError(
      `Cannot resize images as they must be [N, H, W, C], and height and width whole numbers >= 1: ` +
        `shape is [${images.shape}], height is ${height}, width is ${width}`,
    );
  }
  const data = denseData(images);
  if (height === fromHeight && width === fromWidth) {
    return ndarray(data.slice(), images.shape.slice());
  }

  const across = taps({ from: fromWidth, to: width }, { kernel, antialias });
  const wide = new Float32Array(n * fromHeight * width * channels);
  for (let row = 0; row < n * fromHeight; row++) {
    for (let x = 0; x < width; x++) {
      const to = (row * width + x) * channels;
      for (const { index, weight } of across[x]) {
        const from = (row * fromWidth + index) * channels;
        for (let c = 0; c < channels; c++) wide[to + c] += weight * data[from + c];
      }
    }
  }
  const down = taps({ from: fromHeight, to: height }, { kernel, antialias });
  const line = width * channels;
  const out = new Float32Array(n * height * line);
  for (let image = 0; image < n; image++) {
    for (let y = 0; y < height; y++) {
      const to = (image * height + y) * line;
      for (const { index, weight } of down[y]) {
        const from = (image * fromHeight + index) * line;
        for (let k = 0; k < line; k++) out[to + k] += weight * wide[from + k];
      }
    }
  }
  return ndarray(out, [n, height, width, channels]);
}
