import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries, treeMap } from "../../lib/engine/tree.ts";
import { hdit, type HditParams, initHdit, isBuffer } from "../../lib/models/hdit.ts";
import { type DropoutSite, dropoutSites } from "../../lib/models/dropout_sites.ts";
import { presets } from "../../lib/models/presets.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";
import { randomDropout } from "../../lib/nn/dropout.ts";
import { assertCentralDifferences, assertClose, assertNoLeak, random } from "../nn/assert.ts";

await setEngine("cpu");

const smoke: HditSpec = { ...presets.smoke, numClasses: 0 };

/** A model whose output is not 0: noise on every parameter. */
function lively(spec: HditSpec): HditParams {
  return treeMap(
    initHdit(spec, { seed: 0, stream: "model" }),
    (t, path) => isBuffer(path) ? t : tf.add(t, tf.mul(random(t.shape, path), 0.1)),
  );
}
const inputs = (spec: HditSpec, [h, w]: number[], B = 2) => ({
  x: random([B, h, w, spec.inChannels]),
  sigma: tf.tensor1d(Array.from({ length: B }, (_, i) => 0.3 + i)),
});

Deno.test("hdit() is 0 at first, whatever the input", () => {
  const params = initHdit(smoke, { seed: 0, stream: "model" });
  const y = hdit(params, inputs(smoke, [16, 24]), { spec: smoke });
  assert.deepEqual(y.shape, [2, 16, 24, 3]);
  assert.ok(y.dataSync().every((v) => v === 0));
});

Deno.test("hdit() treats each sample alone: a batch gives what its samples give", () => {
  tf.tidy(() => {
    const params = lively(smoke);
    const { x, sigma } = inputs(smoke, [24, 16]);
    const both = hdit(params, { x, sigma }, { spec: smoke });
    const second = hdit(params, {
      x: tf.slice(x, [1, 0, 0, 0], [1, 24, 16, 3]),
      sigma: tf.slice(sigma, [1], [1]),
    }, { spec: smoke });
    assertClose(second, tf.slice(both, [1, 0, 0, 0], [1, 24, 16, 3]));
  });
});

Deno.test("hdit() runs every kind of attention, position, skip and activation, at any size", () => {
  const attention: fc.Arbitrary<AttentionSpec> = fc.constantFrom(
    { kind: "global", dHead: 8 },
    { kind: "neighborhood", dHead: 16, kernelSize: 3 },
    { kind: "shifted-window", dHead: 8, windowSize: 2 },
    { kind: "none" },
  );
  fc.assert(
    fc.property(
      attention,
      fc.constantFrom("rope", "sincos"),
      fc.constantFrom("lerp", "add", "concat"),
      fc.constantFrom("geglu", "gelu"),
      fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
      (attention, position, skip, feedForward, [h, w]) => {
        tf.tidy(() => {
          const spec: HditSpec = {
            ...smoke,
            patchSize: [2, 4],
            outChannels: 5,
            levels: [{ ...smoke.levels[0], depth: 2, attention }, smoke.levels[1]],
            position: { kind: position },
            skip: { kind: skip },
            feedForward: { kind: feedForward },
          };
          const params = lively(spec);
          const size = [h * 8, w * 16];
          const { x, sigma } = inputs(spec, size, 1);
          const y = hdit(params, { x, sigma }, { spec });
          assert.deepEqual(y.shape, [1, ...size, 5]);
          assert.ok(y.dataSync().every(Number.isFinite));
          // every trained parameter takes part: none has a gradient of zeros
          const entries = treeEntries(params).filter(([path]) => !isBuffer(path));
          const grads = tf.grads((...leaves: tf.Tensor[]) => {
            const by = new Map(entries.map(([path], i) => [path, leaves[i]]));
            const tree = treeMap(params, (leaf, path) => by.get(path) ?? leaf);
            return tf.sum(tf.square(hdit(tree, { x, sigma }, { spec })));
          })(entries.map(([, leaf]) => leaf));
          for (const [i, [path]] of entries.entries()) {
            assert.ok(grads[i].dataSync().some((v) => v !== 0), `gradient of ${path}`);
          }
        });
      },
    ),
    { numRuns: 12 },
  );
});

Deno.test("hdit() has the gradients of central differences", () => {
  const spec: HditSpec = {
    ...smoke,
    levels: [{ ...smoke.levels[0], width: 8, dFf: 8, attention: { kind: "none" } }, {
      ...smoke.levels[1],
      width: 8,
      dFf: 8,
      attention: { kind: "global", dHead: 8 },
    }],
  };
  const params = lively(spec);
  const { x, sigma } = inputs(spec, [8, 8], 1);
  const paths = ["down_levels.0.0.ff.up_proj.weight", "mid_level.0.self_attn.qkv_proj.weight"];
  const leaves = Object.fromEntries(treeEntries(params));
  assertCentralDifferences(
    (x, ...changed) => {
      const tree = treeMap(params, (leaf, path) => changed[paths.indexOf(path)] ?? leaf);
      return hdit(tree, { x, sigma }, { spec });
    },
    [x, ...paths.map((path) => leaves[path])],
  );
});

Deno.test("hdit() with neighborhoods sees no further than its windows and merges allow", () => {
  const spec: HditSpec = {
    ...smoke,
    patchSize: [1, 1],
    levels: [smoke.levels[0]].map((level) => ({ ...level, depth: 2 })), // two layers of 3 × 3
  };
  tf.tidy(() => {
    const params = lively(spec);
    const { x, sigma } = inputs(spec, [12, 12], 1);
    const grad = tf.grad((x: tf.Tensor) =>
      tf.sum(tf.slice(hdit(params, { x, sigma }, { spec }), [0, 6, 6, 0], [1, 1, 1, 3]))
    )(x);
    const size = tf.sum(tf.abs(grad), [0, 3]).arraySync() as number[][];
    for (let i = 0; i < 12; i++) {
      for (let j = 0; j < 12; j++) {
        const near = Math.abs(i - 6) <= 2 && Math.abs(j - 6) <= 2;
        assert.equal(size[i][j] !== 0, near, `pixel (${i}, ${j})`);
      }
    }
  });
});

Deno.test("hdit() follows its conditions: class, augmentation, noise level and extra condition", () => {
  tf.tidy(() => {
    const spec: HditSpec = { ...presets.smoke, mappingCondDim: 3 };
    const params = lively(spec);
    const base = {
      ...inputs(spec, [16, 16], 1),
      classCond: tf.tensor1d([0], "int32"),
      mappingCond: tf.ones([1, 3]),
    };
    const run = (change: object) => hdit(params, { ...base, ...change }, { spec }).dataSync();
    const y = run({});
    assert.deepEqual(run({ augCond: tf.zeros([1, 9]) }), y); // absent means zeros
    for (
      const change of [
        { classCond: tf.tensor1d([2], "int32") }, // the null class
        { augCond: tf.ones([1, 9]) },
        { sigma: tf.tensor1d([2]) },
        { mappingCond: tf.zeros([1, 3]) },
      ]
    ) assert.notDeepEqual(run(change), y, Object.keys(change)[0]);
  });
});

Deno.test("hdit() refuses conditions that are missing, not expected or of the wrong shape", () => {
  const params = lively(smoke);
  const given = inputs(smoke, [16, 16]);
  const run = (change: object, spec = smoke) => () =>
    hdit(params, { ...given, ...change }, { spec });
  assert.throws(run({ classCond: tf.tensor1d([0, 0], "int32") }), {
    name: "TypeError",
    message: /classCond must be absent: numClasses is 0, classCond is given/,
  });
  assert.throws(run({}, presets.smoke), /classCond must be given: numClasses is 2/);
  assert.throws(run({ augCond: tf.zeros([1, 9]) }), /augCond must be \[2,9\]: augCond is \[1,9\]/);
  assert.throws(run({ x: tf.zeros([2, 3, 16, 16]) }), /x must be \[batch, height, width, 3\]/);
  assert.throws(run({ x: tf.zeros([2, 16, 20, 3]) }), /the nearest valid are 16 and 24/);
});

Deno.test("hdit() of two specs in one process do not disturb each other", () => {
  const other: HditSpec = {
    ...smoke,
    levels: [
      { ...smoke.levels[0], attention: { kind: "neighborhood", dHead: 8, kernelSize: 5 } },
      smoke.levels[1],
    ],
  };
  const [a, b] = [lively(smoke), lively(other)];
  const run = (params: HditParams, spec: HditSpec, size: number[]) =>
    hdit(params, inputs(spec, size), { spec }).dataSync();
  const before = run(a, smoke, [24, 24]);
  run(b, other, [24, 24]);
  run(a, smoke, [16, 32]);
  run(b, other, [40, 24]);
  assert.deepEqual(run(a, smoke, [24, 24]), before);
});

Deno.test("hdit() drops only where a source and a rate say so, the same for the same counter", () => {
  const spec: HditSpec = {
    ...smoke,
    levels: smoke.levels.map((level) => ({ ...level, dropout: 0.2 })),
    mapping: { ...smoke.mapping, dropout: 0.2 },
  };
  const params = lively(spec);
  const given = inputs(spec, [16, 16]);
  const run = (dropout?: ReturnType<typeof randomDropout>) =>
    hdit(params, given, { spec, dropout }).dataSync();
  const source = (counter: number) => randomDropout({ seed: 0, stream: "dropout" }, counter);
  assert.deepEqual(run(source(1)), run(source(1)));
  assert.notDeepEqual(run(source(1)), run(source(2)));
  assert.deepEqual(run(), hdit(params, given, { spec: smoke }).dataSync());
});

Deno.test("hdit() leaves no tensors behind, forward or backward", () => {
  const params = lively(smoke);
  const given = inputs(smoke, [16, 16]);
  assertNoLeak(() => hdit(params, given, { spec: smoke }));
  assertNoLeak(() =>
    tf.grad((x: tf.Tensor) => tf.sum(hdit(params, { ...given, x }, { spec: smoke })))(given.x)
  );
});

Deno.test("dropoutSites() lists what a forward pass asks for, in order", () => {
  const spec: HditSpec = {
    ...smoke,
    levels: [
      { ...smoke.levels[0], depth: 2, dropout: 0.1 },
      { ...smoke.levels[0], attention: { kind: "none" }, dropout: 0 },
      { ...smoke.levels[1], dropout: 0.3 },
    ],
    mapping: { ...smoke.mapping, depth: 2, dropout: 0.2 },
  };
  const asked: DropoutSite[] = [];
  const source = (site: string, shape: number[], rate: number) => {
    asked.push({ site, shape, rate });
    return tf.ones(shape);
  };
  hdit(lively(spec), inputs(spec, [32, 48]), { spec, dropout: source });
  assert.deepEqual(dropoutSites(spec, { size: [32, 48], batch: 2 }), asked);
});
