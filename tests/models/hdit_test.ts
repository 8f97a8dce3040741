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

/** What a spec can vary, each choice on its own. */
const variants: { [K in keyof HditSpec]?: fc.Arbitrary<HditSpec[K]> } = {
  position: fc.constantFrom<HditSpec["position"][]>(
    { kind: "rope" },
    { kind: "rope", frequencies: [0.5, 20], positions: "training-pitch", trainingGrid: [2, 3] },
    { kind: "sincos" },
    { kind: "learned", grid: [2, 3] },
    { kind: "none" },
  ),
  skip: fc.constantFrom("lerp", "add", "concat", "none").map((kind) => ({ kind })),
  feedForward: fc.constantFrom("geglu", "gelu").map((kind) => ({ kind })),
  norm: fc.record({
    kind: fc.constantFrom("ada-rms-norm", "ada-layer-norm"),
    shift: fc.boolean(),
    gate: fc.boolean(),
  }),
  similarity: fc.constantFrom("cosine", "dot-product"),
  selfConditioning: fc.boolean(),
  mapping: fc.constantFrom("geglu" as const, "gelu" as const).map((kind) => ({
    ...smoke.mapping,
    feedForward: { kind },
  })),
};

Deno.test("hdit() runs every kind of attention, position, skip, norm and activation, at any size", () => {
  const attention = fc.constantFrom<AttentionSpec[]>(
    { kind: "global", dHead: 8 },
    { kind: "neighborhood", dHead: 16, kernelSize: 3 },
    { kind: "neighborhood", dHead: 16, kernelSize: 3, dilation: 2 },
    { kind: "shifted-window", dHead: 8, windowSize: 2 },
    { kind: "sliding-window", dHead: 8, kernelSize: 5 },
    { kind: "axial", dHead: 16 },
    { kind: "none" },
  );
  fc.assert(
    fc.property(
      attention,
      fc.record(variants) as fc.Arbitrary<Partial<HditSpec>>,
      fc.record({ cross: fc.boolean(), outNorm: fc.boolean(), bottleneck: fc.boolean() }),
      fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
      (attention, variant, { cross, outNorm, bottleneck }, [h, w]) => {
        fc.pre(!("dilation" in attention) || Math.min(h, w) > 1); // windows span six tokens
        tf.tidy(() => {
          const level = { ...smoke.levels[0], depth: 2, attention };
          const spec: HditSpec = {
            ...smoke,
            ...variant,
            patchSize: [2, 4],
            outChannels: 5,
            levels: [cross ? { ...level, crossAttention: { dHead: 8 } } : level, smoke.levels[1]],
            ...(cross ? { crossCondDim: 6 } : {}),
            ...(outNorm ? { outNorm: { kind: "ada-layer-norm" } } : {}),
            ...(bottleneck ? { patchBottleneck: 3 } : {}),
          };
          const params = lively(spec);
          const size = [h * 8, w * 16];
          const given = {
            ...inputs(spec, size, 1),
            ...(cross ? { crossCond: random([1, 3, 6], "cross") } : {}),
            ...(spec.selfConditioning ? { selfCond: random([1, ...size, 5], "self") } : {}),
          };
          const y = hdit(params, given, { spec });
          assert.deepEqual(y.shape, [1, ...size, 5]);
          assert.ok(y.dataSync().every(Number.isFinite));
          // every trained parameter takes part: none has a gradient of zeros
          const entries = treeEntries(params).filter(([path]) => !isBuffer(path));
          const grads = tf.grads((...leaves: tf.Tensor[]) => {
            const by = new Map(entries.map(([path], i) => [path, leaves[i]]));
            const tree = treeMap(params, (leaf, path) => by.get(path) ?? leaf);
            return tf.sum(tf.square(hdit(tree, given, { spec })));
          })(entries.map(([, leaf]) => leaf));
          for (const [i, [path]] of entries.entries()) {
            assert.ok(grads[i].dataSync().some((v) => v !== 0), `gradient of ${path}`);
          }
        });
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("hdit() of a spec with gates, DiT's parts or cross-attention is 0 at first too", () => {
  const spec: HditSpec = {
    ...smoke,
    norm: { kind: "ada-layer-norm", gate: true },
    outNorm: { kind: "ada-layer-norm" },
    similarity: "dot-product",
    levels: smoke.levels.map((level) => ({ ...level, crossAttention: { dHead: 8 } })),
    crossCondDim: 4,
  };
  const params = initHdit(spec, { seed: 0, stream: "model" });
  const given = { ...inputs(spec, [16, 16]), crossCond: random([2, 3, 4], "cross") };
  assert.ok(hdit(params, given, { spec }).dataSync().every((v) => v === 0));
  // where a gate starts at 0, the weights before it must not, or neither would ever learn
  for (const [path, leaf] of treeEntries(params)) {
    if (/(attn\.out_proj|down_proj)\.weight$/.test(path) && !path.startsWith("mapping.")) {
      assert.ok(leaf.dataSync().some((v) => v !== 0), path);
    }
  }
});

Deno.test("hdit() follows the sequence and the earlier estimate it is given; absent estimates are zeros", () => {
  tf.tidy(() => {
    const spec: HditSpec = {
      ...smoke,
      selfConditioning: true,
      crossCondDim: 4,
      levels: [smoke.levels[0], { ...smoke.levels[1], crossAttention: { dHead: 16 } }],
    };
    const params = lively(spec);
    const base = { ...inputs(spec, [16, 16], 1), crossCond: random([1, 3, 4], "cross") };
    const run = (change: object) => hdit(params, { ...base, ...change }, { spec }).dataSync();
    const y = run({});
    assert.deepEqual(run({ selfCond: tf.zeros([1, 16, 16, 3]) }), y);
    assert.deepEqual(run({ crossCondPadding: tf.zeros([1, 3]) }), y);
    assert.notDeepEqual(run({ selfCond: tf.ones([1, 16, 16, 3]) }), y);
    assert.notDeepEqual(run({ crossCond: random([1, 3, 4], "other") }), y);
    assert.notDeepEqual(run({ crossCondPadding: tf.tensor([[0, 1, 0]]) }), y);
    assert.equal(run({ crossCond: random([1, 7, 4], "longer") }).length, y.length);
  });
});

Deno.test("hdit() at the training pitch does the same far from borders however large the grid is", () => {
  tf.tidy(() => {
    const level = {
      ...smoke.levels[0],
      attention: { kind: "sliding-window", dHead: 16, kernelSize: 3 } as const,
    };
    const at = (position: HditSpec["position"]): HditSpec => ({
      ...smoke,
      patchSize: [1, 1],
      levels: [level],
      position,
    });
    const grid = [8, 8] as const;
    const pitched = at({ kind: "rope", positions: "training-pitch", trainingGrid: grid });
    const params = lively(pitched); // one layer sees one pixel around
    const sigma = tf.tensor1d([1]);
    const middle = (x: tf.Tensor, spec: HditSpec) => {
      const [, h, w] = x.shape as number[];
      const y = hdit(params, { x, sigma }, { spec });
      return tf.slice(y, [0, h / 2 - 2, w / 2 - 2, 0], [1, 4, 4, 3]);
    };
    const x = random([1, 8, 8, 3]);
    const larger = tf.pad(x as tf.Tensor4D, [[0, 0], [4, 4], [4, 4], [0, 0]]);
    assertClose(middle(larger, pitched), middle(x, pitched));
    const rescaled = at({ kind: "rope" });
    assertClose(middle(x, rescaled), middle(x, pitched), { tolerance: 0 });
    assert.notDeepEqual(middle(larger, rescaled).dataSync(), middle(x, rescaled).dataSync());
  });
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

Deno.test("hdit() sees after two layers what each kind of attention is said to reach, and exactly nothing else", () => {
  const dHead = 16, side = 12, [y, x] = [6, 5];
  const near = (reach: number, step = 1) => (i: number, j: number) =>
    [i - y, j - x].every((d) => Math.abs(d) <= reach && d % step === 0);
  const kinds: [attention: AttentionSpec, reached: (i: number, j: number) => boolean][] = [
    [{ kind: "neighborhood", dHead, kernelSize: 3 }, near(2)],
    [{ kind: "neighborhood", dHead, kernelSize: 3, dilation: 2 }, near(4, 2)],
    [{ kind: "sliding-window", dHead, kernelSize: 3 }, near(2)],
    [{ kind: "axial", dHead }, () => true],
    [{ kind: "global", dHead }, () => true],
    [{ kind: "none" }, near(0)],
    // row 6 is in rows 6 to 9 of the shifted layer, whose windows before were 4 to 7 and 8 to 11; column 5 in 2 to 5
    [{ kind: "shifted-window", dHead, windowSize: 4 }, (i, j) => i >= 4 && j <= 7],
  ];
  for (const [attention, reached] of kinds) {
    const spec: HditSpec = {
      ...smoke,
      patchSize: [1, 1],
      levels: [{ ...smoke.levels[0], depth: 2, attention }],
    };
    tf.tidy(() => {
      const params = lively(spec), given = inputs(spec, [side, side], 1);
      const gradient = tf.grad((x_: tf.Tensor) =>
        tf.sum(tf.slice(hdit(params, { ...given, x: x_ }, { spec }), [0, y, x, 0], [1, 1, 1, 3]))
      )(given.x);
      const size = tf.sum(tf.abs(gradient), [0, 3]).arraySync() as number[][];
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++) {
          assert.equal(size[i][j] !== 0, reached(i, j), `${attention.kind}: pixel (${i}, ${j})`);
        }
      }
    });
  }
});

Deno.test("hdit() lets class tokens join at their layer and leave at the end, with any grid of image tokens", () => {
  const [outer, middle] = smoke.levels;
  const at = (kind: "global" | "none", inContext?: HditSpec["inContext"]): HditSpec => ({
    ...presets.smoke,
    levels: [outer, {
      ...middle,
      depth: 3,
      attention: kind === "none" ? { kind } : { kind, dHead: 16 },
    }],
    ...(inContext ? { inContext } : {}),
  });
  tf.tidy(() => {
    const given = { ...inputs(smoke, [16, 24], 1), classCond: tf.tensor1d([1], "int32") };
    const run = (spec: HditSpec, params = lively(spec)) => hdit(params, given, { spec }).dataSync();
    const tokens = { tokens: 5, from: 1 };
    // without attention nothing is heard of them: what is left is the image's own
    assert.deepEqual(run(at("none", tokens)), run(at("none")));
    const spec = at("global", tokens), params = lively(spec), y = run(spec, params);
    assert.deepEqual(params.in_context!.pos_emb.shape, [5, 32]);
    assert.notDeepEqual(y, run(at("global")));
    assert.notDeepEqual(y, run({ ...spec, inContext: { ...tokens, from: 2 } }, params));
    // a set: their order does not matter, as no position tells them apart but their own vectors
    const rows = tf.reverse(params.in_context!.pos_emb, 0);
    const turned = { ...params, in_context: { pos_emb: rows } };
    assertClose(tf.tensor1d(run(spec, turned)), tf.tensor1d(y));
    const asked: DropoutSite[] = [];
    const dropped = {
      ...spec,
      levels: spec.levels.map((level) => ({ ...level, dropout: 0.5 })),
    };
    hdit(params, given, {
      spec: dropped,
      dropout: (site, shape, rate) => (asked.push({ site, shape, rate }), tf.ones(shape)),
    });
    assert.deepEqual(dropoutSites(dropped, { size: [16, 24], batch: 1 }), asked);
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
  assert.throws(run({ selfCond: given.x }), /selfCond must be absent: selfConditioning is false/);
  assert.throws(run({ crossCond: tf.zeros([2, 3, 4]) }), /crossCond must be \[2,3,0\]/);
  const crossed: HditSpec = { ...smoke, crossCondDim: 4 };
  assert.throws(run({}, crossed), /crossCond must be given: crossCondDim is 4/);
  assert.throws(
    run({ crossCond: tf.zeros([2, 3, 4]), crossCondPadding: tf.zeros([2, 4]) }, crossed),
    /crossCondPadding must be \[2,3\]: crossCondPadding is \[2,4\]/,
  );
  assert.throws(
    run({ crossCondPadding: tf.zeros([2, 1]) }),
    /crossCondPadding must be absent: crossCond is absent/,
  );
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
      { ...smoke.levels[0], depth: 2, dropout: 0.1, crossAttention: { dHead: 8 } },
      { ...smoke.levels[0], attention: { kind: "none" }, dropout: 0 },
      { ...smoke.levels[1], dropout: 0.3 },
    ],
    mapping: { ...smoke.mapping, depth: 2, dropout: 0.2 },
    crossCondDim: 4,
  };
  const asked: DropoutSite[] = [];
  const source = (site: string, shape: number[], rate: number) => {
    asked.push({ site, shape, rate });
    return tf.ones(shape);
  };
  const given = { ...inputs(spec, [32, 48]), crossCond: random([2, 3, 4], "cross") };
  hdit(lively(spec), given, { spec, dropout: source });
  assert.deepEqual(dropoutSites(spec, { size: [32, 48], batch: 2 }), asked);
});

Deno.test("hdit() runs on sound and video: one and three axes, with any kind of attention", () => {
  const kinds: AttentionSpec[] = [
    { kind: "neighborhood", dHead: 24, kernelSize: 3 },
    { kind: "sliding-window", dHead: 24, kernelSize: 3 },
    { kind: "shifted-window", dHead: 24, windowSize: 2 },
    { kind: "axial", dHead: 24 },
  ];
  const positions = (grid: number[]): HditSpec["position"][] => [
    { kind: "rope" },
    { kind: "rope", positions: "training-pitch", trainingGrid: grid.map(() => 2) },
    { kind: "learned", grid: grid.map(() => 2) },
    { kind: "sincos" },
  ];
  for (
    const { patchSize, size } of [{ patchSize: [4], size: [48] }, {
      patchSize: [1, 2, 2],
      size: [4, 12, 8],
    }]
  ) {
    for (const [i, attention] of kinds.entries()) {
      const level = { ...smoke.levels[0], width: 24, attention };
      const spec: HditSpec = {
        ...smoke,
        patchSize,
        levels: [level, { ...level, width: 48, attention: { kind: "global", dHead: 24 } }],
        position: positions(size)[i],
      };
      tf.tidy(() => {
        const params = lively(spec);
        const given = { x: random([2, ...size, 3]), sigma: tf.tensor1d([0.3, 2]) };
        const y = hdit(params, given, { spec });
        assert.deepEqual(y.shape, [2, ...size, 3]);
        const { gradient, moved } = slope(params, given, spec);
        assert.ok(Math.abs(gradient - moved) <= 2e-2 * Math.abs(moved), `${gradient}, ${moved}`);
      });
    }
  }
  const video = { ...smoke, patchSize: [1, 4, 4] };
  assert.throws(() => hdit(lively(smoke), inputs(smoke, [16, 16]), { spec: video }), {
    message: /x must be \[batch, depth, height, width, 3\]/,
  });
});

/** The derivative of Σ out² along the direction of x: by gradients, and as a central difference. */
function slope(
  params: HditParams,
  { x, sigma }: { x: tf.Tensor; sigma: tf.Tensor },
  spec: HditSpec,
): { gradient: number; moved: number } {
  const loss = (x: tf.Tensor) => tf.sum(tf.square(hdit(params, { x, sigma }, { spec })));
  const gradient = tf.sum(tf.mul(tf.grad(loss)(x), x)).dataSync()[0];
  const at = (by: number) => loss(tf.mul(x, 1 + by)).dataSync()[0];
  return { gradient, moved: (at(1e-2) - at(-1e-2)) / 2e-2 };
}
