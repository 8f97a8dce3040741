import assert from "node:assert/strict";
import { cost } from "../../lib/models/cost.ts";
import { presets } from "../../lib/models/presets.ts";
import { type AttentionSpec, growLevels, type HditSpec } from "../../lib/models/spec.ts";

/** Parameters in millions and multiply-adds in 10⁹, as printed. */
type Row = [preset: keyof typeof presets, side: number, params: string, macs: string];

Deno.test("cost() has the figures of the paper's Tables 1, 3 and 6 to the digits printed", () => {
  const rows: Row[] = [
    // Table 6, the paper's rule carried to two more digits than it prints
    ["imagenet-256/p16-S", 256, "116.4", "29.40"],
    ["imagenet-256/p16-M", 256, "267.0", "67.96"],
    ["imagenet-256/p16-L", 256, "507.2", "129.47"],
    ["imagenet-256/p8-S", 256, "133.9", "44.44"],
    ["imagenet-256/p8-M", 256, "294.4", "91.45"],
    ["imagenet-256/p8-L", 256, "546.9", "163.30"],
    ["imagenet-256/p4-S", 256, "138.7", "59.78"],
    ["imagenet-256/p4-M", 256, "301.8", "115.33"],
    ["imagenet-256/p4-L", 256, "557.4", "197.59"],
    // Tables 1 and 3
    ["imagenet-128/E", 128, "117.0", "31.37"],
    ["imagenet-128/C", 128, "117.0", "31.37"],
    ["imagenet-128/B1", 128, "109.3", "29.15"],
    ["imagenet-128/B2", 128, "109.3", "29.10"],
    ["imagenet-128/A", 128, "109.3", "32.17"],
    ["ffhq-1024", 1024, "85.1", "206.08"],
    // Table 1, DiT-B/4: "~130M", 106, 657 and 6,341 GFLOP
    ["imagenet-128/R1", 128, "131", "106.42"],
    ["imagenet-128/R1", 256, "131", "657.48"],
    ["imagenet-128/R1", 512, "131", "6340.62"],
    ["imagenet-128/R3", 128, "106", "106.40"],
    // JiT, Tables 7 and 8: 131M, 459M, 953M; its own counts, 25, 88 and 182 G at 256 px, include 32 in-context tokens
    ["jit/B-16", 256, "131", "23.20"],
    ["jit/L-16", 256, "459", "80.93"],
    ["jit/H-16", 256, "953", "167.13"],
    // the reference's demonstrations
    ["kd/mnist", 28, "9.2", "0.35"],
    ["kd/cifar10", 32, "21.0", "1.97"],
    ["kd/oxford-flowers", 256, "22.4", "11.64"],
    ["kd/oxford-flowers-shifted-window", 256, "22.4", "11.73"],
  ];
  for (const [name, side, params, macs] of rows) {
    const found = cost(presets[name], [side, side]);
    assert.equal((found.params / 1e6).toFixed(params.split(".")[1]?.length ?? 0), params, name);
    assert.equal((found.macs / 1e9).toFixed(2), macs, name);
  }
});

Deno.test("cost() of FFHQ-1024 is exact to the last digit", () => {
  const { params, macs } = cost(presets["ffhq-1024"], [1024, 1024]);
  assert.equal(params, 85_079_300);
  assert.equal((macs / 1e9).toFixed(3), "206.076");
});

Deno.test("cost() grows with resolution as in Table 1 and Figure 8, a level for each doubling", () => {
  const rows = [
    ["imagenet-128/E", ["31.37", "64.72", "198.10", "731.6"]],
    ["imagenet-128/A", ["32.17", "114", "1060"]],
    ["imagenet-128/B1", ["29.15", "60", "184.74"]],
    ["imagenet-128/B2", ["29.10", "60", "183.75"]],
  ] as const;
  for (const [name, expected] of rows) {
    for (const [doublings, macs] of expected.entries()) {
      const side = 128 * 2 ** doublings;
      const found = cost(growLevels(presets[name], { doublings }), [side, side]);
      const digits = macs.split(".")[1]?.length ?? 0;
      assert.equal((found.macs / 1e9).toFixed(digits), macs, `${name} at ${side}`);
    }
  }
});

Deno.test("cost() of E at 1024² is mostly that of linear maps; attention is 2 % of it", () => {
  const spec = growLevels(presets["imagenet-128/E"], { doublings: 3 });
  const { byPart, macs } = cost(spec, [1024, 1024]);
  const giga = (x: number) => (x / 1e9).toFixed(1);
  assert.equal(giga(byPart.projections + byPart.feedForward + byPart.condition), "689.0");
  assert.equal(giga(byPart.mergeSplit), "26.0"); // 25.97
  assert.equal(giga(byPart.localAttention), "13.1");
  assert.equal(giga(byPart.patch), "2.4");
  assert.equal(giga(byPart.globalAttention), "1.1");
  assert.ok((byPart.localAttention + byPart.globalAttention) / macs < 0.02);
});

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
});
