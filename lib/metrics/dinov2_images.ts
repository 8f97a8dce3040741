/**
 * Images as DINOv2 takes them: 224 × 224, normalised by channel. How they are brought to that size
 * shows in every distance, so each of the ways in use is here, to the byte where it works in bytes.
 *
 * @module
 */
import ndarray, { type NdArray } from "ndarray";
import { coverBytes } from "../data/cover.ts";
import { denseData } from "../data/dense.ts";
import { resizeImages } from "../data/resize.ts";
import { resizeBytes } from "../data/resize_bytes.ts";
import { toBytes } from "../io/images.ts";

/**
 * How images become 224 × 224, by Pillow's bicubic with antialiasing:
 *
 * - `dgm-eval`: bytes, both sides resized whatever their ratio (Stein et al. 2023, the default of
 *   their dgm-eval);
 * - `dgm-eval-clean`: the same without rounding to bytes, as clean-fid resizes;
 * - `k-diffusion`: values of [-1, 1] as they are, resized by torch, not clipped;
 * - `short-224`: bytes, the shorter side to 224, the middle cut out;
 * - `short-256`: bytes, the shorter side to 256, the middle cut out (DINOv2's own evaluation).
 */
export type Dinov2Preprocessing = Dinov2BytePreprocessing | "dgm-eval-clean" | "k-diffusion";
/** Those that resize bytes to bytes. */
export type Dinov2BytePreprocessing = "dgm-eval" | "short-224" | "short-256";

const SIZE = 224;
const MEAN = [0.485, 0.456, 0.406].map(Math.fround); // of ImageNet, for values of [0, 1]
const DEVIATION = [0.229, 0.224, 0.225].map(Math.fround);

/**
 * Images [N, 224, 224, 3] normalised by channel, from images [N, H, W, 3] in [-1, 1].
 *
 * All ways but `k-diffusion` round to bytes first, as if the images had been saved.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import ndarray from "ndarray";
 * import { dinov2Images } from "./dinov2_images.ts";
 *
 * const black = ndarray(new Float32Array(8 * 8 * 3).fill(-1), [1, 8, 8, 3]);
 * const { data, shape } = dinov2Images(black, "dgm-eval");
 * assert.deepEqual(shape, [1, 224, 224, 3]);
 * assert.ok(Math.abs(data[0] - (0 - 0.485) / 0.229) < 1e-6);
 * ```
 */
export function dinov2Images(
  images: NdArray<Float32Array>,
  preprocessing: Dinov2Preprocessing,
): NdArray<Float32Array> {
  const [n, height, width] = images.shape;
  const square = { height: SIZE, width: SIZE };
  const values = denseData(images);
  switch (preprocessing) {
    case "k-diffusion": {
      const unit = ndarray(values.map((value) => Math.fround(value + 1) / 2), images.shape);
      return normalised(resizeImages(unit, square), 1);
    }
    case "dgm-eval-clean": {
      const bytes = ndarray(Float32Array.from(toBytes(values)), images.shape);
      const clipped = denseData(resizeImages(bytes, square))
        .map((value) => Math.min(255, Math.max(0, value)));
      return normalised(ndarray(clipped, [n, SIZE, SIZE, 3]), 255);
    }
    default: {
      const bytes = toBytes(values), each = height * width * 3;
      const out = new Float32Array(n * SIZE * SIZE * 3);
      for (let i = 0; i < n; i++) {
        const picture = ndarray(bytes.subarray(i * each, (i + 1) * each), [height, width, 3]);
        out.set(denseData(dinov2Bytes(picture, preprocessing)), i * SIZE * SIZE * 3);
      }
      return normalised(ndarray(out, [n, SIZE, SIZE, 3]), 255);
    }
  }
}

/** A picture [224, 224, 3] of bytes from one [H, W, 3], the same bytes as Pillow's. */
export function dinov2Bytes(
  picture: NdArray<Uint8Array>,
  preprocessing: Dinov2BytePreprocessing,
): NdArray<Uint8Array> {
  switch (preprocessing) {
    case "dgm-eval":
      return resizeBytes(picture, { height: SIZE, width: SIZE });
    case "short-224":
      return coverBytes(picture, { height: SIZE, width: SIZE });
    case "short-256": { // 16 pixels off each side of the square: where CenterCrop(224) cuts
      const square = coverBytes(picture, { height: 256, width: 256 });
      return square.lo(16, 16, 0).hi(SIZE, SIZE, 3);
    }
  }
}

/** (x / unit − mean) / deviation by channel, each step in float32 as torch has it. */
function normalised(images: NdArray<Float32Array>, unit: number): NdArray<Float32Array> {
  const out = denseData(images).map((value, i) =>
    Math.fround(Math.fround(value / unit) - MEAN[i % 3]) / DEVIATION[i % 3]
  );
  return ndarray(out, images.shape);
}
