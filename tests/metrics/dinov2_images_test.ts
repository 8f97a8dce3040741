import assert from "node:assert/strict";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import { resizeBytes } from "../../lib/data/resize_bytes.ts";
import { normals } from "../../lib/engine/random.ts";
import {
  dinov2Bytes,
  dinov2Images,
  type Dinov2Preprocessing,
} from "../../lib/metrics/dinov2_images.ts";

const ways: Dinov2Preprocessing[] = [
  "dgm-eval",
  "dgm-eval-clean",
  "k-diffusion",
  "short-224",
  "short-256",
];
const MEAN = [0.485, 0.456, 0.406], DEVIATION = [0.229, 0.224, 0.225];

/** Noise that often leaves [-1, 1], [1, height, width, 3]. */
function noise(height: number, width: number): NdArray<Float32Array> {
  const size = height * width * 3;
  return ndarray(normals({ seed: 3, stream: "tests/dinov2-images" }, 0, size), [
    1,
    height,
    width,
    3,
  ]);
}

/** Values of [0, 1], before normalising. */
function undone(images: NdArray<Float32Array>): Float64Array {
  return Float64Array.from(denseData(images), (v, i) => v * DEVIATION[i % 3] + MEAN[i % 3]);
}

const range = (
  values: Float64Array,
) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];

Deno.test("dinov2Images() normalises by channel, whatever the way, and gives 224 × 224", () => {
  const colour = [51, 102, 204]; // a flat picture stays flat
  const images = ndarray(
    Float32Array.from({ length: 2 * 30 * 20 * 3 }, (_, i) => colour[i % 3] / 127.5 - 1),
    [2, 30, 20, 3],
  );
  for (const way of ways) {
    const out = dinov2Images(images, way);
    assert.deepEqual(out.shape, [2, 224, 224, 3], way);
    const off = denseData(out).reduce((worst, v, i) => {
      const wanted = (colour[i % 3] / 255 - MEAN[i % 3]) / DEVIATION[i % 3];
      return Math.max(worst, Math.abs(v - wanted));
    }, 0);
    assert.ok(off < 5e-6, `${way}: ${off}`);
  }
});

Deno.test("dinov2Images() rounds to bytes, clips or does neither, as each way has it", () => {
  const images = noise(40, 30);
  const isByte = (v: number) => Math.abs(v * 255 - Math.round(v * 255)) < 1e-3;
  for (const way of ways) {
    const values = undone(dinov2Images(images, way)), [least, largest] = range(values);
    const bytes = values.every(isByte);
    assert.equal(bytes, way !== "k-diffusion" && way !== "dgm-eval-clean", way);
    if (way === "k-diffusion") assert.ok(least < -0.3 && largest > 1.3, `${least} ${largest}`);
    else {assert.ok(
        Math.abs(least) < 1e-6 && Math.abs(largest - 1) < 1e-6,
        `${way}: ${least} ${largest}`,
      );}
  }
});

Deno.test("dinov2Images() gives each image what it gives it alone", () => {
  const two = ndarray(noise(40, 30).data, [2, 20, 30, 3]);
  for (const way of ways) {
    const both = dinov2Images(two, way), second = dinov2Images(two.lo(1).hi(1), way);
    assert.deepEqual(denseData(both.lo(1).hi(1)), denseData(second), way);
  }
});

Deno.test("dinov2Bytes() cuts the middle out of the whole resized picture, halves to the even side", () => {
  const picture = ndarray(
    Uint8Array.from(noise(61, 87).data, (v) => Math.min(255, Math.max(0, 128 + 60 * v))),
    [61, 87, 3],
  );
  // 87 / 61 · 224 = 319.5, so 319 wide: (319 − 224) / 2 = 47.5, cut at 48; 365 wide: 70.5, cut at 70
  for (
    const [way, short, long, top, left] of [
      ["short-224", 224, 319, 0, 48] as const,
      ["short-256", 256, 365, 16, 70] as const,
    ]
  ) {
    const whole = resizeBytes(picture, { height: short, width: long });
    const cut = whole.lo(top, left, 0).hi(224, 224, 3);
    assert.deepEqual(denseData(dinov2Bytes(picture, way)), denseData(cut), way);
    const turned = dinov2Bytes(picture.transpose(1, 0, 2), way); // upright: two passes in the other order
    assert.deepEqual(turned.shape, [224, 224, 3]);
  }
});
