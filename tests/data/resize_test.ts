import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import type { Resampling } from "../../lib/data/resampling.ts";
import { resizeImages } from "../../lib/data/resize.ts";
import { resizeBytes } from "../../lib/data/resize_bytes.ts";
import { readNpz } from "../../lib/io/npz.ts";
import { findPython, runPython } from "../python.ts";

const sides = fc.integer({ min: 1, max: 13 });
const kernels: readonly Resampling["kernel"][] = ["box", "bilinear", "bicubic", "lanczos"];
const options = fc.record({
  height: sides,
  width: sides,
  kernel: fc.constantFrom(...kernels),
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

const python = await findPython("numpy", "PIL");
if ("missing" in python) console.log(`Pillow is not tried: ${python.missing}`);

// made by fixtures/make.py with Pillow 11.1.0
const stored = readNpz(await Deno.readFile(new URL("fixtures/resize.npz", import.meta.url)));
const storedCases = [...stored.keys()].filter((name) => !name.endsWith("picture")).map((name) => {
  const [channels, kernel, size, type] = name.split(".");
  const [height, width] = size.split("x").map(Number);
  const picture = stored.get(`${channels}.picture`)!;
  const { data } = stored.get(name)!;
  return {
    type,
    picture: ndarray(picture.data as Uint8Array, [...picture.shape]),
    to: { height, width, kernel: kernel as Resampling["kernel"] },
    resized: data as Uint8Array | Float32Array,
  };
});

Deno.test("resizeBytes() gives Pillow's bytes, stored ones", () => {
  const cases = storedCases.filter(({ type }) => type === "bytes");
  assert.equal(cases.length, 24);
  for (const { picture, to, resized } of cases) {
    assert.deepEqual(resizeBytes(picture, to).data, resized);
  }
});

Deno.test("resizeImages() gives Pillow's numbers for images of floats, stored ones", () => {
  const cases = storedCases.filter(({ type }) => type === "floats");
  assert.equal(cases.length, 12);
  for (const { picture, to, resized } of cases) {
    const [height, width] = picture.shape;
    const first = denseData(picture.pick(null, null, 0));
    const floats = ndarray(Float32Array.from(first, (v) => v / 127.5 - 1), [1, height, width, 1]);
    resizeImages(floats, to).data.forEach((v, i) =>
      assert.ok(Math.abs(v - resized[i]) < TOLERANCE, `${v} and ${resized[i]}`)
    );
  }
});

Deno.test({
  name: "resizeBytes() gives the bytes of the Pillow that is here, for 300 random shapes",
  ignore: "missing" in python,
  fn: async () => {
    if ("missing" in python) return;
    // along one axis at a time, since Pillow 13 takes them in another order for some shapes
    const code = `
import sys, numpy as np
from PIL import Image
random = np.random.default_rng(int(sys.argv[2]))
arrays = {}
for i in range(300):
    kernel = ["box", "bilinear", "bicubic", "lanczos"][i % 4]
    h, w, height, width = (int(v) for v in random.integers(1, 80, 4))
    picture = random.integers(0, 256, (h, w, 3), dtype=np.uint8)
    if i % 3 == 0:
        picture = (picture > 127).astype(np.uint8) * 255  # overshoots
    resample = Image.Resampling[kernel.upper()]
    wide = Image.fromarray(picture).resize((width, h), resample)
    arrays[f"{i}.{kernel}.picture"] = picture
    arrays[f"{i}.{kernel}.resized"] = np.asarray(wide.resize((width, height), resample))
np.savez(sys.argv[1], **arrays)`;
    const seed = Math.floor(Math.random() * 2 ** 31);
    const path = await Deno.makeTempFile({ suffix: ".npz" });
    await runPython(python.python, { code, args: [path, `${seed}`] });
    const arrays = [...readNpz(await Deno.readFile(path))];
    await Deno.remove(path);
    assert.equal(arrays.length, 600);
    for (let i = 0; i < arrays.length; i += 2) {
      const [[name, { data, shape }], [, resized]] = [arrays[i], arrays[i + 1]];
      const [height, width] = resized.shape, kernel = name.split(".")[1] as Resampling["kernel"];
      const actual = resizeBytes(ndarray(data as Uint8Array, [...shape]), {
        height,
        width,
        kernel,
      });
      const from = `${name} of seed ${seed}: [${shape}] to [${resized.shape}]`;
      assert.deepEqual(actual.data, resized.data, from);
    }
  },
});

Deno.test("resizeBytes() of a part is that part of the whole", () => {
  const arbitrary = fc.record({ height: sides, width: sides, kernel: fc.constantFrom(...kernels) })
    .chain((to) =>
      fc.record({ top: fc.nat(to.height - 1), left: fc.nat(to.width - 1) }).chain((corner) =>
        fc.record({
          to: fc.constant(to),
          crop: fc.record({
            top: fc.constant(corner.top),
            left: fc.constant(corner.left),
            height: fc.integer({ min: 1, max: to.height - corner.top }),
            width: fc.integer({ min: 1, max: to.width - corner.left }),
          }),
        })
      )
    );
  fc.assert(fc.property(sides, sides, arbitrary, fc.nat(99), (h, w, { to, crop }, seed) => {
    const bytes = Uint8Array.from(randomImages([h, w, 2], seed).data, (v) => v * 127 + 128);
    const picture = ndarray(bytes, [h, w, 2]);
    const part = resizeBytes(picture, to).lo(crop.top, crop.left, 0).hi(crop.height, crop.width, 2);
    assert.deepEqual(resizeBytes(picture, { ...to, crop }).data, denseData(part));
  }));
});

Deno.test("resizeBytes() refuses what is no picture and parts outside it", () => {
  const picture = ndarray(new Uint8Array(12), [2, 2, 3]), to = { height: 4, width: 4 };
  assert.throws(() => resizeBytes(ndarray(new Uint8Array(4), [2, 2]), to), /shape is \[2,2\]/);
  assert.throws(() => resizeBytes(picture, { ...to, width: NaN }), /width is NaN/);
  const crop = { top: 0, left: 3, height: 4, width: 2 };
  assert.throws(() => resizeBytes(picture, { ...to, crop }), {
    name: "RangeError",
    message:
      "Cannot crop the picture as the part must lie within its 4 pixels: it starts at 3 and has 2",
  });
});

Deno.test("resizeImages() keeps a plain image plain", () => {
  fc.assert(fc.property(sides, sides, options, (h, w, to) => {
    const out = resizeImages(ndarray(new Float32Array(h * w * 2).fill(0.3), [1, h, w, 2]), to);
    assert.deepEqual(out.shape, [1, to.height, to.width, 2]);
    assert.ok(out.data.every((v) => Math.abs(v - 0.3) < TOLERANCE));
  }));
});

Deno.test("resizeImages() of the mirror image is the mirror image, along both axes", () => {
  const symmetric = options.filter(({ kernel }) => kernel !== "box"); // a box takes one of its ends
  fc.assert(fc.property(sides, sides, symmetric, fc.nat(99), (h, w, to, seed) => {
    const images = randomImages([2, h, w, 3], seed);
    const turned = images.step(1, -1, -1, 1);
    const one = denseData(resizeImages(images, to).step(1, -1, -1, 1));
    const other = denseData(resizeImages(turned, to));
    one.forEach((v, i) => assert.ok(Math.abs(v - other[i]) < TOLERANCE));
  }));
});

Deno.test("resizeImages() to the same size changes nothing, with every kernel", () => {
  const images = randomImages([1, 5, 7, 3], 3);
  for (const kernel of kernels) {
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
