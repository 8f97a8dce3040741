import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import fc from "fast-check";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries, treeLeaves, treeMap, treeSize } from "../../lib/engine/tree.ts";

await setEngine("cpu");

/** A tree's plan: numbers stand for tensors of that many elements. */
type Plan = number | Plan[] | { [key: string]: Plan };
const { plan: plans } = fc.letrec<{ plan: Plan }>((tie) => ({
  plan: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.integer({ min: 0, max: 4 }),
    fc.array(tie("plan"), { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-z_]{1,6}$/), tie("plan"), { maxKeys: 3 }),
  ),
}));

function grow(plan: Plan): unknown {
  if (typeof plan === "number") return tf.zeros([plan]);
  if (Array.isArray(plan)) return plan.map(grow);
  return Object.fromEntries(Object.entries(plan).map(([key, child]) => [key, grow(child)]));
}

function property(check: (tree: unknown) => void): void {
  fc.assert(
    fc.property(plans, (plan) => {
      tf.tidy(() => check(grow(plan)));
    }),
    { numRuns: 100, seed: 3 },
  );
}

Deno.test("treeMap() with the identity gives an equal tree of the same tensors", () => {
  property((tree) => assert.deepEqual(treeMap(tree, (t) => t), tree));
});

Deno.test("treeMap() of a composition is the composition of treeMap()s", () => {
  const f = (t: tf.Tensor) => t.add(1), g = (t: tf.Tensor) => t.mul(2);
  const read = (tree: unknown) => treeLeaves(tree).map((t) => [...t.dataSync()]);
  property((tree) =>
    assert.deepEqual(
      read(treeMap(tree, (t) => g(f(t)))),
      read(treeMap(treeMap(tree, f), g)),
    )
  );
});

Deno.test("treeMap() and treeEntries() see the same leaves, paths and order", () => {
  property((tree) => {
    const seen: [string, tf.Tensor][] = [];
    treeMap(tree, (t, path) => {
      seen.push([path, t]);
      return t;
    });
    assert.deepEqual(seen, treeEntries(tree));
    assert.deepEqual(seen.map(([, t]) => t), treeLeaves(tree));
  });
});

Deno.test("treeEntries() gives each leaf another path, by which it is found in the tree", () => {
  property((tree) => {
    const entries = treeEntries(tree);
    assert.equal(new Set(entries.map(([path]) => path)).size, entries.length);
    for (const [path, leaf] of entries) {
      const found = (path === "" ? [] : path.split("."))
        // deno-lint-ignore no-explicit-any -- the tree's type is not known here
        .reduce((node: any, key) => node[key], tree);
      assert.equal(found, leaf);
    }
  });
});

Deno.test("treeSize() is the sum of the leaves' sizes", () => {
  property((tree) =>
    assert.equal(treeSize(tree), treeLeaves(tree).reduce((sum, t) => sum + t.size, 0))
  );
});

Deno.test("treeDispose() disposes each leaf and nothing else", () => {
  const other = tf.zeros([1]);
  property((tree) => {
    treeDispose(tree);
    assert.ok(treeLeaves(tree).every((t) => t.isDisposed));
  });
  assert.ok(!other.isDisposed);
  other.dispose();
});

Deno.test("treeMap() skips what is undefined, and refuses what is no tensor by its path", () => {
  const x = tf.zeros([1]);
  assert.deepEqual(treeEntries({ a: undefined, b: x }).map(([path]) => path), ["b"]);
  assert.throws(() => treeMap({ a: [x, 3] }, (t) => t), /"a\.1" is a number/);
  x.dispose();
});
