import assert from "node:assert/strict";
import { cost } from "../../lib/models/cost.ts";
import { presets } from "../../lib/models/presets.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";

Deno.test("cost() by part and by level adds up", () => {
  const { macs, byPart, byLevel } = cost(presets["ffhq-1024"], [512, 1024]);
  const parts = Object.values(byPart).reduce((a, b) => a + b, 0);
  assert.equal(parts, macs);
  const levels = byLevel.reduce((sum, level) => sum + level.macs, 0);
  const mapping = 2 * 256 ** 2 + 2 * 3 * 256 * 768; // embeddings and mapping network: once an image
  assert.equal(levels + mapping, macs);
});

Deno.test("cost() of a model that only adds its skips lacks one parameter a skip", () => {
  const size = [128, 128] as const;
  const lerp = cost(presets["imagenet-128/E"], size),
    add = cost(presets["imagenet-128/E-add"], size);
  const concat = cost(presets["imagenet-128/E-concat"], size);
  assert.equal(lerp.params - add.params, 1);
  assert.equal(concat.params - add.params, 2 * 384 ** 2);
  assert.equal(concat.macs - add.macs, 32 * 32 * 2 * 384 ** 2);
});

Deno.test("cost() of attention is 2 · width for every pair of every layer, rows and columns in turn", () => {
  const spec = presets.smoke, [h, w] = [6, 10], depth = 3;
  const macs = (attention: AttentionSpec) => {
    const level = { ...spec.levels[0], depth, attention };
    const { byPart } = cost({ ...spec, levels: [level] }, [4 * h, 4 * w]);
    return [byPart.localAttention, byPart.globalAttention].map((n) => n / (2 * 16));
  };
  const dHead = 16, n = h * w;
  assert.deepEqual(macs({ kind: "axial", dHead }), [0, n * (w + h + w)]);
  assert.deepEqual(macs({ kind: "global", dHead }), [0, depth * n * n]);
  assert.deepEqual(macs({ kind: "neighborhood", dHead, kernelSize: 3, dilation: 2 }), [
    depth * n * 9,
    0,
  ]);
  // 3 rows seen but at the ends, where there are 2
  assert.deepEqual(macs({ kind: "sliding-window", dHead, kernelSize: 3 }), [
    depth * (3 * h - 2) * (3 * w - 2),
    0,
  ]);
  assert.deepEqual(macs({ kind: "none" }), [0, 0]);
});

Deno.test("cost() counts shift and gate of norms, a bottleneck, a second image and cross-attention", () => {
  const spec: HditSpec = { ...presets.smoke, numClasses: 0 };
  const base = cost(spec, [16, 16]);
  const extra = (change: Partial<HditSpec>, options = {}) => {
    const { params, macs } = cost({ ...spec, ...change }, [16, 16], options);
    return [params - base.params, macs - base.macs];
  };
  const [m, w0, w1] = [32, 16, 32]; // mapping and levels
  const shifts = m * (4 * w0 + 2 * w1); // two norms a layer, two layers in the outer level
  assert.deepEqual(extra({ norm: { kind: "ada-layer-norm" } }), [shifts, shifts]);
  assert.deepEqual(extra({ norm: { kind: "ada-layer-norm", gate: true } }), [
    2 * shifts,
    2 * shifts,
  ]);
  assert.deepEqual(extra({ outNorm: { kind: "ada-layer-norm" } }), [2 * m * w0 - w0, 2 * m * w0]);
  assert.deepEqual(extra({ similarity: "dot-product" }), [-4, 0]); // one scale a head: 1 + 1 + 2
  const tokens = 16, patch = 48;
  assert.deepEqual(extra({ selfConditioning: true }), [patch * w0, tokens * patch * w0]);
  const bottleneck = 4 * (patch + w0) - patch * w0;
  assert.deepEqual(extra({ patchBottleneck: 4 }), [bottleneck, tokens * bottleneck]);
  assert.deepEqual(extra({ position: { kind: "learned", grid: [4, 4] } }), [tokens * w0, 0]);
  const [D, S] = [5, 7];
  const crossed = {
    crossCondDim: D,
    levels: [spec.levels[0], { ...spec.levels[1], crossAttention: { dHead: 16 } }],
  };
  assert.deepEqual(extra(crossed, { crossTokens: S }), [
    2 + m * w1 + D + 2 * w1 * w1 + 2 * D * w1,
    m * w1 + 4 * 2 * w1 * w1 + S * 2 * D * w1 + 2 * 4 * S * w1, // 4 tokens in the middle
  ]);
  assert.throws(() => cost({ ...spec, ...crossed }, [16, 16]), /crossTokens must be at least 1/);
  const [n, dFf] = [6, 96]; // class tokens in the only layer of the middle
  const classes = { numClasses: 2, inContext: { tokens: n, from: 0 } };
  assert.deepEqual(extra(classes), [
    3 * m + n * w1,
    n * (4 * w1 * w1 + 3 * w1 * dFf) + 2 * w1 * ((4 + n) ** 2 - 4 ** 2),
  ]);
});
