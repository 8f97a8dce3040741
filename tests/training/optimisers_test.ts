import assert from "node:assert/strict";
import fc from "fast-check";
import { Matrix, SingularValueDecomposition } from "ml-matrix";
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { presets } from "../../lib/models/presets.ts";
import { isHidden } from "../../lib/models/hidden_weights.ts";
import { isBuffer, paramGroup, stateDictShapes } from "../../lib/models/hdit.ts";
import { orthogonalise } from "../../lib/training/muon.ts";
import {
  type OptimiserOptions,
  resolveOptimiser,
  withRates,
} from "../../lib/training/optimisers.ts";
import { initTrainState, makeTrainStep, stepScalars } from "../../lib/training/train_step.ts";
import { findPython, runPython } from "../python.ts";

await setEngine("cpu");

/** Settings in which every term of each formula matters. */
const optimisers: Record<string, OptimiserOptions> = {
  adamw: { lr: 0.02, weightDecay: 0.3 },
  adam: { kind: "adam", lr: 0.02, betas: [0.8, 0.9], eps: 1e-4, weightDecay: 0.3 },
  "sgd without momentum": { kind: "sgd", lr: 0.1, weightDecay: 0.2 },
  "sgd with momentum": { kind: "sgd", lr: 0.1, momentum: 0.8, weightDecay: 0.2 },
  "sgd with Nesterov's momentum": { kind: "sgd", lr: 0.1, momentum: 0.8, nesterov: true },
  muon: { kind: "muon", lr: 0.05, weightDecay: 0.2, adamw: { lr: 0.01 } },
};

type Params = { matrix: tf.Tensor; gain: tf.Tensor };
const rules = {
  isBuffer: () => false,
  paramGroup: (path: string) =>
    path === "matrix" ? { lrScale: 1, weightDecay: true } : { lrScale: 1 / 3, weightDecay: false },
  isHidden: (path: string) => path === "matrix",
};
const shapes: Record<keyof Params, [number, number] | [number]> = { matrix: [5, 3], gain: [3] };
const draw = (stream: string, shape: number[], counter = 0) =>
  normals({ seed: 1, stream }, counter, shape.reduce((a, b) => a * b, 1));
const start = (): Params => ({
  matrix: tf.tensor(draw("matrix", shapes.matrix), shapes.matrix),
  gain: tf.tensor(draw("gain", shapes.gain), shapes.gain),
});

/** Runs steps of the real train step on a loss, at rates that change, and gives the state at the end. */
async function run<Batch extends tf.TensorContainer>(
  options: OptimiserOptions,
  { loss, batches, maxNorm }: {
    loss: (params: Params, batch: Batch) => tf.Tensor1D;
    batches: Batch[];
    maxNorm: number;
  },
) {
  const optimiser = resolveOptimiser(options);
  const step = compile(makeTrainStep<Params, Batch>({ loss, rules, optimiser, maxNorm }));
  let state = initTrainState(start(), { ...rules, optimiser });
  const losses: number[] = [];
  for (const [i, batch] of batches.entries()) {
    const now = withRates(optimiser, (base) => base / (1 + i / 10));
    const scalars = stepScalars(state.params, { rules, optimiser: now, step: i, emaDecay: 0 });
    const out = await step({ state, batch, scalars });
    losses.push((await out.loss.data())[0]);
    treeDispose([state, scalars, out.loss, out.losses, out.gradNorm]);
    state = out.state;
  }
  const numbers: Record<string, number[]> = {};
  for (const [path, leaf] of treeEntries(state)) numbers[path] = [...await leaf.data()];
  treeDispose(state);
  step.dispose();
  return { losses, numbers, traces: step.stats.traces };
}

/** Gradients that are given: the loss is their product with the parameters. */
const STEPS = 6, CLIP = 2;
const gradients = Array.from({ length: STEPS }, (_, i) => ({
  matrix: tf.tensor(draw("g", shapes.matrix, i), shapes.matrix),
  gain: tf.tensor(draw("h", shapes.gain, i), shapes.gain),
}));
const linear = (params: Params, given: Params) =>
  tf.add(tf.sum(params.matrix.mul(given.matrix)), tf.sum(params.gain.mul(given.gain)))
    .reshape([1]) as tf.Tensor1D;

/** The documented formulas of torch's optimisers, and of Muon, in NumPy's double precision. */
const NUMPY = `
import json, sys
import numpy as np
o, start, grads, clip = json.loads(sys.argv[1])
p = {k: np.array(v) for k, v in start.items()}
state = {}
for t, g in enumerate(grads, 1):
    g = {k: np.array(v) for k, v in g.items()}
    norm = np.sqrt(sum((x ** 2).sum() for x in g.values()))
    for k in p:
        x = g[k] * min(1, clip / (norm + 1e-6))
        hidden = k == "matrix"
        s = o if o["kind"] != "muon" or hidden else {"kind": "adamw", **o["adamw"]}
        lr = s["lr"] / (1 + (t - 1) / 10) * (1 if hidden else 1 / 3)
        wd = s["weightDecay"] if hidden else 0
        if s["kind"] == "sgd":
            x = x + wd * p[k]
            if s["momentum"]:
                b = state[k] = s["momentum"] * state[k] + x if k in state else x
                x = x + s["momentum"] * b if s["nesterov"] else b
            p[k] = p[k] - lr * x
        elif s["kind"] == "muon":
            b = state[k] = 0.95 * state.get(k, 0) + 0.05 * x
            y = 0.05 * x + 0.95 * b
            y = y / (np.linalg.norm(y) + 1e-7)
            flat = y.T if y.shape[0] > y.shape[1] else y
            for _ in range(5):
                a = flat @ flat.T
                flat = 3.4445 * flat + (-4.7750 * a + 2.0315 * a @ a) @ flat
            y = flat.T if y.shape[0] > y.shape[1] else flat
            p[k] = p[k] * (1 - lr * wd) - lr * max(1, y.shape[0] / y.shape[1]) ** 0.5 * y
        else:
            b1, b2 = s["betas"]
            if s["kind"] == "adam":
                x = x + wd * p[k]
            else:
                p[k] = p[k] * (1 - lr * wd)
            m, v = state.get(k, (0, 0))
            m, v = state[k] = b1 * m + (1 - b1) * x, b2 * v + (1 - b2) * x ** 2
            p[k] = p[k] - lr * (m / (1 - b1 ** t)) / (np.sqrt(v / (1 - b2 ** t)) + s["eps"])
print(json.dumps({k: v.ravel().tolist() for k, v in p.items()}))
`;

const python = await findPython("numpy");
if ("missing" in python) console.log(`Optimisers are not compared with NumPy: ${python.missing}`);

Deno.test(
  "leafUpdate() agrees with torch's formulas for every optimiser, rates changing and gradients clipped",
  { ignore: "missing" in python },
  async () => {
    const arrays = (params: Params) => ({
      matrix: params.matrix.arraySync(),
      gain: params.gain.arraySync(),
    });
    for (const [name, options] of Object.entries(optimisers)) {
      const given = [resolveOptimiser(options), arrays(start()), gradients.map(arrays), CLIP];
      const wanted = JSON.parse(
        await runPython((python as { python: string }).python, {
          code: NUMPY,
          args: [JSON.stringify(given)],
        }),
      );
      const { numbers } = await run(options, { loss: linear, batches: gradients, maxNorm: CLIP });
      for (const [path, values] of Object.entries<number[]>(wanted)) {
        values.forEach((value, i) => {
          const got = numbers[`params.${path}`][i]; // float32 against doubles over six steps
          assert.ok(Math.abs(got - value) < 2e-6, `${name}: ${path}[${i}] is ${got}, not ${value}`);
        });
      }
    }
  },
);

Deno.test("initTrainState() keeps what each optimiser needs and no more", async () => {
  const kept: Record<string, string[]> = {
    adamw: ["m.matrix", "m.gain", "v.matrix", "v.gain"],
    adam: ["m.matrix", "m.gain", "v.matrix", "v.gain"],
    "sgd without momentum": [],
    "sgd with momentum": ["m.matrix", "m.gain"],
    "sgd with Nesterov's momentum": ["m.matrix", "m.gain"],
    muon: ["m.matrix", "m.gain", "v.gain"],
  };
  for (const [name, options] of Object.entries(optimisers)) {
    const { numbers } = await run(options, { loss: linear, batches: gradients, maxNorm: CLIP });
    assert.deepEqual(Object.keys(numbers).filter((path) => /^[mv]\./.test(path)), kept[name], name);
  }
});

Deno.test("makeTrainStep() descends on any well-conditioned quadratic with every optimiser, on both engines and traced once", async () => {
  for (const engine of ["cpu", "onnxruntime"] as const) {
    await setEngine(engine);
    for (const [name, options] of Object.entries(optimisers)) {
      const lr = options.kind === "sgd" ? 0.1 : 0.2; // these move by the rate, not by the slope
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: 1000 }), async (seed) => {
          const target = tf.tensor(draw("target", [4, 3], seed), [4, 3]);
          // signed, scaled rows of the identity: the curvatures lie within a factor of 4
          const x = tf.tensor2d(
            draw("x", [4, 5], seed).map((value, i) =>
              i % 5 === Math.floor(i / 5)
                ? Math.sign(value) * (2 + Math.min(1, Math.abs(value)))
                : 0
            ),
            [4, 5],
          );
          const loss = (
            { matrix, gain }: Params,
            { x, target }: Record<"x" | "target", tf.Tensor>,
          ) =>
            tf.matMul(x as tf.Tensor2D, matrix as tf.Tensor2D).add(gain).sub(target)
              .square().mean(1) as tf.Tensor1D;
          const { losses, traces } = await run(
            { ...options, lr, weightDecay: 0 } as OptimiserOptions,
            { loss, batches: Array(60).fill({ x, target }), maxNorm: 100 },
          );
          const last = losses.at(-1)!;
          assert.ok(last < 0.3 * losses[0], `${name}: ${losses[0]} to ${last}`);
          if (engine === "onnxruntime") assert.equal(traces, 1);
          treeDispose([x, target]);
        }),
        { numRuns: 3 },
      );
    }
  }
  await setEngine("cpu");
});

Deno.test("orthogonalise() brings singular values near 1 and leaves the singular vectors", () => {
  const singular = fc.double({ min: 0.05, max: 1, noNaN: true });
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 0, max: 5 }),
    fc.array(singular, { minLength: 9, maxLength: 9 }),
    fc.boolean(),
    fc.double({ min: 1e-4, max: 1e4, noNaN: true }),
    (n, more, values, tall, scale) => {
      const rotation = (size: number, name: string) =>
        new SingularValueDecomposition(
          Matrix.from1DArray(size, size, [...draw(name, [size, size])]),
        ).leftSingularVectors;
      const u = rotation(n + more, "u"), v = rotation(n, "v");
      const s = Matrix.zeros(n + more, n);
      for (let i = 0; i < n; i++) s.set(i, i, scale * values[i]);
      const wide = u.mmul(s).mmul(v.transpose()), matrix = tall ? wide : wide.transpose();
      const given = tf.tensor2d(matrix.to2DArray());
      const out = new Matrix(orthogonalise(given).arraySync());
      for (const value of new SingularValueDecomposition(tall ? out : out.transpose()).diagonal) {
        assert.ok(value > 0.65 && value < 1.25, `a singular value is ${value}`);
      }
      // M' O = V S S' V' is symmetric if and only if the vectors are those of M
      const product = tall ? matrix.transpose().mmul(out) : matrix.mmul(out.transpose());
      const skew = Matrix.sub(product, product.transpose()).norm();
      assert.ok(skew < 1e-4 * product.norm(), `off by ${skew / product.norm()}`);
    },
  ));
  assert.deepEqual([...orthogonalise(tf.zeros([2, 3])).dataSync()], [0, 0, 0, 0, 0, 0]);
});

Deno.test("isHidden() has the matrices between the first layer and the last, of every preset", () => {
  for (const [name, spec] of Object.entries(presets)) {
    for (const [path, shape] of stateDictShapes(spec)) {
      if (!isHidden(path)) continue;
      assert.equal(shape.length, 2, `${name}: ${path} is no matrix`);
      assert.ok(!isBuffer(path) && paramGroup(path).weightDecay && !/patch|emb|_in_/.test(path));
    }
    assert.ok([...stateDictShapes(spec).keys()].filter(isHidden).length > 5, name);
  }
});

Deno.test("resolveOptimiser() fills in the defaults, AdamW's without a kind, and refuses what makes no sense", () => {
  const paper = { lr: 5e-4, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.01 };
  assert.deepEqual(resolveOptimiser(), { kind: "adamw", ...paper });
  assert.deepEqual(resolveOptimiser({ lr: 1 }), { kind: "adamw", ...paper, lr: 1 });
  assert.deepEqual(resolveOptimiser({ kind: "adam" }), { kind: "adam", ...paper, weightDecay: 0 });
  assert.deepEqual(resolveOptimiser({ kind: "muon", adamw: { lr: 1 } }), {
    kind: "muon",
    lr: 0.02,
    momentum: 0.95,
    weightDecay: 0,
    adamw: { ...paper, lr: 1 },
  });
  const fails = (options: OptimiserOptions, message: RegExp) =>
    assert.throws(() => resolveOptimiser(options), message);
  fails({ lr: NaN }, /adamw as lr must be in \[0, Infinity\): lr is NaN/);
  fails({ kind: "adam", betas: [0.9, 1] }, /betas\.1 is 1/);
  fails({ kind: "sgd", lr: 1, momentum: -1 }, /momentum must be in \[0, 1\): momentum is -1/);
  fails({ kind: "sgd", lr: 1, nesterov: true }, /nesterov is true, momentum is 0/);
  fails({ kind: "muon", adamw: { eps: -1 } }, /adamw\.eps is -1/);
});
