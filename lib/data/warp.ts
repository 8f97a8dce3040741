/** x′ = a x + b y + c, y′ = d x + e y + f, in pixels, whose centres are whole numbers. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** The pixel that stands at place `i` of a line of `n` that is mirrored at its end pixels for ever. */
function reflect(i: number, n: number): number {
  if (n === 1) return 0;
  const period = 2 * (n - 1);
  const at = Math.abs(i) % period;
  return at < n ? at : period - at;
}

/**
 * Warps a picture [H, W, C]: pixel (x, y) of the result is the picture at `matrix` · (x, y).
 *
 * Between pixels by Keys' cubic convolution (1981; a = −0.5, Catmull-Rom), outside by reflection
 * about the centres of the border's pixels. Values are not clipped, so that they may leave [-1, 1]
 * near sharp edges. These are the conventions of scikit-image's `warp(order=3, mode="reflect",
 * clip=False)` for matrices.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { warp } from "./warp.ts";
 *
 * const row = Float32Array.of(1, 2, 3, 4);
 * const moved = warp(row, { height: 1, width: 4, channels: 1, matrix: [1, 0, 1, 0, 1, 0] });
 * assert.deepEqual([...moved], [2, 3, 4, 3]);
 * ```
 */
export function warp(
  picture: Float32Array,
  { height, width, channels, matrix, out = new Float32Array(picture.length) }: {
    height: number;
    width: number;
    channels: number;
    matrix: Affine;
    /** Where the result goes, of the picture's length. */
    out?: Float32Array;
  },
): Float32Array {
  const size = height * width * channels;
  if (!(picture.length === size && out.length === size)) {
    throw new RangeError(
      `Cannot warp the picture as its length must be height × width × channels, ${size}: ` +
        `length is ${picture.length}, length of out is ${out.length}`,
    );
  }
  const [a, b, c, d, e, f] = matrix;
  const columns = new Int32Array(4), rows = new Int32Array(4);
  const across = new Float64Array(4), down = new Float64Array(4);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      place(a * x + b * y + c, { n: width, step: channels, offsets: columns, weights: across });
      place(d * x + e * y + f, { n: height, step: width * channels, offsets: rows, weights: down });
      const [w0, w1, w2, w3] = across;
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) {
          const row = rows[k] + channel;
          sum += down[k] * (w0 * picture[row + columns[0]] + w1 * picture[row + columns[1]] +
            w2 * picture[row + columns[2]] + w3 * picture[row + columns[3]]);
        }
        out[to] = sum;
      }
    }
  }
  return out;
}

/** The four pixels about place `at` of a line, and their weights. */
function place(
  at: number,
  { n, step, offsets, weights }: {
    n: number;
    step: number;
    offsets: Int32Array;
    weights: Float64Array;
  },
): void {
  const first = Math.floor(at) - 1;
  const inside = first >= 0 && first + 3 < n;
  for (let k = 0; k < 4; k++) {
    offsets[k] = (inside ? first + k : reflect(first + k, n)) * step;
  }
  const t = at - first - 1;
  weights[0] = ((-0.5 * t + 1) * t - 0.5) * t;
  weights[1] = (1.5 * t - 2.5) * t * t + 1;
  weights[2] = ((-1.5 * t + 2) * t + 0.5) * t;
  weights[3] = (0.5 * t - 0.5) * t * t;
}
