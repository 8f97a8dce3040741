import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import {
  chooseTile,
  neighborhoodAttention,
  neighborhoodAttentionWeights,
  neighborhoodGroups,
  type Tile,
  windowStart,
} from "../../lib/nn/neighborhood_attention.ts";
import { assertCentralDifferences, assertClose, assertNoLeak, random } from "./assert.ts";
import { assertSameWithGradients } from "./assert.ts";
import { attentionOnGrid } from "./grid_attention.ts";

await setEngine("cpu");

/** The rule itself, over all pairs of tokens: softmax over the keys of the window, no tiles. */
function denseOracle(kernelSize: number) {
  return (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor => {
    const [B, h, w, heads, d] = q.shape as [number, number, number, number, number];
    const sees = (i: number, j: number, length: number) => {
      const start = Math.min(Math.max(i - Math.floor(kernelSize / 2), 0), length - kernelSize);
      return j >= start && j < start + kernelSize;
    };
    const mask = tf.tensor(
      Array.from({ length: (h * w) ** 2 }, (_, at) => {
        const a = Math.floor(at / (h * w)), b = at % (h * w);
        const rows = sees(Math.floor(a / w), Math.floor(b / w), h);
        return rows && sees(a % w, b % w, w) ? 0 : -1e9;
      }),
      [h * w, h * w],
    );
    const flat = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [B, h * w, heads, d]), [0, 2, 1, 3]);
    const weights = tf.softmax(tf.add(tf.matMul(flat(q), flat(k), false, true), mask));
    const y = tf.transpose(tf.matMul(weights, flat(v)), [0, 2, 1, 3]);
    return tf.reshape(y, [B, h, w, heads, d]);
  };
}

function onGrid(h: number, w: number, kernelSize: number, tile?: Tile) {
  return (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => {
    const heads = q.shape[3]!;
    const options = { grid: [h, w], kernelSize, heads, ...(tile ? { tile } : {}) };
    return attentionOnGrid(neighborhoodAttention(options), { q, k, v });
  };
}

Deno.test("windowStart() shifts windows inwards at the borders", () => {
  const starts = [0, 1, 2, 3, 4, 5, 6].map((i) => windowStart(i, { length: 7, kernelSize: 5 }));
  assert.deepEqual(starts, [0, 0, 0, 1, 2, 2, 2]);
});

Deno.test("neighborhoodAttention() equals dense attention masked by the window rule, gradients too", () => {
  fc.assert(
    fc.property(
      fc.record({
        half: fc.integer({ min: 0, max: 4 }),
        h: fc.integer({ min: 1, max: 22 }),
        w: fc.integer({ min: 1, max: 22 }),
        heads: fc.integer({ min: 1, max: 3 }),
        B: fc.integer({ min: 1, max: 2 }),
      }),
      ({ half, h, w, heads, B }) => {
        const kernelSize = 2 * half + 1;
        fc.pre(kernelSize <= Math.min(h, w));
        tf.tidy(() => {
          const inputs = ["q", "k", "v"].map((name) => random([B, h, w, heads, 4], name));
          assertSameWithGradients(onGrid(h, w, kernelSize), denseOracle(kernelSize), inputs);
        });
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("neighborhoodAttention() equals the oracle whatever the tile, padded tiles and all", () => {
  const cases: [h: number, w: number, kernelSize: number, tile: Tile][] = [
    [16, 16, 7, [8, 8]],
    [17, 9, 3, [5, 7]], // last tiles of 2
    [12, 12, 7, [4, 4]], // the smallest tiles for k = 7: halos overlap
    [13, 5, 5, [5, 5]],
    [11, 21, 5, [11, 6]],
    [9, 9, 1, [2, 4]],
  ];
  for (const [h, w, kernelSize, tile] of cases) {
    tf.tidy(() => {
      const inputs = ["q", "k", "v"].map((name) => random([2, h, w, 2, 4], name));
      assertSameWithGradients(onGrid(h, w, kernelSize, tile), denseOracle(kernelSize), inputs);
    });
  }
});

Deno.test("chooseTile() leaves every tile enough real rows, and pads nothing where it need not", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 8 }), (h, half) => {
      const kernelSize = 2 * half + 1;
      fc.pre(kernelSize <= h);
      const [ty] = chooseTile({ grid: [h, kernelSize], kernelSize });
      const tiles = Math.ceil(h / ty), last = h - (tiles - 1) * ty;
      assert.ok(tiles === 1 || (ty > half && last > half), `tiles of ${ty}, the last ${last}`);
    }),
  );
  for (const side of [32, 64, 128, 256]) {
    assert.deepEqual(chooseTile({ grid: [side, side], kernelSize: 7 }), [8, 8]);
  }
});

Deno.test("neighborhoodGroups() has a constant number of keys and logits for each token, at any size", () => {
  for (const side of [32, 64, 128]) {
    const { tokens, keys, sees } = neighborhoodGroups({ grid: [side, side], kernelSize: 7 });
    assert.equal(keys.length / tokens, 14 * 14 / 64); // tiles of 8 × 8 and a halo of 3
    assert.equal(sees.length / tokens, 14 * 14);
  }
});

Deno.test("neighborhoodAttention() has a gradient inside the window and exactly none outside", () => {
  const [h, w, kernelSize] = [40, 24, 7];
  const [ty, tx] = chooseTile({ grid: [h, w], kernelSize });
  assert.ok(ty < h && tx < w); // several tiles on both axes
  for (const [y, x] of [[0, 0], [0, 23], [39, 0], [39, 23], [8, 7], [7, 8], [20, 12], [37, 1]]) {
    tf.tidy(() => {
      const [q, k, v] = ["q", "k", "v"].map((name) => random([1, h, w, 1, 4], name));
      const attend = onGrid(h, w, kernelSize);
      const [dk, dv] = tf.grads((k, v) =>
        tf.sum(tf.slice(attend(q, k, v), [0, y, x, 0, 0], [1, 1, 1, 1, 4]))
      )([k, v]);
      const y0 = windowStart(y, { length: h, kernelSize });
      const x0 = windowStart(x, { length: w, kernelSize });
      for (const gradient of [dk, dv]) {
        const size = tf.sum(tf.abs(gradient), [0, 3, 4]).arraySync() as number[][];
        for (let i = 0; i < h; i++) {
          for (let j = 0; j < w; j++) {
            const inside = i >= y0 && i < y0 + kernelSize && j >= x0 && j < x0 + kernelSize;
            assert.equal(size[i][j] !== 0, inside, `query (${y}, ${x}), key (${i}, ${j})`);
          }
        }
      }
    });
  }
});

Deno.test("neighborhoodAttention() has the gradients of central differences", () => {
  const inputs = ["q", "k", "v"].map((name) => random([1, 5, 4, 2, 2], name));
  assertCentralDifferences(onGrid(5, 4, 3), inputs);
  tf.dispose(inputs);
});

Deno.test("neighborhoodAttentionWeights() times the values of each window is the attention", () => {
  fc.assert(
    fc.property(
      fc.constantFrom([4, 4, 3], [7, 5, 5], [20, 6, 3], [24, 23, 7], [3, 3, 3]),
      ([h, w, kernelSize]) => {
        tf.tidy(() => {
          const [q, k, v] = ["q", "k", "v"].map((name) => random([2, h, w, 2, 3], name));
          const weights = neighborhoodAttentionWeights(q, k, { kernelSize })
            .arraySync() as number[][][][][][];
          const values = v.arraySync() as number[][][][][];
          const expected = onGrid(h, w, kernelSize)(q, k, v).arraySync() as number[][][][][];
          for (let at = 0; at < h * w; at++) {
            const y = Math.floor(at / w), x = at % w;
            const y0 = windowStart(y, { length: h, kernelSize });
            const x0 = windowStart(x, { length: w, kernelSize });
            let sum = 0, total = 0;
            for (let i = 0; i < kernelSize; i++) {
              for (let j = 0; j < kernelSize; j++) {
                const weight = weights[1][y][x][1][i][j];
                total += weight;
                sum += weight * values[1][y0 + i][x0 + j][1][2];
              }
            }
            assert.ok(Math.abs(total - 1) < 1e-5, `weights of (${y}, ${x}) sum to ${total}`);
            assert.ok(Math.abs(sum - expected[1][y][x][1][2]) < 1e-5);
          }
        });
      },
    ),
    { numRuns: 5 },
  );
});

Deno.test("neighborhoodAttention() refuses even kernels and kernels beyond the grid", () => {
  assert.throws(() => neighborhoodAttention({ grid: [8, 8], heads: 1, kernelSize: 4 }), {
    name: "RangeError",
    message: /odd and at least 1: kernelSize is 4/,
  });
  assert.throws(() => neighborhoodAttention({ grid: [8, 6], heads: 1, kernelSize: 7 }), {
    name: "RangeError",
    message: /kernelSize is 7, grid is 8 × 6/,
  });
  assert.throws(
    () => neighborhoodAttention({ grid: [8, 8], heads: 1, kernelSize: NaN }),
    RangeError,
  );
});

Deno.test("neighborhoodAttention() with one key in the window returns the values", () => {
  tf.tidy(() => {
    const [q, k, v] = ["q", "k", "v"].map((name) => random([1, 3, 5, 2, 4], name));
    assertClose(onGrid(3, 5, 1)(q, k, v), v);
  });
});

Deno.test("neighborhoodAttention() leaves no tensors behind", () => {
  const [q, k, v] = ["q", "k", "v"].map((name) => random([1, 20, 20, 1, 4], name));
  assertNoLeak(() => tf.tidy(() => onGrid(20, 20, 3)(q, k, v)));
  assertNoLeak(() => neighborhoodAttentionWeights(q, k, { kernelSize: 3 }));
  tf.dispose([q, k, v]);
});
