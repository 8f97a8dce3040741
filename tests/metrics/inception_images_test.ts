import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import { inceptionInput, type InceptionPreprocessing } from "../../lib/metrics/inception_images.ts";

const preprocessings = fc.constantFrom<InceptionPreprocessing[]>("pytorch-fid", "k-diffusion");
const flat = (value: number) => ndarray(new Float32Array(4 * 6 * 3).fill(value), [1, 4, 6, 3]);

Deno.test("inceptionInput() of flat images is as each of the two scales it", () => {
  for (
    const [preprocessing, from, to] of [
      ["pytorch-fid", 0.5, 0.5],
      ["pytorch-fid", -1, -1],
      ["k-diffusion", 1, 127 / 128], // 255
      ["k-diffusion", -1, -1],
      ["k-diffusion", 0, -0.5 / 128], // 127.5
      ["k-diffusion", 1.5, 127 / 128], // clipped
      ["pytorch-fid", 1.5, 1.5], // not clipped
    ] as const
  ) {
    const { data, shape } = inceptionInput(flat(from), preprocessing);
    assert.deepEqual(shape, [1, 299, 299, 3]);
    assert.ok(
      data.every((v) => Math.abs(v - to) < 1e-6),
      `${preprocessing} of ${from}: ${data[0]}`,
    );
  }
});

Deno.test("inceptionInput() for pytorch-fid drops pixels of large images, for k-diffusion it weighs all", () => {
  const side = 5 * 299; // every fifth pixel is met by the middle of an output pixel
  const lines = ndarray(
    Float32Array.from({ length: side * 3 }, (_, i) => Math.floor(i / 3) % 5 === 2 ? 1 : -1),
    [1, 1, side, 3],
  );
  assert.ok(inceptionInput(lines, "pytorch-fid").data.every((v) => v === 1));
  const mean = (1 - 4) / 5; // of the pixels
  const smooth = inceptionInput(lines, "k-diffusion");
  const middle = smooth.get(0, 100, 100, 0);
  assert.ok(Math.abs(middle - ((mean * 127.5 + 127.5) - 128) / 128) < 0.05, `${middle}`);
});

Deno.test("inceptionInput() treats each image for itself", () => {
  fc.assert(
    fc.property(preprocessings, fc.integer({ min: 1, max: 8 }), (preprocessing, size) => {
      const each = size * size * 3;
      const both = normals({ seed: size, stream: "tests/inception-images" }, 0, 2 * each);
      const together = inceptionInput(ndarray(both, [2, size, size, 3]), preprocessing);
      const second = ndarray(both.slice(each), [1, size, size, 3]);
      assert.deepEqual(
        together.data.slice(299 * 299 * 3),
        inceptionInput(second, preprocessing).data,
      );
    }),
    { numRuns: 6 },
  );
});

Deno.test("inceptionInput() refuses other preprocessings", () => {
  const other = "clean-fid" as InceptionPreprocessing;
  assert.throws(
    () => inceptionInput(flat(0), other),
    /pytorch-fid or k-diffusion: it is clean-fid/,
  );
});
