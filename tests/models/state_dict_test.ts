import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import {
  hditParamsFromStateDict,
  initHdit,
  isBuffer,
  paramGroup,
  stateDictShapes,
} from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";

await setEngine("cpu");
const spec = presets.smoke;
const dict = () => Object.fromEntries(treeEntries(initHdit(spec, { seed: 0, stream: "model" })));

Deno.test("initHdit() has the names of the reference's state dict, in its order", () => {
  const names = Object.keys(dict());
  assert.deepEqual(names, [...stateDictShapes(spec).keys()]);
  assert.deepEqual(names.slice(0, 9), [
    "patch_in.proj.weight",
    "time_emb.weight",
    "time_in_proj.weight",
    "aug_emb.weight",
    "aug_in_proj.weight",
    "class_emb.weight",
    "mapping.in_norm.scale",
    "mapping.blocks.0.norm.scale",
    "mapping.blocks.0.up_proj.weight",
  ]);
  assert.deepEqual(names.filter((name) => name.startsWith("down_levels")), [
    "down_levels.0.0.self_attn.scale",
    "down_levels.0.0.self_attn.norm.linear.weight",
    "down_levels.0.0.self_attn.qkv_proj.weight",
    "down_levels.0.0.self_attn.pos_emb.freqs",
    "down_levels.0.0.self_attn.out_proj.weight",
    "down_levels.0.0.ff.norm.linear.weight",
    "down_levels.0.0.ff.up_proj.weight",
    "down_levels.0.0.ff.down_proj.weight",
  ]);
  assert.deepEqual(names.slice(-5), [
    "merges.0.proj.weight",
    "splits.0.fac",
    "splits.0.proj.weight",
    "out_norm.scale",
    "patch_out.proj.weight",
  ]);
});

Deno.test("initHdit() starts as the reference does", () => {
  for (const [name, tensor] of Object.entries(dict())) {
    const values = tensor.dataSync();
    const all = (v: number) => values.every((x) => x === v);
    const zero = /out_proj|down_proj|patch_out|norm\.linear/.test(name);
    if (zero) assert.ok(all(0), name);
    else if (name.endsWith("fac")) assert.ok(all(0.5), name);
    else if (name.endsWith("self_attn.scale")) assert.ok(all(10), name);
    else if (name.endsWith("norm.scale")) assert.ok(all(1), name);
    else if (name.endsWith("proj.weight")) {
      const bound = 1 / Math.sqrt(tensor.shape[1]!);
      const largest = Math.max(...Array.from(values, Math.abs));
      assert.ok(largest <= bound && largest > 0.9 * bound, name);
    }
  }
});

Deno.test("hditParamsFromStateDict() puts every tensor in its place", () => {
  const given = dict();
  assert.deepEqual(
    treeEntries(hditParamsFromStateDict(given, spec)).map(([name, t]) => [name, t.id]),
    Object.entries(given).map(([name, t]) => [name, t.id]),
  );
});

Deno.test("hditParamsFromStateDict() says what is missing, unexpected and mis-shaped", () => {
  const given: Record<string, tf.Tensor> = dict();
  delete given["out_norm.scale"];
  given["out_norm.bias"] = tf.zeros([16]);
  given["splits.0.fac"] = tf.zeros([2]);
  assert.throws(() => hditParamsFromStateDict(given, spec), {
    name: "RangeError",
    message:
      /out_norm\.scale is missing; out_norm\.bias is not expected; splits\.0\.fac must be \[1\] but is \[2\]/,
  });
});

Deno.test("paramGroup() is the reference's grouping", () => {
  const group = (lrScale: number, weightDecay: boolean) =>
    [...stateDictShapes({ ...spec, mappingCondDim: 3, skip: { kind: "concat" } }).keys()]
      .filter((name) => !isBuffer(name))
      .filter((name) => {
        const found = paramGroup(name);
        return found.lrScale === lrScale && found.weightDecay === weightDecay;
      });
  assert.deepEqual(group(1, false).filter((name) => !name.endsWith("self_attn.scale")), [
    "time_in_proj.weight",
    "aug_in_proj.weight",
    "class_emb.weight",
    "mapping_cond_in_proj.weight",
    "out_norm.scale",
  ]);
  assert.deepEqual(group(1 / 3, false), [
    "mapping.in_norm.scale",
    "mapping.blocks.0.norm.scale",
    "mapping.out_norm.scale",
  ]);
  assert.ok(group(1 / 3, true).every((name) => /^mapping\.|norm\.linear/.test(name)));
  assert.ok(group(1, true).includes("splits.0.skip_proj.weight"));
});

Deno.test("paramGroup() decays the weights of cross-attention and a bottleneck, not position tables", () => {
  const decayed = { lrScale: 1, weightDecay: true }, not = { lrScale: 1, weightDecay: false };
  const groups = {
    "mid_level.0.cross_attn.q_proj.weight": decayed,
    "mid_level.0.cross_attn.kv_proj.weight": decayed,
    "mid_level.0.cross_attn.out_proj.weight": decayed,
    "patch_in.out_proj.weight": decayed,
    "mid_level.0.cross_attn.scale": not,
    "mid_level.0.cross_attn.norm_cond.scale": not,
    "pos_emb.weight": not,
    "out_norm.linear.weight": { lrScale: 1 / 3, weightDecay: true },
    "mid_level.0.cross_attn.norm.linear.weight": { lrScale: 1 / 3, weightDecay: true },
  };
  for (const [path, group] of Object.entries(groups)) {
    assert.deepEqual(paramGroup(path), group, path);
  }
});
