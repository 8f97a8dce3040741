import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import {
  axialPositions,
  downscalePositions,
  positionsAtPitch,
} from "../../lib/nn/axial_positions.ts";
import { axialRoPE, initAxialRoPE, rotaryTable } from "../../lib/nn/axial_rope.ts";
import { createParams } from "../../lib/nn/init.ts";
import { sincosPositions } from "../../lib/nn/sincos_positions.ts";
import { assertClose, random } from "./assert.ts";

await setEngine("cpu");

const rope = (dHead: number, heads: number) =>
  createParams<{ freqs: tf.Tensor }>(initAxialRoPE({ dHead, heads }), { seed: 0, stream: "" });
const at = (y: number, x: number) => tf.tensor([[y, x]]);

Deno.test("axialPositions() spans [−1, 1] on the longer side only", () => {
  const { data } = axialPositions([2, 4]);
  assert.deepEqual([...data].filter((_, i) => i % 2 === 1).slice(0, 4), [-0.75, -0.25, 0.25, 0.75]);
  assert.deepEqual([...data].filter((_, i) => i % 2 === 0), Array(8).fill(-0.25).fill(0.25, 4));
});

Deno.test("downscalePositions() gives the centres of the coarser grid, for any even sides", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (h, w) => {
      const coarse = downscalePositions(axialPositions([2 * h, 2 * w]));
      const centres = axialPositions([h, w]);
      coarse.data.forEach((v, i) => assert.ok(Math.abs(v - centres.data[i]) < 2e-7)); // one rounding
    }),
  );
  assert.throws(() => downscalePositions(axialPositions([3, 4])), /grid is 3 × 4/);
});

Deno.test("positionsAtPitch() keeps distances on every grid, centred, and is axialPositions() on its own", () => {
  const side = fc.integer({ min: 1, max: 24 });
  fc.assert(
    fc.property(side, side, side, side, (h, w, th, tw) => {
      const { data } = positionsAtPitch([h, w], { trainingGrid: [th, tw] });
      const pitch = 2 / Math.max(th, tw); // the longer side of the training grid spans [−1, 1]
      for (let i = 0; i < h * w; i++) {
        const y = (Math.floor(i / w) + 0.5 - h / 2) * pitch, x = (i % w + 0.5 - w / 2) * pitch;
        const off = Math.max(Math.abs(data[2 * i] - y), Math.abs(data[2 * i + 1] - x));
        assert.ok(off <= 2e-7 * Math.max(h, w), `cell ${i} is off by ${off}`); // float32
      }
      assert.deepEqual(
        positionsAtPitch([th, tw], { trainingGrid: [th, tw] }).data,
        axialPositions([th, tw]).data,
      );
    }),
  );
});

Deno.test("initAxialRoPE() deals out the range of frequencies that it is given", () => {
  const [lowest, highest] = [0.5, 8];
  const { freqs } = createParams<{ freqs: tf.Tensor }>(
    initAxialRoPE({ dHead: 32, heads: 2, frequencies: [lowest, highest] }),
    { seed: 0, stream: "" },
  );
  const sorted = [...freqs.dataSync()].sort((a, b) => a - b);
  sorted.forEach((f, i) => {
    const expected = Math.PI * lowest * (highest / lowest) ** (i / 8);
    assert.ok(Math.abs(f / expected - 1) < 1e-6, `frequency ${i}: ${f}, not ${expected}`);
  });
});

Deno.test("initAxialRoPE() has the frequencies of the reference for two heads of 64", () => {
  const freqs = rope(64, 2).freqs.arraySync() as number[][]; // computed with k-diffusion's formula
  const head0 = [3.1416, 4.1894, 5.5866, 7.4499, 9.9346, 13.248, 17.6665, 23.5586];
  freqs[0].forEach((f, i) => assert.ok(Math.abs(f - head0[i]) < 1e-4 * f));
  assert.ok(Math.abs(freqs[1][0] - 3.6279) < 1e-4 && Math.abs(freqs[1][7] - 27.2051) < 1e-3);
});

Deno.test("axialRoPE() keeps norms, and leaves the second half of a head as it is", () => {
  tf.tidy(() => {
    const x = random([2, 5, 3, 16]);
    const y = axialRoPE(x, rotaryTable(rope(16, 3), random([5, 2], "positions")));
    assertClose(tf.norm(y, 2, -1), tf.norm(x, 2, -1));
    const half = (z: tf.Tensor) => tf.slice(z, [0, 0, 0, 8], [2, 5, 3, 8]);
    assert.deepEqual(half(y).dataSync(), half(x).dataSync());
  });
});

Deno.test("axialRoPE() makes q · k depend on the relative position alone", () => {
  const coordinate = fc.double({ min: -1, max: 1, noNaN: true });
  fc.assert(
    fc.property(coordinate, coordinate, coordinate, coordinate, coordinate, coordinate, (...c) => {
      tf.tidy(() => {
        const [qy, qx, ky, kx, dy, dx] = c;
        const p = rope(32, 2);
        const [q, k] = [random([1, 1, 2, 32], "q"), random([1, 1, 2, 32], "k")];
        const product = (a: tf.Tensor, b: tf.Tensor) =>
          tf.sum(tf.mul(axialRoPE(q, rotaryTable(p, a)), axialRoPE(k, rotaryTable(p, b))), -1);
        assertClose(
          product(at(qy + dy, qx + dx), at(ky + dy, kx + dx)),
          product(at(qy, qx), at(ky, kx)),
          { tolerance: 1e-3 }, // angles reach 10 π · 2, rounded to float32
        );
      });
    }),
    { numRuns: 30 },
  );
});

Deno.test("axialRoPE() tables of different widths and heads in one process do not interfere", () => {
  tf.tidy(() => {
    const pos = random([4, 2], "pos");
    const before = rotaryTable(rope(16, 2), pos).cos.dataSync();
    rotaryTable(rope(8, 4), pos);
    rotaryTable(rope(16, 4), pos);
    assert.deepEqual(rotaryTable(rope(16, 2), pos).cos.dataSync(), before);
  });
});

Deno.test("sincosPositions() is the table of MAE and DiT: columns first, then rows", () => {
  const table = sincosPositions({ grid: [2, 3], width: 8 });
  const row = [...table.slice(5 * 8, 6 * 8)]; // cell (1, 2)
  const expected = [
    Math.sin(2),
    Math.sin(0.02),
    Math.cos(2),
    Math.cos(0.02),
    Math.sin(1),
    Math.sin(0.01),
    Math.cos(1),
    Math.cos(0.01),
  ];
  row.forEach((v, i) => assert.ok(Math.abs(v - expected[i]) < 1e-7));
  assert.throws(() => sincosPositions({ grid: [2, 2], width: 6 }), /multiple of 4: width is 6/);
});

Deno.test("axialPositions() and axialRoPE() take one and three axes: longest side [−1, 1], relative positions", () => {
  assert.deepEqual([...axialPositions([4]).data], [-0.75, -0.25, 0.25, 0.75]);
  const { data } = axialPositions([1, 4, 2]); // one frame of 4 × 2
  assert.deepEqual([...data.slice(0, 6)], [0, -0.75, -0.25, 0, -0.75, 0.25]);
  assert.deepEqual([...downscalePositions(axialPositions([8])).data], [-0.75, -0.25, 0.25, 0.75]);
  tf.tidy(() => {
    for (const axes of [1, 3]) {
      const p = createParams<{ freqs: tf.Tensor }>(
        initAxialRoPE({ dHead: 24, heads: 2, axes }),
        { seed: 0, stream: "" },
      );
      assert.deepEqual(p.freqs.shape, [2, 6 / axes]);
      const [q, k] = [random([1, 1, 2, 24], "q"), random([1, 1, 2, 24], "k")];
      const [a, b, by] = ["a", "b", "by"].map((name) => random([1, axes], name));
      const product = (a: tf.Tensor, b: tf.Tensor) =>
        tf.sum(tf.mul(axialRoPE(q, rotaryTable(p, a)), axialRoPE(k, rotaryTable(p, b))), -1);
      assertClose(product(tf.add(a, by), tf.add(b, by)), product(a, b), { tolerance: 1e-3 });
    }
  });
});
