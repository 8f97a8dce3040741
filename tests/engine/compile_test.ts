import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { compile, type Compiled } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import type { OnnxRuntimeBackend } from "../../lib/engine/onnxruntime/backend.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeDispose } from "../../lib/engine/tree.ts";

/** One function run eagerly and compiled: the same operations, perhaps fused by ONNX Runtime. */
const SAME = 1e-5;

await setEngine("onnxruntime");
const backend = tf.backend() as OnnxRuntimeBackend;

const values = (t: tf.Tensor) => [...t.dataSync()];
const noise = (shape: number[], seed: number) =>
  tf.tensor(normals({ seed, stream: "compile" }, 0, shape.reduce((a, b) => a * b, 1)), shape);

function assertSame(actual: tf.Tensor, expected: tf.Tensor): void {
  assert.deepEqual(actual.shape, expected.shape);
  const wanted = values(expected);
  values(actual).forEach((got, i) =>
    assert.ok(Math.abs(got - wanted[i]) <= SAME * (1 + Math.abs(wanted[i])))
  );
}

/** A small regression by gradient descent with momentum. */
type State = { w: tf.Tensor; b: tf.Tensor; moment: { w: tf.Tensor; b: tf.Tensor } };
type Step = { state: State; x: tf.Tensor; y: tf.Tensor; rate: tf.Tensor };

function initState(inputs: number, outputs: number): State {
  return {
    w: noise([inputs, outputs], 1),
    b: tf.zeros([outputs]),
    moment: { w: tf.zeros([inputs, outputs]), b: tf.zeros([outputs]) },
  };
}

function trainStep({ state, x, y, rate }: Step): { state: State; loss: tf.Tensor } {
  const { value: loss, grads: [dw, db] } = tf.valueAndGrads((w, b) =>
    tf.tanh(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D).add(b)).sub(y).square().mean()
  )([state.w, state.b]);
  const moment = { w: state.moment.w.mul(0.9).add(dw), b: state.moment.b.mul(0.9).add(db) };
  return {
    state: { w: state.w.sub(moment.w.mul(rate)), b: state.b.sub(moment.b.mul(rate)), moment },
    loss,
  };
}

const batch = (inputs: number, outputs: number) => ({
  x: noise([8, inputs], 2),
  y: noise([8, outputs], 3),
  rate: tf.scalar(0.1),
});

Deno.test("compile() gives what the function gives, gradients and state from step to step", async () => {
  const step = compile(trainStep);
  const data = batch(5, 3);
  let eager = initState(5, 3), compiled = initState(5, 3);
  for (let i = 0; i < 5; i++) {
    const expected = tf.tidy(() => trainStep({ state: eager, ...data }));
    const actual = await step({ state: compiled, ...data });
    assertSame(actual.loss, expected.loss);
    assertSame(actual.state.w, expected.state.w);
    assertSame(actual.state.moment.b, expected.state.moment.b);
    eager = expected.state;
    compiled = actual.state;
  }
  assert.deepEqual([step.stats.traces, step.stats.calls], [1, 5]);
  step.dispose();
});

Deno.test("compile() traces again when a shape, a dtype or the tree changes, and only then", async () => {
  const twice = compile((tree: { [name: string]: tf.Tensor }) => ({
    out: tf.addN(Object.values(tree).map((t) => t.cast("float32").sum())).mul(2),
  }));
  const call = async (tree: { [name: string]: tf.Tensor }) => values((await twice(tree)).out)[0];
  assert.equal(await call({ a: tf.ones([2]) }), 4);
  assert.equal(await call({ a: tf.ones([2]).mul(3) }), 12);
  assert.equal(twice.stats.traces, 1);
  assert.equal(await call({ a: tf.ones([3]) }), 6);
  assert.equal(await call({ a: tf.ones([2], "int32") }), 4);
  assert.equal(await call({ a: tf.ones([2]), b: tf.ones([1]) }), 6);
  assert.equal(await call({ b: tf.ones([2]) }), 4);
  assert.equal(twice.stats.traces, 5);
  assert.equal(await call({ a: tf.ones([2]) }), 4);
  assert.equal(twice.stats.traces, 5);
  twice.dispose();
});

Deno.test("compile() hands inputs through, repeats outputs, and gives views and constants", async () => {
  const f = compile(({ x }: { x: tf.Tensor }) => {
    const y = x.add(1);
    return {
      same: x,
      view: tf.reshape(x, [4]),
      y,
      again: y,
      flat: tf.reshape(y, [4]),
      constant: tf.tensor1d([7, 8]),
      zeros: tf.zerosLike(x),
    };
  });
  for (const k of [1, 2]) {
    const x = tf.tensor2d([k, 2, 3, 4], [2, 2]);
    const out = await f({ x });
    x.dispose(); // the outputs live on
    assert.deepEqual(values(out.same), [k, 2, 3, 4]);
    assert.deepEqual(out.view.shape, [4]);
    assert.deepEqual(values(out.view), [k, 2, 3, 4]);
    assert.deepEqual(values(out.y), [k + 1, 3, 4, 5]);
    assert.deepEqual(values(out.flat), values(out.again));
    assert.deepEqual(values(out.constant), [7, 8]);
    assert.deepEqual(values(out.zeros), [0, 0, 0, 0]);
    out.y.dispose();
    assert.deepEqual(values(out.again), [k + 1, 3, 4, 5]);
    treeDispose({ ...out, y: undefined });
  }
  f.dispose();
});

Deno.test("compile() bakes in what the function takes from outside, and leaves it alone", async () => {
  const scale = tf.tensor1d([1, 2, 3]).add(1); // not computed yet
  const f = compile(({ x }: { x: tf.Tensor }) => ({ y: x.mul(scale), scale }));
  const first = await f({ x: tf.ones([3]) });
  assert.deepEqual(values(first.y), [2, 3, 4]);
  assert.deepEqual(values(first.scale), [2, 3, 4]);
  assert.ok(!scale.isDisposed);
  scale.dispose();
  assert.deepEqual(values((await f({ x: tf.ones([3]).mul(2) })).y), [4, 6, 8]);
  f.dispose();
});

Deno.test("compile() takes inputs that are not computed yet", async () => {
  const f = compile(({ x }: { x: tf.Tensor }) => x.mul(2));
  const pending = tf.ones([2]).add(tf.ones([2]));
  assert.deepEqual(values(await f({ x: pending })), [4, 4]);
  assert.deepEqual(values(await f({ x: await f({ x: pending }) })), [8, 8]);
  f.dispose();
});

Deno.test("compile() says what to do where the function reads a tensor", async () => {
  const before = tf.memory().numTensors;
  const x = tf.ones([2]);
  for (const read of [(t: tf.Tensor) => t.dataSync(), (t: tf.Tensor) => t.add(1).dataSync()]) {
    const f = compile(({ x }: { x: tf.Tensor }) => {
      read(x);
      return x;
    });
    await assert.rejects(() => f({ x }), /Cannot read a tensor inside compile\(\).*return it/);
  }
  x.dispose();
  assert.equal(tf.memory().numTensors, before, "a failed trace leaves no tensors");
  assert.deepEqual(values(tf.ones([2]).add(1)), [2, 2]);
});

Deno.test("compile() works with tensors without elements and without dimensions", async () => {
  const f = compile(({ none, one }: { none: tf.Tensor; one: tf.Tensor }) => ({
    none: none.add(one),
    sum: none.sum(),
    joined: tf.concat([none, one.reshape([1, 1]).tile([1, 2])]),
  }));
  const out = await f({ none: tf.zeros([0, 2]), one: tf.scalar(3) });
  assert.deepEqual(out.none.shape, [0, 2]);
  assert.deepEqual(values(out.none), []);
  assert.deepEqual(values(out.sum), [0]);
  assert.deepEqual(values(out.joined), [3, 3]);
  f.dispose();
});

Deno.test("compile() keeps int32 and bool through inputs and outputs", async () => {
  const f = compile(({ i, b }: { i: tf.Tensor; b: tf.Tensor }) => ({
    i: i.mul(tf.scalar(3, "int32")),
    b: tf.logicalNot(b),
    mixed: tf.where(b, i, tf.zerosLike(i)),
  }));
  const out = await f({ i: tf.tensor1d([1, -2], "int32"), b: tf.tensor1d([true, false], "bool") });
  assert.deepEqual([out.i.dtype, out.b.dtype, out.mixed.dtype], ["int32", "bool", "int32"]);
  assert.deepEqual([values(out.i), values(out.b), values(out.mixed)], [[3, -6], [0, 1], [1, 0]]);
  f.dispose();
});

Deno.test("compile() keeps a bounded number of plans, the last used", async () => {
  const f = compile(({ x }: { x: tf.Tensor }) => x.sum());
  for (let n = 1; n <= 12; n++) assert.deepEqual(values(await f({ x: tf.ones([n]) })), [n]);
  assert.equal(f.stats.traces, 12);
  await f({ x: tf.ones([12]) });
  assert.equal(f.stats.traces, 12);
  await f({ x: tf.ones([1]) }); // dropped by then
  assert.equal(f.stats.traces, 13);
  f.dispose();
});

Deno.test("dispose() of a compiled function frees its graphs, and it can be called again", async () => {
  const f = compile(({ x }: { x: tf.Tensor }) => x.add(1));
  const kept = await f({ x: tf.ones([2]) });
  f.dispose();
  f.dispose();
  assert.deepEqual(values(kept), [2, 2]);
  assert.deepEqual(values(await f({ x: tf.ones([2]) })), [2, 2]);
  assert.equal(f.stats.traces, 2);
  f.dispose();
});

Deno.test("two compiled functions over two specs, interleaved, do not disturb each other", async () => {
  const specs = [{ inputs: 4, outputs: 2 }, { inputs: 7, outputs: 5 }];
  const run = async (
    steps: Compiled<Step, ReturnType<typeof trainStep>>[],
    order: number[],
  ): Promise<number[][]> => {
    const states = specs.map(({ inputs, outputs }) => initState(inputs, outputs));
    const losses: number[][] = specs.map(() => []);
    for (const i of order) {
      const { state, loss } = await steps[i]({
        state: states[i],
        ...batch(specs[i].inputs, specs[i].outputs),
      });
      states[i] = state;
      losses[i].push(values(loss)[0]);
    }
    return losses;
  };
  const apart = await run(specs.map(() => compile(trainStep)), [0, 0, 0, 1, 1, 1]);
  const interleaved = await run(specs.map(() => compile(trainStep)), [0, 1, 1, 0, 0, 1]);
  assert.deepEqual(interleaved, apart);
  const shared = compile(trainStep);
  assert.deepEqual(await run([shared, shared], [1, 0, 1, 0, 1, 0]), apart);
});

Deno.test("calls of one compiled function that overlap give each its own result", async () => {
  const f = compile(({ x }: { x: tf.Tensor }) => x.mul(2));
  const outs = await Promise.all([1, 2, 3].map((k) => f({ x: tf.scalar(k) })));
  assert.deepEqual(outs.map((out) => values(out)[0]), [2, 4, 6]);
  f.dispose();
});

Deno.test("compile() on another engine is the function under tidy()", async () => {
  await setEngine("cpu");
  const f = compile(({ x }: { x: tf.Tensor }) => ({ y: x.add(1).mul(2) }));
  const x = tf.ones([2]);
  const before = tf.memory().numTensors;
  const { y } = await f({ x });
  assert.deepEqual(values(y), [4, 4]);
  assert.equal(tf.memory().numTensors, before + 1);
  await setEngine("onnxruntime");
});

/**
 * Mebibytes that 500 steps may add. The collector lets some tens of steps' outputs pile up, and
 * the allocator keeps what it once had; leaking one state of 4 MiB a step would add 2,000.
 */
const GROWTH = 600;

Deno.test("500 steps of training add no tensors and no resident memory", async () => {
  const step = compile(trainStep);
  const data = batch(512, 1024);
  let state = initState(512, 1024); // 4 MiB
  const advance = async () => {
    const { state: next, loss } = await step({ state, ...data });
    treeDispose([state, loss]);
    state = next;
  };
  for (let i = 0; i < 100; i++) await advance();
  const tensors = tf.memory().numTensors, ids = backend.numDataIds();
  const before = Deno.memoryUsage().rss;
  for (let i = 0; i < 500; i++) await advance();
  assert.equal(tf.memory().numTensors, tensors);
  assert.equal(backend.numDataIds(), ids);
  const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < GROWTH, `grew by ${grown.toFixed(0)} MiB`);
  treeDispose([state, data]);
  step.dispose();
});

Deno.test("dispose() of a compiled function's result frees its memory at once where nobody can still need it", async () => {
  const double = compile((x: tf.Tensor) => x.mul(2));
  const x = tf.tensor1d([1, 2, 3]);
  const memoryOf = (t: tf.Tensor) => backend.storage(t.dataId).data!;
  const unseen = await double(x), bytes = memoryOf(unseen);
  const next = await double(unseen);
  unseen.dispose();
  assert.equal(bytes.length, 0);
  assert.deepEqual(values(next), [4, 8, 12]);

  const read = await double(x), numbers = await read.data();
  read.dispose();
  assert.deepEqual([...numbers], [2, 4, 6]); // the array is its reader's
  const used = await double(x), later = used.add(1), twin = used.clone();
  used.dispose();
  assert.deepEqual(values(later), [3, 5, 7]); // computed after it was disposed
  assert.deepEqual(values(twin), [2, 4, 6]);
  const [shared, baked] = [await double(x), await double(x)];
  const through = await compile((x: tf.Tensor) => ({ x }))(shared);
  shared.dispose();
  assert.deepEqual(values(through.x), [2, 4, 6]);
  const plus = compile((x: tf.Tensor) => x.add(baked));
  treeDispose([await plus(x)]);
  baked.dispose();
  assert.deepEqual(values(await plus(x)), [3, 6, 9]);
  treeDispose([x, next, later, twin, through]);
});

Deno.test("eager code keeps a bounded number of sessions, and reuses them", () => {
  tf.tidy(() => {
    const before = backend.eagerSessions;
    for (let i = 0; i < 20; i++) tf.ones([3]).add(i).mul(2).dataSync();
    assert.ok(backend.eagerSessions <= before + 1, "one structure, one session");
    for (let n = 1; n <= 300; n++) tf.ones([n]).add(1).dataSync();
    assert.ok(backend.eagerSessions <= 256, `${backend.eagerSessions}`);
    assert.ok(backend.eagerSessions > 200, `${backend.eagerSessions}`);
  });
});

Deno.test("dataSync() and data() give the same numbers, computed or not", async () => {
  const x = noise([3, 4], 9);
  const sync = x.exp().sum(0), async = x.exp().sum(0);
  assert.deepEqual(await async.data(), sync.dataSync());
  assert.deepEqual(await sync.data(), sync.dataSync());
  assert.deepEqual(await x.data(), x.dataSync());
  tf.dispose([x, sync, async]);
});
