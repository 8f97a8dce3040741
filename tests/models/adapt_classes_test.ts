import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { adaptClasses } from "../../lib/models/adapt_classes.ts";
import { growLevelsParams } from "../../lib/models/grow_levels.ts";
import { hdit, type HditParams, initHdit } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import { growLevels, type HditSpec } from "../../lib/models/spec.ts";

await setEngine("cpu");

const random = { seed: 3, stream: "model" };
const withClasses = (numClasses: number): HditSpec => ({ ...presets.smoke, numClasses });

/** Parameters none of which is zero, as training would leave them. */
function trained(spec: HditSpec): HditParams {
  const params = initHdit(spec, random);
  for (const [, leaf] of treeEntries(params)) {
    const moved = leaf.dataSync().map((v, i) => v + 0.05 * Math.sin(i + leaf.size));
    leaf.dataSync().set(moved);
  }
  return params;
}

const rows = (params: HditParams) => params.class_emb!.weight.arraySync() as number[][];
const output = (params: HditParams, spec: HditSpec, label: number) =>
  tf.tidy(() => [
    ...hdit(params, {
      x: tf.tensor4d(Float32Array.from({ length: 16 * 16 * 3 }, (_, i) => Math.cos(i)), [
        1,
        16,
        16,
        3,
      ]),
      sigma: tf.tensor1d([0.8]),
      ...(spec.numClasses > 0 ? { classCond: tf.tensor1d([label], "int32") } : {}),
    }, { spec }).dataSync(),
  ]);

Deno.test("adaptClasses() keeps known classes and the null class, and starts new ones afresh", () => {
  const number = fc.integer({ min: 1, max: 7 });
  fc.assert(
    fc.property(number, number, (before, after) => {
      const from = withClasses(before), to = withClasses(after), params = trained(from);
      const adapted = adaptClasses(params, { from, to, random: { seed: 9, stream: "new" } });
      const fresh = initHdit(to, { seed: 9, stream: "new" });
      const kept = Math.min(before, after);
      assert.deepEqual(rows(adapted).slice(0, kept), rows(params).slice(0, kept));
      assert.deepEqual(rows(adapted).slice(kept, after), rows(fresh).slice(kept, after));
      assert.deepEqual(rows(adapted).at(-1), rows(params).at(-1));
      for (const label of [0, before]) { // what the model computes, the null class included
        const same = label === before ? after : label;
        assert.deepEqual(output(adapted, to, same), output(params, from, label));
      }
    }),
    { numRuns: 8 },
  );
});

Deno.test("adaptClasses() gives classes to a model without, which computes the same for the null class", () => {
  const from = withClasses(0), to = withClasses(4), params = trained(from);
  const adapted = adaptClasses(params, { from, to, random });
  assert.deepEqual(output(adapted, to, 4), output(params, from, 0));
  assert.notDeepEqual(output(adapted, to, 1), output(params, from, 0));
  const back = adaptClasses(adapted, { from: to, to: from, random });
  assert.deepEqual(output(back, from, 0), output(params, from, 0));
  assert.ok(!("class_emb" in back));
});

Deno.test("adaptClasses() then growLevelsParams() fine-tunes to another size and other classes", () => {
  const from = withClasses(2), params = trained(from);
  const other = withClasses(3), larger = growLevels(other, { doublings: 1 });
  const adapted = adaptClasses(params, { from, to: other, random });
  const grown = growLevelsParams(adapted, { from: other, to: larger, random });
  assert.equal(grown.down_levels.length, from.levels.length);
  assert.deepEqual(rows(grown), rows(adapted));
  assert.throws(
    () => adaptClasses(params, { from, to: larger, random }),
    /Cannot adapt the classes as merges\.0\.proj\.weight must be/,
  );
});

Deno.test("adaptClasses() leaves no tensors but its result and disposes none of the given ones", () => {
  const from = withClasses(2), to = withClasses(5), params = trained(from);
  const before = tf.memory().numTensors;
  const adapted = adaptClasses(params, { from, to, random });
  assert.equal(tf.memory().numTensors, before + treeEntries(adapted).length);
  tf.dispose(adapted as unknown as tf.TensorContainer);
  assert.equal(tf.memory().numTensors, before);
  assert.equal(rows(params).length, 3);
});
