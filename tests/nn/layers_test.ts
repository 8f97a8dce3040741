import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { dropout, randomDropout } from "../../lib/nn/dropout.ts";
import { fourierFeatures } from "../../lib/nn/fourier_features.ts";
import { globalAttention } from "../../lib/nn/global_attention.ts";
import { createParams, initEntries } from "../../lib/nn/init.ts";
import { initLinear, type LinearParams } from "../../lib/nn/linear.ts";
import { shiftedWindowAttention } from "../../lib/nn/shifted_window_attention.ts";
import { joinSkip, lerpSkip } from "../../lib/nn/skips.ts";
import { assertClose, assertNoLeak, assertSameWithGradients, random } from "./assert.ts";
import { attentionOnGrid } from "./grid_attention.ts";

await setEngine("cpu");

Deno.test("initLinear() draws from U(±1/√in), the same for the same path whatever else exists", () => {
  const random = { seed: 3, stream: "model" };
  const layer = initLinear({ inFeatures: 16, outFeatures: 8 });
  const alone = createParams<{ a: LinearParams }>({ a: layer }, random);
  const both = createParams<{ b: LinearParams; a: LinearParams }>({ b: layer, a: layer }, random);
  const a = alone.a.weight.dataSync();
  assert.deepEqual(both.a.weight.dataSync(), a);
  assert.notDeepEqual(both.b.weight.dataSync(), a);
  assert.ok(a.every((v) => Math.abs(v) <= 0.25) && a.some((v) => Math.abs(v) > 0.2));
  assert.deepEqual(initEntries({ b: layer, a: layer }).map(([path]) => path), [
    "b.weight",
    "a.weight",
  ]);
});

Deno.test("fourierFeatures() of zeros are ones and zeros", () => {
  const out = fourierFeatures({ weight: random([3, 9]) }, tf.zeros([1, 9]));
  assert.deepEqual([...out.dataSync()].map(Math.abs), [1, 1, 1, 0, 0, 0]);
});

Deno.test("globalAttention() lets the order of the tokens go", () => {
  tf.tidy(() => {
    const [q, k, v] = ["q", "k", "v"].map((name) => random([1, 3, 4, 2, 4], name));
    const { attend } = globalAttention();
    const flip = (x: tf.Tensor) => tf.reverse(tf.reshape(x, [1, 12, 2, 4]), 1);
    const flat = (x: tf.Tensor) => tf.reshape(x, [1, 12, 2, 4]);
    assertClose(
      tf.reverse(attend(flip(q), flip(k), flip(v), 0), 1),
      attend(flat(q), flat(k), flat(v), 0),
    );
  });
});

Deno.test("shiftedWindowAttention() equals dense attention within the windows, shifted on odd layers", () => {
  const [h, w, windowSize] = [8, 12, 4];
  for (const layer of [0, 1]) {
    const shift = layer * 2;
    const windowOf = (at: number) => {
      const y = Math.floor(at / w), x = at % w;
      // the grid moves down and right by the shift; windows at its ends do not wrap around
      return `${Math.floor((y + shift) / windowSize)},${Math.floor((x + shift) / windowSize)}`;
    };
    const mask = tf.tensor(
      Array.from(
        { length: (h * w) ** 2 },
        (_, i) => windowOf(Math.floor(i / (h * w))) === windowOf(i % (h * w)) ? 0 : -1e9,
      ),
      [h * w, h * w],
    );
    const flat = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [2, h * w, 2, 4]), [0, 2, 1, 3]);
    const attention = shiftedWindowAttention({ grid: [h, w], windowSize, heads: 2 });
    assertSameWithGradients(
      (q, k, v) => attentionOnGrid(attention, { q, k, v, layer }),
      (q, k, v) => {
        const P = tf.softmax(tf.add(tf.matMul(flat(q), flat(k), false, true), mask));
        return tf.reshape(tf.transpose(tf.matMul(P, flat(v)), [0, 2, 1, 3]), [2, h, w, 2, 4]);
      },
      ["q", "k", "v"].map((name) => random([2, h, w, 2, 4], name)),
    );
  }
});

Deno.test("shiftedWindowAttention() refuses windows that do not tile the grid", () => {
  assert.throws(() => shiftedWindowAttention({ grid: [12, 8], windowSize: 8, heads: 1 }), {
    name: "RangeError",
    message: /windowSize is 8, grid is 12 × 8/,
  });
});

Deno.test("lerpSkip() is the skip at 0, the upsampled stream at 1, and their mean at ½", () => {
  const [skip, up] = [random([2, 3, 4], "skip"), random([2, 3, 4], "up")];
  assertClose(lerpSkip({ fac: tf.tensor([0]) }, skip, up), skip, { tolerance: 0 });
  assertClose(lerpSkip({ fac: tf.tensor([1]) }, skip, up), up, { tolerance: 1e-6 });
  assertClose(lerpSkip({ fac: tf.tensor([0.5]) }, skip, up), tf.div(tf.add(skip, up), 2));
});

Deno.test("joinSkip() with concat equals one projection of the concatenation", () => {
  assertSameWithGradients(
    (skip, up, weight) => joinSkip({ skip_proj: { weight } }, { kind: "concat", skip, up }),
    (skip, up, weight) => {
      const both = tf.reshape(tf.concat([skip, up], -1), [6, 8]);
      return tf.reshape(tf.matMul(both, weight, false, true), [2, 3, 4]);
    },
    [random([2, 3, 4], "skip"), random([2, 3, 4], "up"), random([4, 8], "weight")],
  );
});

Deno.test("dropout() keeps the mean, drops its share, and repeats itself for the same counter", () => {
  tf.tidy(() => {
    const x = tf.ones([100, 100]);
    const source = randomDropout({ seed: 1, stream: "dropout" }, 5);
    const options = { source, site: "mid_level.0.ff", rate: 0.25 };
    const once = dropout(x, options).dataSync();
    const dropped = once.filter((v) => v === 0).length / once.length;
    assert.ok(Math.abs(dropped - 0.25) < 0.02, `dropped ${dropped}`); // 4.6 standard deviations
    assert.ok(once.every((v) => v === 0 || Math.abs(v - 4 / 3) < 1e-6));
    assert.deepEqual(dropout(x, options).dataSync(), once);
    assert.notDeepEqual(dropout(x, { ...options, site: "mid_level.1.ff" }).dataSync(), once);
    assert.equal(dropout(x, { ...options, source: undefined }), x);
  });
});

Deno.test("shiftedWindowAttention() and globalAttention() leave no tensors behind", () => {
  const [q, k, v] = ["q", "k", "v"].map((name) => random([1, 4, 4, 1, 4], name));
  assertNoLeak(() =>
    tf.tidy(() => {
      const windows = shiftedWindowAttention({ grid: [4, 4], windowSize: 2, heads: 1 });
      return [
        attentionOnGrid(windows, { q, k, v, layer: 1 }),
        attentionOnGrid(globalAttention(), { q, k, v }),
      ];
    })
  );
});
