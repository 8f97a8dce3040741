import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import { resizeImages } from "../../lib/data/resize.ts";

const sides = fc.integer({ min: 1, max: 13 });
const options = fc.record({
  height: sides,
  width: sides,
  kernel: fc.constantFrom("bilinear" as const, "bicubic" as const),
  antialias: fc.boolean(),
});
const TOLERANCE = 1e-5; // float32, two passes of up to some dozen taps

function randomImages(shape: number[], seed: number) {
  const data = Float32Array.from(
    { length: shape.reduce((a, b) => a * b) },
    (_, i) => Math.sin((i + 1) * (seed + 1) * 12.9898) % 1,
  );
  return ndarray(data, shape);
}

Deno.test("resizeImages() keeps a plain image plain", () => {
  fc.assert(fc.property(sides, sides, options, (h, w, to) => {
    const out = resizeImages(ndarray(new Float32Array(h * w * 2).fill(0.3), [1, h, w, 2]), to);
    assert.deepEqual(out.shape, [1, to.height, to.width, 2]);
    assert.ok(out.data.every((v) => Math.abs(v - 0.3) < TOLERANCE));
  }));
});

Deno.test("resizeImages() of the mirror image is the mirror image, along both axes", () => {
  fc.assert(fc.property(sides, sides, options, fc.nat(99), (h, w, to, seed) => {
    const images = randomImages([2, h, w, 3], seed);
    const turned = images.step(1, -1, -1, 1);
    const one = denseData(resizeImages(images, to).step(1, -1, -1, 1));
    const other = denseData(resizeImages(turned, to));
    one.forEach((v, i) => assert.ok(Math.abs(v - other[i]) < TOLERANCE));
  }));
});

Deno.test("resizeImages() to the same size changes nothing, with every kernel", () => {
  const images = randomImages([1, 5, 7, 3], 3);
  for (const kernel of ["bilinear", "bicubic"] as const) {
    for (const antialias of [true, false]) {
      const to = { height: 5, width: 7, kernel, antialias };
      assert.deepEqual([...resizeImages(images, to).data], [...images.data]);
    }
  }
});

Deno.test("resizeImages() with antialiasing keeps the mean when it halves far from borders", () => {
  const wave = Float32Array.from({ length: 64 }, (_, i) => i % 2); // the finest stripes there are
  const out = resizeImages(ndarray(wave, [1, 1, 64, 1]), { height: 1, width: 16 });
  for (const v of out.data.subarray(2, 14)) assert.ok(Math.abs(v - 0.5) < 0.02, `${v}`);
});

Deno.test("resizeImages() refuses what is no batch of images", () => {
  const image = ndarray(new Float32Array(12), [2, 2, 3]);
  assert.throws(() => resizeImages(image, { height: 2, width: 2 }), /shape is \[2,2,3\]/);
  const batch = ndarray(new Float32Array(12), [1, 2, 2, 3]);
  assert.throws(() => resizeImages(batch, { height: 0, width: 2 }), /height is 0/);
});

Deno.test("denseData() is row-major for any view, without a copy where that holds already", () => {
  const array = randomImages([3, 4, 5], 1);
  assert.equal(denseData(array).buffer, array.data.buffer);
  assert.deepEqual(denseData(array.pick(1, null, null)), array.data.subarray(20, 40));
  const view = array.transpose(2, 0, 1).step(-2, 1, 1).lo(0, 1, 0);
  const expected: number[] = [];
  for (let i = 0; i < view.shape[0]; i++) {
    for (let j = 0; j < view.shape[1]; j++) {
      for (let k = 0; k < view.shape[2]; k++) expected.push(view.get(i, j, k));
    }
  }
  assert.deepEqual([...denseData(view)], expected);
});
