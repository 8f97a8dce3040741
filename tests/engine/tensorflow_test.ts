/**
 * The engine `tensorflow`, where `deno task setup --engine tensorflow` has been run. Its kernels
 * are compared with tfjs's own in kernels_test.ts.
 */
import assert from "node:assert/strict";
import util from "node:util";
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../lib/engine/compile.ts";
import { currentEngine, type EngineName, setEngine } from "../../lib/engine/engine.ts";
import { normals, uniforms } from "../../lib/engine/random.ts";
import {
  isTensorflowGpuLikely,
  isTensorflowSetUp,
  tensorflowDevice,
} from "../../lib/engine/tensorflow/register.ts";
import { treeDispose, treeLeaves, treeMap, treeSize } from "../../lib/engine/tree.ts";
import { hdit, type HditParams, initHdit, isBuffer, paramGroup } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import { initTrainState, makeTrainStep, stepScalars } from "../../lib/training/train_step.ts";

/** Float32 sums in another order; 20 steps of training amplify them a little. */
const LOSS = 1e-5;

const ignore = !isTensorflowSetUp();
if (ignore) {
  console.log("Tests on tensorflow are left out: run deno task setup --engine tensorflow");
}

Deno.test(
  "setEngine() says how to set tensorflow up where it is not",
  { ignore: !ignore },
  async () => {
    await assert.rejects(setEngine("tensorflow"), /run deno task setup --engine tensorflow/);
  },
);

Deno.test("setEngine() refuses a name it does not know", async () => {
  await assert.rejects(setEngine("tensorflw" as EngineName), /onnxruntime, tensorflow, cpu, auto/);
});

Deno.test("setEngine() takes onnxruntime for auto where there is no GPU", {
  ignore: isTensorflowGpuLikely(),
}, async () => {
  await setEngine("auto");
  assert.equal(currentEngine(), "onnxruntime");
});

Deno.test(
  "setEngine() switches between tensorflow and the others and back",
  { ignore },
  async () => {
    for (const name of ["tensorflow", "cpu", "onnxruntime", "tensorflow"] as const) {
      await setEngine(name);
      assert.equal(currentEngine(), name);
      const sum = tf.tidy(() => tf.sum(tf.square(tf.tensor1d([1, 2, 3]))));
      assert.equal((await sum.data())[0], 14);
      sum.dispose();
    }
    assert.match(tensorflowDevice().tensorflow, /^2\.\d+/);
  },
);

Deno.test(
  "registerTensorflow() puts the Node API in place that the package needs",
  { ignore },
  async () => {
    await setEngine("tensorflow");
    assert.ok("isNullOrUndefined" in util);
    assert.equal(Deno.env.get("TF_ENABLE_ONEDNN_OPTS"), "1");
    const { values, indices } = tf.topk(tf.tensor1d([1, 5, 3]), 2);
    assert.deepEqual([...await values.data(), ...await indices.data()], [5, 3, 1, 2]);
    treeDispose([values, indices]);
  },
);

type Batch = { x: tf.Tensor4D; target: tf.Tensor; sigma: tf.Tensor1D; classCond: tf.Tensor1D };
const spec = presets.smoke, PX = 16, B = 2;

function batchOf(step: number): Batch {
  const x = normals({ seed: 4, stream: "x" }, step, B * PX * PX * 3);
  return {
    x: tf.tensor4d(x, [B, PX, PX, 3]),
    target: tf.tensor4d(x.map((v, i) => v / 2 + i % 3), [B, PX, PX, 3]), // something to learn
    sigma: tf.tensor1d(uniforms({ seed: 4, stream: "sigma" }, step, B).map((u) => u + 0.1)),
    classCond: tf.tensor1d(new Int32Array(B), "int32"),
  };
}

/** Trains the smallest model and gives its losses, and the tensors that lived after each step. */
async function train(engine: EngineName, steps: number) {
  await setEngine(engine);
  const rules = { isBuffer, paramGroup };
  const optimiser = {
    kind: "adamw" as const,
    lr: 5e-3,
    betas: [0.9, 0.95] as const,
    eps: 1e-8,
    weightDecay: 1e-2,
  };
  const step = compile(makeTrainStep<HditParams, Batch>({
    rules,
    optimiser,
    loss: (params, { target, ...inputs }) =>
      tf.mean(tf.square(tf.sub(hdit(params, inputs, { spec }), target)), [1, 2, 3]) as tf.Tensor1D,
  }));
  let state = initTrainState(initHdit(spec, { seed: 5, stream: "init" }), rules);
  const losses: number[] = [], tensors: number[] = [];
  for (let i = 0; i < steps; i++) {
    const batch = batchOf(i);
    const scalars = stepScalars(state.params, { rules, optimiser, step: i, emaDecay: 0.9 });
    const out = await step({ state, batch, scalars });
    losses.push((await out.loss.data())[0]);
    treeDispose([state, batch, scalars, out.loss, out.losses, out.gradNorm]);
    state = out.state;
    tensors.push(tf.memory().numTensors);
  }
  treeDispose(state);
  step.dispose();
  return { losses, tensors };
}

Deno.test(
  "compile() trains to the same losses on tensorflow as on onnxruntime",
  { ignore },
  async () => {
    const wanted = await train("onnxruntime", 20), got = await train("tensorflow", 20);
    assert.ok(wanted.losses[19] < wanted.losses[0]);
    wanted.losses.forEach((loss, i) =>
      assert.ok(
        Math.abs(got.losses[i] - loss) <= LOSS * loss,
        `step ${i}: ${got.losses[i]}, ${loss}`,
      )
    );
    assert.equal(new Set(got.tensors.slice(1)).size, 1, "tensors leak");
  },
);

Deno.test("compile() records once for each set of shapes on tensorflow and then runs the graph", {
  ignore,
}, async () => {
  await setEngine("tensorflow");
  let calls = 0;
  const weight = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]); // taken from outside: baked in
  const fn = ({ x, y }: { x: tf.Tensor; y: tf.Tensor }) => {
    calls++;
    const [a, b] = tf.split(tf.matMul(x as tf.Tensor2D, weight), 2, 1); // an operation of two outputs
    const most = tf.topk(tf.add(tf.gather(b, [0, 1]), tf.sum(a)), 1);
    return { all: [most.values, tf.mul(most.values, tf.scalar(2))], x, twice: [y, y], a };
  };
  const compiled = compile(fn);
  const before = tf.memory().numTensors;
  for (const [i, rows] of [2, 2, 3, 2, 3].entries()) {
    const data = uniforms({ seed: 1, stream: "x" }, i, rows * 3);
    const x = tf.tensor2d(data, [rows, 3]), args = { x, y: i === 0 ? tf.clone(x) : tf.neg(x) };
    const got = await compiled(args);
    const wanted = tf.tidy(() => fn(args));
    const read = (tree: unknown) => treeLeaves(tree).map((t) => [t.shape, [...t.dataSync()]]);
    assert.deepEqual(read(got), read(wanted), `call ${i}`);
    treeDispose(got);
    assert.equal(x.isDisposed, false);
    treeDispose([args, wanted]);
  }
  assert.equal(compiled.stats.traces, tensorflowDevice().gpu ? 5 : 2);
  assert.equal(calls - 5, compiled.stats.traces);
  assert.ok(compiled.stats.nodes > 8);
  compiled.dispose();
  assert.equal(tf.memory().numTensors, before);
  weight.dispose();
});

Deno.test(
  "compile() calls a function that reads its inputs each time on tensorflow",
  { ignore },
  async () => {
    await setEngine("tensorflow");
    const compiled = compile((x: tf.Tensor) => tf.mul(x, tf.mul(x, 2).dataSync()[0] > 5 ? 1 : -1));
    for (const [x, wanted] of [[1, -1], [4, 4], [2, -2]]) {
      const input = tf.scalar(x), out = await compiled(input);
      assert.equal((await out.data())[0], wanted);
      treeDispose([input, out]);
    }
    assert.equal(compiled.stats.nodes, 0);
    compiled.dispose();
  },
);

Deno.test(
  "compile() calls a function that handles strings each time on tensorflow",
  { ignore },
  async () => {
    await setEngine("tensorflow");
    const word = tf.tensor1d(["a", "b"]);
    const compiled = compile((x: tf.Tensor) => tf.add(x, tf.concat([word, word]).size));
    for (const x of [1, 2]) {
      const input = tf.scalar(x), out = await compiled(input);
      assert.equal((await out.data())[0], x + 4);
      treeDispose([input, out]);
    }
    assert.equal(compiled.stats.nodes, 0);
    word.dispose();
    compiled.dispose();
  },
);

Deno.test(
  "compile() leaves nothing behind where the function throws on tensorflow",
  { ignore },
  async () => {
    await setEngine("tensorflow");
    const before = tf.memory().numTensors;
    const x = tf.ones([2, 3]);
    const compiled = compile((x: tf.Tensor) => {
      tf.square(x);
      throw new RangeError("no");
    });
    await assert.rejects(compiled(x), { message: "no" });
    x.dispose();
    assert.equal(tf.memory().numTensors, before);
    assert.equal((await tf.ones([2]).data()).length, 2); // what was wrapped is as it was
  },
);

Deno.test("compile() hands an input through and keeps the caller's tensors on tensorflow", {
  ignore,
}, async () => {
  await setEngine("tensorflow");
  const before = tf.memory().numTensors;
  const tree = { a: tf.ones([2, 2]), b: [tf.scalar(3)] };
  const twice = compile((t: typeof tree) => ({ ...treeMap(t, (x) => tf.mul(x, 2)), same: t.a }));
  const out = await twice(tree);
  assert.equal(treeSize(out), 9);
  assert.deepEqual([...await out.b[0].data()], [6]);
  assert.deepEqual([...await tree.a.data()], [1, 1, 1, 1]);
  treeDispose([out, tree]);
  assert.equal(tf.memory().numTensors, before);
});

Deno.test(
  "kernels that the package lacks run all the same, and leak nothing",
  { ignore },
  async () => {
    await setEngine("tensorflow");
    const before = tf.memory();
    const sorted = tf.tensor1d([1, 3, 5]), at = tf.tensor1d([2, 4, 9]);
    const found = tf.searchSorted(sorted, at); // SearchSorted is not in the package
    assert.deepEqual([...await found.data()], [1, 2, 3]);
    const rounded = tf.round(tf.tensor1d([-5], "int32"));
    assert.deepEqual([...await rounded.data()], [-5]);
    treeDispose([sorted, at, found, rounded]);
    assert.equal(tf.memory().numTensors - before.numTensors, 1); // the tensor that round was given
  },
);
