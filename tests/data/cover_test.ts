import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { coverBytes } from "../../lib/data/cover.ts";
import { resizeBytes } from "../../lib/data/resize_bytes.ts";
import { readNpz } from "../../lib/io/npz.ts";
import { findPython, runPython } from "../python.ts";

const python = await findPython("numpy", "PIL");
if ("missing" in python) console.log(`Pillow is not tried: ${python.missing}`);

Deno.test({
  name: "coverBytes() of squares gives what Pillow gives by torchvision's arithmetic",
  ignore: "missing" in python,
  fn: async () => {
    if ("missing" in python) return;
    const code = `
import sys, numpy as np
from PIL import Image
random = np.random.default_rng(0)
arrays = {}
for i in range(60):
    h, w, size = (int(v) for v in random.integers(2, 60, 3))
    picture = random.integers(0, 256, (h, w, 3), dtype=np.uint8)
    height, width = (size, int(size * w / h)) if h <= w else (int(size * h / w), size)
    wide = Image.fromarray(picture).resize((width, h), Image.BICUBIC)  # see resize_test.ts
    top, left = int(round((height - size) / 2.0)), int(round((width - size) / 2.0))
    whole = wide.resize((width, height), Image.BICUBIC)
    arrays[f"{i}.picture"] = picture
    arrays[f"{i}.square"] = np.asarray(whole.crop((left, top, left + size, top + size)))
np.savez(sys.argv[1], **arrays)`;
    const path = await Deno.makeTempFile({ suffix: ".npz" });
    await runPython(python.python, { code, args: [path] });
    const arrays = readNpz(await Deno.readFile(path));
    await Deno.remove(path);
    for (let i = 0; i < 60; i++) {
      const { data, shape } = arrays.get(`${i}.picture`)!, square = arrays.get(`${i}.square`)!;
      const [height, width] = square.shape;
      const actual = coverBytes(ndarray(data as Uint8Array, [...shape]), { height, width });
      assert.deepEqual(actual.data, square.data, `${i}: [${shape}] to ${height}`);
    }
  },
});

Deno.test("coverBytes() has the shape asked for, and is a plain resize where nothing is cut", () => {
  const sides = fc.integer({ min: 1, max: 12 });
  fc.assert(fc.property(sides, sides, sides, sides, fc.nat(99), (h, w, height, width, seed) => {
    const bytes = Uint8Array.from({ length: h * w }, (_, i) => (i * 37 + seed * 101) % 251);
    const picture = ndarray(bytes, [h, w, 1]);
    const covered = coverBytes(picture, { height, width });
    assert.deepEqual(covered.shape, [height, width, 1]);
    if (h * width === w * height) {
      assert.deepEqual(covered.data, resizeBytes(picture, { height, width }).data);
    }
  }));
});
