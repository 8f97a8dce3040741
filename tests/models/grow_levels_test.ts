import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries, treeMap } from "../../lib/engine/tree.ts";
import { growLevelsParams } from "../../lib/models/grow_levels.ts";
import { hdit, initHdit, stateDictShapes } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import { growLevels, type HditSpec } from "../../lib/models/spec.ts";
import { tokenMerge } from "../../lib/nn/token_merge.ts";
import { tokenSplitWithoutSkip } from "../../lib/nn/token_split.ts";
import { assertClose, random } from "../nn/assert.ts";

await setEngine("cpu");

const stream = { seed: 7, stream: "grown" };
const from: HditSpec = { ...presets.smoke, skip: { kind: "concat" } };
const trained = (spec: HditSpec) =>
  treeMap(initHdit(spec, stream), (t, path) => tf.add(t, tf.mul(random(t.shape, path), 0.1)));
const grow = (spec: HditSpec, to = growLevels(spec, { doublings: 2 })) => {
  const params = trained(spec);
  const grown = growLevelsParams(params, { from: spec, to, random: stream });
  return { params, grown, to };
};
const numbers = (tree: unknown) =>
  new Map(treeEntries(tree).map(([path, leaf]) => [path, leaf.dataSync()]));

Deno.test("growLevelsParams() has the names and shapes of the larger model, in tensors of its own", () => {
  const { params, grown, to } = grow(from);
  const shapes = new Map(treeEntries(grown).map(([path, leaf]) => [path, leaf.shape]));
  assert.deepEqual(shapes, stateDictShapes(to));
  treeDispose(params);
  for (const [path, leaf] of treeEntries(grown)) assert.ok(leaf.dataSync().length > 0, path);
});

Deno.test("growLevelsParams() repeats the shallowest level and moves the others down", () => {
  const { params, grown } = grow(from);
  const [before, after] = [numbers(params), numbers(grown)];
  for (const [path, values] of after) {
    const [part, level, ...rest] = path.split(".");
    if (part === "down_levels" || part === "up_levels") {
      assert.deepEqual(values, before.get([part, 0, ...rest].join(".")), path);
    } else if (part === "merges" || part === "splits") {
      if (level === "2") assert.deepEqual(values, before.get([part, 0, ...rest].join(".")), path);
    } else assert.deepEqual(values, before.get(path), path);
  }
});

Deno.test("growLevelsParams() makes new boundaries average four tokens and copy back to four", () => {
  tf.tidy(() => {
    const { grown } = grow(from);
    const x = random([1, 4, 6, 16]);
    const merged = tokenMerge(grown.merges[0], x);
    assertClose(merged, tf.avgPool(x as tf.Tensor4D, 2, 2, "valid"));
    const split = tokenSplitWithoutSkip(grown.splits[0], merged);
    assertClose(split, tf.image.resizeNearestNeighbor(merged as tf.Tensor4D, [4, 6]));
    const [skip, up] = tf.split(grown.splits[0].skip_proj!.weight, 2, 1);
    for (const half of [skip, up]) assertClose(half, tf.mul(tf.eye(16), 0.5));
  });
});

Deno.test("growLevelsParams() of an isotropic model repeats its only level, way down and up", () => {
  const spec: HditSpec = { ...from, levels: [{ ...from.levels[1], depth: 2 }] };
  const { params, grown } = grow(spec, growLevels(spec, { doublings: 1 }));
  const [before, after] = [numbers(params), numbers(grown)];
  for (const level of ["down_levels.0", "up_levels.0", "mid_level"]) {
    const path = "1.ff.up_proj.weight";
    assert.deepEqual(after.get(`${level}.${path}`), before.get(`mid_level.${path}`));
  }
});

Deno.test("growLevelsParams() interpolates learned positions and starts afresh what is new", () => {
  const spec: HditSpec = { ...from, numClasses: 0, position: { kind: "learned", grid: [2, 3] } };
  const { params, grown } = grow(spec, { ...growLevels(spec, { doublings: 1 }), numClasses: 4 });
  tf.tidy(() => {
    const corner = (table: tf.Tensor) => tf.slice(table, [0, 0, 0], [1, 1, -1]);
    assert.deepEqual(grown.pos_emb!.weight.shape, [4, 6, 16]);
    assertClose(corner(grown.pos_emb!.weight), corner(params.pos_emb!.weight), { tolerance: 1e-6 });
  });
  const fresh = initHdit({ ...spec, numClasses: 4 }, stream).class_emb!.weight.dataSync();
  assert.deepEqual(grown.class_emb!.weight.dataSync(), fresh);
});

Deno.test("growLevelsParams() gives a model that runs at the larger size", () => {
  tf.tidy(() => {
    const { grown, to } = grow({ ...from, numClasses: 0 });
    const x = random([1, 64, 64, 3]);
    const y = hdit(grown, { x, sigma: tf.tensor1d([1]) }, { spec: to });
    assert.ok(y.dataSync().every(Number.isFinite) && y.dataSync().some((v) => v !== 0));
  });
});

Deno.test("growLevelsParams() refuses fewer levels and other shapes", () => {
  const params = trained(from);
  const fewer = { ...from, levels: from.levels.slice(1) };
  assert.throws(
    () => growLevelsParams(params, { from, to: fewer, random: stream }),
    /must not lose levels: it has 2, the larger one 1/,
  );
  const wider = { ...from, mapping: { ...from.mapping, width: 64 } };
  assert.throws(
    () => growLevelsParams(params, { from, to: wider, random: stream }),
    /time_emb\.weight must be \[32,1\]: the trained one is \[16,1\]/,
  );
});

Deno.test("growLevelsParams() leaves no tensors behind but its result", () => {
  const params = trained(from);
  const before = tf.memory().numTensors;
  const to = growLevels(from, { doublings: 1 });
  treeDispose(growLevelsParams(params, { from, to, random: stream }));
  assert.equal(tf.memory().numTensors, before);
});
