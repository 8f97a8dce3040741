import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { denseData } from "../../lib/data/dense.ts";
import { resizeImages } from "../../lib/data/resize.ts";
import { compile } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import { dinov2, type Dinov2Params } from "../../lib/metrics/dinov2.ts";
import { dinov2Positions } from "../../lib/metrics/dinov2_positions.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";
import { asStored, madeImages, madeWeights, plainDinov2 } from "./made_dinov2.ts";

const FLOAT32 = 2e-5; // sums in another order, a few layers deep, of numbers around 1

const base: Dinov2Spec = { width: 12, depth: 2, heads: 3, patch: 4, grid: 3, ffn: "gelu" };

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  return Array.from(a, (v, i) => Math.abs(v - b[i])).reduce((x, y) => y > x || y !== y ? y : x, 0);
}

for (const engine of ["cpu", "onnxruntime"] as const) {
  for (const ffn of ["gelu", "swiglu"] as const) {
    Deno.test(`dinov2() computes what plain loops do, ${ffn}, ${engine}`, async () => {
      await setEngine(engine);
      const spec = { ...base, ffn }, weights = madeWeights(spec, 20);
      const { params } = dinov2FromStateDict(asStored(weights), { heads: spec.heads });
      const images = madeImages([2, 12, 12, 3]);
      const run = compile(({ params, x }: { params: Dinov2Params; x: tf.Tensor4D }) =>
        dinov2(params, x, { heads: spec.heads }).tokens
      );
      const x = tf.tensor4d(images.data, [2, 12, 12, 3]);
      const tokens = await run({ params, x });
      assert.deepEqual(tokens.shape, [2, 10, 12]);
      const expected = [0, 1].flatMap((i) =>
        plainDinov2(weights, images.pick(i, null, null, null), spec)
      ).flat();
      const error = worst(await tokens.data(), expected);
      assert.ok(error < FLOAT32, `${error}`);
      tf.dispose([x, tokens]);
      run.dispose();
      treeDispose(params);
    });
  }
}

Deno.test("dinov2() refuses images that the patch does not divide", async () => {
  await setEngine("cpu");
  const { params } = dinov2FromStateDict(asStored(madeWeights(base, 20)), { heads: 3 });
  assert.throws(() => tf.tidy(() => void dinov2(params, tf.zeros([1, 12, 13, 3]), { heads: 3 })), {
    name: "RangeError",
    message: /patch is 4 × 4, grid is 12 × 13/,
  });
  treeDispose(params);
});

const sides = fc.integer({ min: 2, max: 9 });
const rules = fc.constantFrom("torch.hub" as const, "transformers" as const);

/** A table [1, 1 + M², 1] with 7 for the class token. */
const table = (values: ArrayLike<number>) =>
  tf.tensor3d([7, ...Array.from(values)], [1, values.length + 1, 1]);

Deno.test("dinov2Positions() resizes as torch does by the rule of transformers", async () => {
  await setEngine("cpu");
  fc.assert(fc.property(sides, sides, sides, (M, h, w) => {
    const values = madeImages([1, M, M, 1]);
    const out = tf.tidy(() =>
      dinov2Positions(table(values.data), { grid: [h, w], rule: "transformers" }).dataSync()
    );
    const expected = resizeImages(values, { height: h, width: w, antialias: false });
    assert.equal(out[0], 7);
    assert.ok(worst(out.slice(1), denseData(expected)) < 1e-5);
  }));
});

Deno.test("dinov2Positions() leaves the table alone on its own grid, and a level one level", async () => {
  await setEngine("cpu");
  fc.assert(fc.property(sides, sides, sides, rules, (M, h, w, rule) => {
    tf.tidy(() => {
      const given = table(madeImages([1, M, M, 1]).data);
      assert.equal(dinov2Positions(given, { grid: [M, M], rule }), given);
      const level = dinov2Positions(table(Array(M * M).fill(3)), { grid: [h, w], rule });
      assert.ok(level.dataSync().slice(1).every((v) => Math.abs(v - 3) < 1e-5));
    });
  }));
});

Deno.test("dinov2Positions() places a ramp's values where the rule of torch.hub says", async () => {
  await setEngine("cpu");
  const M = 37, [h, w] = [16, 20]; // the table of the published models, 224 × 280 pixels
  const bend = 0.05; // by which the kernel, a being −0.75, moves a straight line between its points
  const ramp = (at: (row: number, column: number) => number) => {
    const values = Float32Array.from({ length: M * M }, (_, i) => at(Math.floor(i / M), i % M));
    return tf.tidy(() =>
      dinov2Positions(table(values), { grid: [h, w], rule: "torch.hub" }).dataSync().slice(1)
    );
  };
  const place = (i: number, to: number) => (i + 0.5) * M / (to + 0.1) - 0.5;
  const rows = ramp((row) => row), columns = ramp((_, column) => column);
  for (let y = 1; y < h - 1; y++) {
    for (let x = 1; x < w - 1; x++) { // all but the border; without 0.1 the last would be 0.2 farther
      assert.ok(Math.abs(rows[y * w + x] - place(y, h)) < bend, `row of ${y}, ${x}`);
      assert.ok(Math.abs(columns[y * w + x] - place(x, w)) < bend, `column of ${y}, ${x}`);
    }
  }
});

Deno.test("dinov2() with positions by the two rules differs on other grids alone", async () => {
  await setEngine("cpu");
  const { params } = dinov2FromStateDict(asStored(madeWeights(base, 20)), { heads: 3 });
  const difference = ([h, w]: [number, number]) =>
    tf.tidy(() => {
      const images = tf.tensor4d(madeImages([1, h, w, 3]).data, [1, h, w, 3]);
      const [a, b] = (["torch.hub", "transformers"] as const)
        .map((positions) => dinov2(params, images, { heads: 3, positions }).tokens.dataSync());
      return worst(a, b);
    });
  assert.equal(difference([12, 12]), 0);
  assert.ok(difference([4, 36]) > 0.01, "as many patches, another grid");
  assert.ok(difference([8, 20]) > 0.01);
  treeDispose(params);
});
