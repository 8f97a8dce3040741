/** Every kind of attention against its rule, written down a second time as a predicate of two cells. */
import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { attentionKind, type AttentionSpec } from "../../lib/nn/attention_spec.ts";
import { neighborhoodGroups } from "../../lib/nn/neighborhood_attention.ts";
import { slidingWindowAttention } from "../../lib/nn/sliding_window_attention.ts";
import {
  assertCentralDifferences,
  assertNoLeak,
  assertSameWithGradients,
  random,
} from "./assert.ts";
import { attentionOnGrid } from "./grid_attention.ts";

await setEngine("cpu");

type Cell = { y: number; x: number };
type Sides = { h: number; w: number };
type Attends = Exclude<AttentionSpec, { kind: "none" }>;

/** Whether a query sees a key, axis by axis where the kind allows. */
function sees(
  spec: Attends,
  { h, w, layer }: Sides & { layer: number },
): (query: Cell, key: Cell) => boolean {
  const both = (rule: (i: number, j: number, length: number) => boolean) => (a: Cell, b: Cell) =>
    rule(a.y, b.y, h) && rule(a.x, b.x, w);
  switch (spec.kind) {
    case "global":
      return () => true;
    case "axial":
      return (a, b) => layer % 2 === 0 ? a.y === b.y : a.x === b.x;
    case "sliding-window":
      return both((i, j) => Math.abs(i - j) <= (spec.kernelSize - 1) / 2);
    case "shifted-window": {
      // the windows' edges move down and right; those at the ends do not wrap around
      const shift = layer % 2 === 0 ? 0 : Math.floor(spec.windowSize / 2);
      const window = (i: number) => Math.floor((i + shift) / spec.windowSize);
      return both((i, j) => window(i) === window(j));
    }
    case "neighborhood": {
      // NATTEN: the centre is clamped half a window from the ends of the query's residue class
      const { kernelSize, dilation = 1 } = spec, half = (kernelSize - 1) / 2;
      return both((i, j, length) => {
        if (i % dilation !== j % dilation) return false;
        const members = Math.ceil((length - i % dilation) / dilation);
        const own = Math.floor(i / dilation);
        const centre = Math.min(Math.max(own, half), members - 1 - half);
        return Math.abs(Math.floor(j / dilation) - centre) <= half;
      });
    }
  }
}

/** Dense attention over all pairs of cells, with a mask from the rule. */
function oracle(spec: Attends, at: Sides & { layer: number }) {
  const { h, w } = at, rule = sees(spec, at);
  const cell = (i: number) => ({ y: Math.floor(i / w), x: i % w });
  const mask = tf.tensor(
    Array.from(
      { length: (h * w) ** 2 },
      (_, i) => rule(cell(Math.floor(i / (h * w))), cell(i % (h * w))) ? 0 : -1e9,
    ),
    [h * w, h * w],
  );
  return (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor => {
    const [B, , , heads, d] = q.shape as [number, number, number, number, number];
    const flat = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [B, h * w, heads, d]), [0, 2, 1, 3]);
    const P = tf.softmax(tf.add(tf.matMul(flat(q), flat(k), false, true), mask));
    return tf.reshape(tf.transpose(tf.matMul(P, flat(v)), [0, 2, 1, 3]), q.shape);
  };
}

function attend(spec: AttentionSpec, { layer, h, w }: Sides & { layer: number }) {
  return (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => {
    const attention = attentionKind(spec).attention(spec, { grid: [h, w], heads: q.shape[3]! });
    return attentionOnGrid(attention, { q, k, v, layer });
  };
}

const dHead = 4;
const side = fc.integer({ min: 1, max: 14 });
const odd = fc.integer({ min: 0, max: 3 }).map((half) => 2 * half + 1);
/** A kind with a grid that it fits. */
const cases: fc.Arbitrary<[spec: Attends, grid: Sides]> = fc.oneof(
  fc.tuple(fc.constant({ kind: "global", dHead } as const), fc.record({ h: side, w: side })),
  fc.tuple(fc.constant({ kind: "axial", dHead } as const), fc.record({ h: side, w: side })),
  fc.tuple(
    odd.map((kernelSize) => ({ kind: "sliding-window", dHead, kernelSize }) as const),
    fc.record({ h: side, w: side }),
  ),
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.record({ h: side, w: side })).map((
    [windowSize, { h, w }],
  ): [Attends, Sides] => [
    { kind: "shifted-window", dHead, windowSize } as const,
    { h: Math.ceil(h / 4) * windowSize, w: Math.ceil(w / 4) * windowSize },
  ]),
  fc.tuple(odd, fc.integer({ min: 1, max: 3 }), fc.record({ h: side, w: side })).map((
    [kernelSize, dilation, { h, w }],
  ): [Attends, Sides] => [
    { kind: "neighborhood", dHead, kernelSize, dilation } as const,
    { h: kernelSize * dilation + h - 1, w: kernelSize * dilation + w - 1 },
  ]),
);

Deno.test("attention() of every kind equals dense attention masked by its rule, gradients too", () => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 0, max: 1 }), ([spec, grid], layer) => {
      tf.tidy(() => {
        const at = { ...grid, layer };
        const inputs = ["q", "k", "v"].map((name) => random([1, grid.h, grid.w, 2, 3], name));
        assertSameWithGradients(attend(spec, at), oracle(spec, at), inputs);
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("attention() of every kind has a gradient at the keys of its rule and exactly none elsewhere", () => {
  const specs: Attends[] = [
    { kind: "neighborhood", dHead, kernelSize: 7 },
    { kind: "neighborhood", dHead, kernelSize: 5, dilation: 3 }, // classes of 14 or 13 by 8, in tiles
    { kind: "sliding-window", dHead, kernelSize: 7 },
    { kind: "shifted-window", dHead, windowSize: 4 },
    { kind: "axial", dHead },
  ];
  const [h, w] = [40, 24];
  const corners = [[0, 0], [0, w - 1], [h - 1, 0], [h - 1, w - 1]];
  for (const spec of specs) {
    for (const [y, x] of [...corners, [8, 7], [20, 12], [37, 1]]) {
      for (const layer of [0, 1]) {
        tf.tidy(() => {
          const at = { h, w, layer }, rule = sees(spec, at);
          const [q, k, v] = ["q", "k", "v"].map((name) => random([1, h, w, 1, 4], name));
          const gradients = tf.grads((k, v) =>
            tf.sum(tf.slice(attend(spec, at)(q, k, v), [0, y, x, 0, 0], [1, 1, 1, 1, 4]))
          )([k, v]);
          for (const gradient of gradients) {
            const size = tf.sum(tf.abs(gradient), [0, 3, 4]).arraySync() as number[][];
            for (let i = 0; i < h; i++) {
              for (let j = 0; j < w; j++) {
                const inside = rule({ y, x }, { y: i, x: j });
                const what = `${spec.kind}: query (${y}, ${x}), key (${i}, ${j})`;
                assert.equal(size[i][j] !== 0, inside, what);
              }
            }
          }
        });
      }
    }
  }
});

Deno.test("pairs() is the number of pairs that the rule lets through; windows count masked ones too", () => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 0, max: 1 }), ([spec, { h, w }], layer) => {
      const at = { h, w, layer }, rule = sees(spec, at);
      let seen = 0;
      for (let a = 0; a < h * w; a++) {
        for (let b = 0; b < h * w; b++) {
          const cell = (i: number) => ({ y: Math.floor(i / w), x: i % w });
          if (rule(cell(a), cell(b))) seen++;
        }
      }
      const expected = spec.kind === "shifted-window" ? h * w * spec.windowSize ** 2 : seen;
      assert.equal(attentionKind(spec).pairs(spec, { grid: [h, w], layer }), expected);
    }),
  );
});

Deno.test("attention() of the kinds new to the paper has the gradients of central differences", () => {
  const specs: AttentionSpec[] = [
    { kind: "axial", dHead },
    { kind: "sliding-window", dHead, kernelSize: 3 },
    { kind: "neighborhood", dHead, kernelSize: 3, dilation: 2 },
  ];
  for (const spec of specs) {
    const inputs = ["q", "k", "v"].map((name) => random([1, 6, 7, 1, 2], name));
    assertCentralDifferences(attend(spec, { h: 6, w: 7, layer: 1 }), inputs);
    tf.dispose(inputs);
  }
});

Deno.test("neighborhoodGroups() with dilation starts windows where NATTEN does", () => {
  // positions 0, 2, 4, 6 are one class and 1, 3, 5 another; each has windows of 3 of its own
  const { queries, keys, sees, groups } = neighborhoodGroups(
    { grid: [7, 7], kernelSize: 3, dilation: 2 },
  );
  const M = queries.length / groups, K = keys.length / groups;
  const starts = new Array(7);
  queries.forEach((token, place) => {
    if (token < 0 || token >= 7) return; // the first row of the grid
    const group = Math.floor(place / M);
    const seen = Array.from({ length: K }, (_, j) => j).filter((j) => sees[place * K + j]);
    starts[token] = Math.min(...seen.map((j) => keys[group * K + j] % 7));
  });
  assert.deepEqual(starts, [0, 1, 0, 1, 2, 1, 2]);
});

Deno.test("slidingWindowAttention() agrees with neighborhoods inside and differs at the border", () => {
  tf.tidy(() => {
    const [h, w, kernelSize] = [9, 10, 5];
    const [q, k, v] = ["q", "k", "v"].map((name) => random([1, h, w, 1, 4], name));
    const at = { h, w, layer: 0 };
    const run = (spec: AttentionSpec) => attend(spec, at)(q, k, v).arraySync() as number[][][][][];
    const sliding = run({ kind: "sliding-window", dHead, kernelSize });
    const shifted = run({ kind: "neighborhood", dHead, kernelSize });
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const inside = y >= 2 && y < h - 2 && x >= 2 && x < w - 2;
        const gap = Math.abs(sliding[0][y][x][0][0] - shifted[0][y][x][0][0]);
        assert.ok(inside ? gap < 1e-5 : gap > 1e-5, `cell (${y}, ${x}): ${gap}`);
      }
    }
  });
});

Deno.test("slidingWindowAttention() with windows larger than the grid is global attention", () => {
  const at = { h: 3, w: 4, layer: 0 };
  assertSameWithGradients(
    attend({ kind: "sliding-window", dHead, kernelSize: 11 }, at),
    attend({ kind: "global", dHead }, at),
    ["q", "k", "v"].map((name) => random([2, 3, 4, 2, 4], name)),
  );
});

Deno.test("attentionKind() refuses kinds that do not exist and names those that do", () => {
  assert.throws(() => attentionKind({ kind: "diagonal", dHead: 4 } as unknown as AttentionSpec), {
    name: "RangeError",
    message: /one of .*axial.*neighborhood.*: kind is diagonal/,
  });
});

Deno.test("check() refuses even sliding windows, and dilations beyond the grid or not whole", () => {
  assert.throws(
    () => slidingWindowAttention({ grid: [8, 8], heads: 1, kernelSize: 4 }),
    /odd and at least 1: kernelSize is 4/,
  );
  const check = (dilation: number) => () => {
    const spec: AttentionSpec = { kind: "neighborhood", dHead, kernelSize: 3, dilation };
    attentionKind(spec).check(spec, [9, 8]);
  };
  check(2)();
  assert.throws(check(3), /times dilation.*kernelSize is 3, dilation is 3, grid is 9 × 8/);
  assert.throws(check(1.5), /whole number >= 1: dilation is 1\.5/);
  assert.throws(check(NaN), /dilation is NaN/);
});

Deno.test("attention() of every kind leaves no tensors behind", () => {
  const [q, k, v] = ["q", "k", "v"].map((name) => random([1, 12, 12, 1, 4], name));
  const specs: AttentionSpec[] = [
    { kind: "axial", dHead },
    { kind: "sliding-window", dHead, kernelSize: 5 },
    { kind: "neighborhood", dHead, kernelSize: 3, dilation: 4 },
    { kind: "none" },
  ];
  for (const spec of specs) {
    assertNoLeak(() => tf.tidy(() => attend(spec, { h: 12, w: 12, layer: 1 })(q, k, v)));
  }
  tf.dispose([q, k, v]);
});

Deno.test("attention() of every kind runs along sound and through video: one and three axes, by the same rule", () => {
  const specs: AttentionSpec[] = [
    { kind: "neighborhood", dHead, kernelSize: 3 },
    { kind: "neighborhood", dHead, kernelSize: 1, dilation: 2 },
    { kind: "sliding-window", dHead, kernelSize: 3 },
    { kind: "shifted-window", dHead, windowSize: 2 },
    { kind: "axial", dHead },
    { kind: "global", dHead },
  ];
  for (const grid of [[12], [4, 6, 4]]) {
    const n = grid.reduce((a, b) => a * b, 1);
    const cell = (i: number) => {
      const at = [...grid];
      for (let axis = grid.length - 1; axis >= 0; axis--) {
        at[axis] = i % grid[axis];
        i = Math.floor(i / grid[axis]);
      }
      return at;
    };
    for (const spec of specs) {
      const layer = 1;
      /** The rule of one axis: that of two axes, where the other coordinate is the same. */
      const onAxis = (length: number) => {
        const side = spec.kind === "neighborhood" ? spec.kernelSize * (spec.dilation ?? 1) : 2;
        const rule = sees(spec as Attends, { h: length, w: side, layer });
        return (i: number, j: number) => rule({ y: i, x: 0 }, { y: j, x: 0 });
      };
      const axes = grid.map(onAxis);
      const turn = grid.length - 1 - layer % grid.length; // the axis that an axial layer runs along
      const visible = (a: number[], b: number[]) =>
        spec.kind === "axial"
          ? a.every((i, axis) => axis === turn || i === b[axis])
          : axes.every((rule, axis) => rule(a[axis], b[axis]));
      const seen = Array.from(
        { length: n * n },
        (_, i) => visible(cell(Math.floor(i / n)), cell(i % n)),
      );
      tf.tidy(() => {
        const mask = tf.tensor(seen.map((s) => s ? 0 : -1e9), [n, n]);
        const { attend } = attentionKind(spec).attention(spec, { grid, heads: 2 });
        assertSameWithGradients(
          (q, k, v) => attend(q, k, v, layer),
          (q, k, v) => {
            const swap = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]);
            const P = tf.softmax(tf.add(tf.matMul(swap(q), swap(k), false, true), mask));
            return swap(tf.matMul(P, swap(v)));
          },
          ["q", "k", "v"].map((name) => random([1, n, 2, 3], name)),
        );
      });
      if (spec.kind !== "shifted-window") {
        const pairs = attentionKind(spec).pairs(spec, { grid, layer });
        assert.equal(pairs, seen.filter(Boolean).length, `${spec.kind} on ${grid}`);
      }
    }
  }
});
