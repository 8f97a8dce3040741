import assert from "node:assert/strict";
import fc from "fast-check";
import { inverse, Matrix } from "ml-matrix";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { patchify, type PatchSize, tokenMerge, unpatchify } from "../../lib/nn/token_merge.ts";
import { tokenSplitWithoutSkip } from "../../lib/nn/token_split.ts";
import { assertClose, assertSameWithGradients, random } from "./assert.ts";

await setEngine("cpu");

const shape = fc.record({
  B: fc.integer({ min: 1, max: 2 }),
  h: fc.integer({ min: 1, max: 4 }),
  w: fc.integer({ min: 1, max: 4 }),
  C: fc.integer({ min: 1, max: 5 }),
  patch: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
});

Deno.test("patchify() orders features by row in the patch, column in the patch, channel", () => {
  const image = tf.tensor([[[[1], [2], [3], [4]], [[5], [6], [7], [8]]]]); // 2 × 4, one channel
  const tokens = patchify(image, [2, 2]);
  assert.deepEqual(tokens.shape, [1, 1, 2, 4]);
  assert.deepEqual([...tokens.dataSync()], [1, 2, 5, 6, 3, 4, 7, 8]);
});

Deno.test("unpatchify() is the inverse of patchify() for any size, patch and width", () => {
  fc.assert(
    fc.property(shape, ({ B, h, w, C, patch }) => {
      tf.tidy(() => {
        const x = random([B, h * patch[0], w * patch[1], C]);
        const back = unpatchify(patchify(x, patch), patch);
        assert.deepEqual(back.shape, x.shape);
        assert.deepEqual(back.dataSync(), x.dataSync());
      });
    }),
  );
});

Deno.test("tokenSplit() with the inverse weights undoes tokenMerge(), for any learned projection", () => {
  fc.assert(
    fc.property(shape, fc.integer({ min: 0, max: 1e6 }), ({ B, h, w, C, patch }, seed) => {
      const patchSize: PatchSize = patch;
      const n = C * patch[0] * patch[1];
      tf.tidy(() => {
        // a random matrix near the identity is invertible and well conditioned
        const noise = random([n, n], `weight ${seed}`).dataSync();
        const weight = Matrix.from1DArray(n, n, Array.from(noise, (v) => 0.3 * v / Math.sqrt(n)))
          .add(Matrix.eye(n));
        const tensor = (m: Matrix) => tf.tensor(m.to1DArray(), [n, n]);
        const x = random([B, h * patch[0], w * patch[1], C]);
        const merged = tokenMerge({ proj: { weight: tensor(weight) } }, x, { patchSize });
        const back = tokenSplitWithoutSkip({ proj: { weight: tensor(inverse(weight)) } }, merged, {
          patchSize,
        });
        assertClose(back, x, { tolerance: 1e-4 }); // condition number of the weights times float32
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("tokenMerge() has the gradients of reshape, transpose and product", () => {
  assertSameWithGradients(
    (x, weight) => tokenMerge({ proj: { weight } }, x),
    (x, weight) => {
      const patches = tf.transpose(tf.reshape(x, [1, 2, 2, 3, 2, 2]), [0, 1, 3, 2, 4, 5]);
      const rows = tf.matMul(tf.reshape(patches, [6, 8]), weight, false, true);
      return tf.reshape(rows, [1, 2, 3, 5]);
    },
    [random([1, 4, 6, 2]), random([5, 8], "weight")],
  );
});

Deno.test("tokenMerge() and unpatchify() refuse grids and widths that the patch does not divide", () => {
  const proj = { weight: tf.zeros([3, 8]) };
  assert.throws(() => tokenMerge({ proj }, tf.zeros([1, 3, 4, 2])), {
    name: "RangeError",
    message: /patch is 2 × 2, grid is 3 × 4/,
  });
  assert.throws(() => unpatchify(tf.zeros([1, 3, 4, 6]), [2, 2]), {
    name: "RangeError",
    message: /features is 6/,
  });
});

Deno.test("patchify() and unpatchify() cut sound and video as they cut images", () => {
  tf.tidy(() => {
    const sound = tf.tensor([[[1], [2], [3], [4], [5], [6]]]); // 6 frames, one channel
    assert.deepEqual(patchify(sound, [3]).arraySync(), [[[1, 2, 3], [4, 5, 6]]]);
    const video = random([2, 4, 6, 2, 3]), patch = [2, 3, 1];
    const tokens = patchify(video, patch);
    assert.deepEqual(tokens.shape, [2, 2, 2, 2, 18]);
    assert.deepEqual(unpatchify(tokens, patch).dataSync(), video.dataSync());
    // frames of one patch hold what cutting each frame alone gives
    const frame = (t: number) =>
      tf.reshape(tf.slice(video, [0, t, 0, 0, 0], [2, 1, 6, 2, 3]), [2, 6, 2, 3]);
    const both = tf.concat([patchify(frame(2), [3, 1]), patchify(frame(3), [3, 1])], -1);
    const second = tf.reshape(tf.slice(tokens, [0, 1, 0, 0, 0], [2, 1, 2, 2, 18]), [2, 2, 2, 18]);
    assert.deepEqual(second.dataSync(), both.dataSync());
  });
  assert.throws(() => patchify(tf.zeros([1, 4, 4, 2]), [2]), /patch is 2, grid is 4 × 4/);
});
