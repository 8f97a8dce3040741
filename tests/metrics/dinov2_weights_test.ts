import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";
import { asStored, byTransformersNames, madeWeights, type Weights } from "./made_dinov2.ts";

const base: Dinov2Spec = { width: 8, depth: 2, heads: 2, patch: 4, grid: 3, ffn: "gelu" };

Deno.test("dinov2FromStateDict() reads the same network from both kinds of names, and what it is like", async () => {
  await setEngine("cpu");
  for (const ffn of ["gelu", "swiglu"] as const) {
    const given = { ...base, ffn }, weights = madeWeights(given, 20);
    for (const named of [weights, byTransformersNames(weights)]) {
      const { params, spec } = dinov2FromStateDict(asStored(named), { heads: 2 });
      assert.deepEqual(spec, given);
      const entries = treeEntries(params);
      const names = Object.keys(weights).filter((name) => name !== "mask_token");
      assert.deepEqual(entries.map(([path]) => path).sort(), names.sort());
      for (const [path, leaf] of entries) {
        assert.deepEqual(leaf.shape, weights[path].shape, path);
        assert.deepEqual(leaf.dataSync(), weights[path].data, path);
      }
      treeDispose(params);
    }
  }
});

Deno.test("dinov2FromStateDict() takes 64 channels for a head unless told", async () => {
  await setEngine("cpu");
  const weights = madeWeights({ ...base, width: 128, depth: 1 }, 4);
  const { params, spec } = dinov2FromStateDict(asStored(weights));
  assert.equal(spec.heads, 2);
  treeDispose(params);
  const small = asStored(madeWeights(base, 4));
  assert.throws(() => dinov2FromStateDict(small), /heads is 0.125 .*width is 8/);
  assert.throws(() => dinov2FromStateDict(small, { heads: 3 }), RangeError);
  assert.throws(() => dinov2FromStateDict(small, { heads: NaN }), RangeError);
});

Deno.test("dinov2FromStateDict() names what is missing, too many or of another shape, and leaves no tensor behind", async () => {
  await setEngine("cpu");
  const weights = madeWeights(base, 20), theirs = byTransformersNames(weights);
  const without = (all: Weights, ...names: string[]) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)));
  const ones = (...shape: number[]) => ({
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  const noScales = Object.keys(weights).filter((name) => name.includes(".ls"));
  const cases: [Weights, RegExp][] = [
    [{}, /must hold cls_token, or as transformers names it embeddings\.cls_token$/],
    [{ "conv1.weight": ones(3, 3) }, /must hold cls_token/],
    [without(weights, "norm.bias"), /must hold norm\.bias/],
    [without(weights, ...noScales), /must hold blocks\.0\.ls1\.gamma/], // DINO, the first
    [without(weights, "pos_embed"), /must hold pos_embed, or/], // DINOv3
    [
      without(theirs, "encoder.layer.1.attention.attention.key.bias"),
      /must hold encoder\.layer\.1\.attention\.attention\.key\.bias/,
    ],
    [
      without(theirs, "encoder.layer.0.mlp.fc1.weight"),
      /must hold encoder\.layer\.0\.mlp\.fc1\.weight/,
    ],
    [
      { ...weights, register_tokens: ones(1, 4, 8) },
      /without register tokens: they hold register_tokens/,
    ],
    [
      { ...theirs, "embeddings.register_tokens": ones(1, 4, 8) },
      /hold embeddings\.register_tokens/,
    ],
    [
      { ...weights, "head.weight": ones(2, 8), "head.bias": ones(2) },
      /hold head\.weight and 1 more/,
    ],
    [{ ...weights, "blocks.3.norm1.bias": ones(8) }, /must hold blocks\.2\.norm1\.weight/],
    [
      { ...weights, cls_token: ones(8) },
      /cls_token must have the shape \[1, 1, width\]: it is \[8\]/,
    ],
    [
      { ...weights, pos_embed: ones(1, 12, 8) },
      /pos_embed must have the shape .*: it is \[1,12,8\]/,
    ],
    [{ ...weights, "blocks.1.attn.qkv.weight": ones(8, 8) }, /must have the shape \[24,8\]/],
  ];
  const before = tf.memory().numTensors;
  for (const [bad, message] of cases) {
    assert.throws(() => dinov2FromStateDict(asStored(bad), { heads: 2 }), message);
  }
  assert.equal(tf.memory().numTensors, before);
});
