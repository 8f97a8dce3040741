import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { denoisingLoss } from "../../lib/diffusion/loss.ts";
import { compile } from "../../lib/engine/compile.ts";
import { type EngineName, setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { paperOptimiser } from "../../lib/training/run.ts";
import {
  initTrainState,
  makeTrainStep,
  stepScalars,
  type TrainState,
} from "../../lib/training/train_step.ts";
import { toyBatches, toyModel, type ToyParams } from "./toy_model.ts";

/** Two steps of the toy model from seed 3, as this code first computed them. */
const GOLDEN: Record<string, number | number[]> = {
  losses: [0.15830473601818085, 0.12655644118785858],
  norms: [0.10784265398979187, 0.08982475847005844],
  weight: 0.16420252700134266,
  scale: 0.5958137382560779,
  m: 0.008856187647671975,
  v: 0.00022532852431777535,
  ema: 0.1641690837005466,
};

const model = toyModel();
type Batch = { images: tf.Tensor4D; noise: tf.Tensor4D; sigma: tf.Tensor1D };
const stepOf = (maxNorm = 1) =>
  makeTrainStep<ToyParams, Batch>({
    loss: (params, batch) =>
      denoisingLoss((x, sigma, cond) => model.apply(params, { x, sigma, cond }), batch, {
        sigmaData: 0.5,
        weighting: { kind: "soft-min-snr" },
      }),
    rules: model,
    optimiser: paperOptimiser,
    maxNorm,
  });
function batchOf(step: number): Batch {
  const shape: [number, number, number, number] = [3, 2, 3, 2];
  const { images } = toyBatches()(step);
  return {
    images: tf.tensor4d(images, shape),
    noise: tf.tensor4d(images.map((v, i) => Math.cos(v + i)), shape),
    sigma: tf.tensor1d([0.2, 0.9, 3]),
  };
}
const scalarsOf = (params: ToyParams, step: number, emaDecay: number) =>
  stepScalars(params, { rules: model, optimiser: paperOptimiser, step, emaDecay });

/** Runs steps on an engine and gives every number of the final state. */
async function run(engine: EngineName, steps: number) {
  await setEngine(engine);
  const step = compile(stepOf());
  let state: TrainState<ToyParams> = initTrainState(model.init({ seed: 3, stream: "toy" }), model);
  const losses: number[] = [], norms: number[] = [];
  for (let i = 0; i < steps; i++) {
    const batch = batchOf(i), scalars = scalarsOf(state.params, i, i / (i + 1));
    const out = await step({ state, batch, scalars });
    losses.push((await out.loss.data())[0]);
    norms.push((await out.gradNorm.data())[0]);
    treeDispose([state, batch, scalars, out.loss, out.losses, out.gradNorm]);
    state = out.state;
  }
  const numbers: Record<string, number[]> = {};
  for (const [path, leaf] of treeEntries(state)) numbers[path] = [...await leaf.data()];
  treeDispose(state);
  step.dispose();
  return { losses, norms, numbers };
}

Deno.test("makeTrainStep() gives the golden numbers of two seeded steps", async () => {
  const { losses, norms, numbers } = await run("cpu", 2);
  const rms = (v: number[]) => Math.sqrt(v.reduce((s, x) => s + x * x, 0) / v.length);
  const found = {
    losses,
    norms,
    weight: rms(numbers["params.mix.weight"]),
    scale: rms(numbers["params.level.scale"]),
    m: rms(numbers["m.mix.weight"]),
    v: rms(numbers["v.mix.weight"]),
    ema: rms(numbers["ema.mix.weight"]),
  };
  for (const [name, want] of Object.entries(GOLDEN)) {
    const got = [found[name as keyof typeof found]].flat();
    [want].flat().forEach((w, i) =>
      assert.ok(
        Math.abs(got[i] - w) <= 1e-5 * Math.abs(w),
        `${name} is ${
          got[i]
        }, was ${w}. If you did not mean to change what a step computes (loss, ` +
          "gradient, clipping, AdamW, averages, or the random numbers that parameters begin with), this is a bug. " +
          `If you did, say so in the change log and put in: ${JSON.stringify(found)}`,
      )
    );
  }
});

Deno.test("makeTrainStep() computes the same on both engines, compiled or not", async () => {
  const a = await run("cpu", 4), b = await run("onnxruntime", 4);
  for (const [path, want] of Object.entries(a.numbers)) {
    want.forEach((w, i) =>
      assert.ok(Math.abs(b.numbers[path][i] - w) < 2e-5 * Math.max(1, Math.abs(w)), path)
    );
  }
  a.losses.forEach((l, i) => assert.ok(Math.abs(b.losses[i] - l) < 1e-5 * l));
});

Deno.test("makeTrainStep() hands buffers through, averages them not, and keeps no moments of them", async () => {
  await setEngine("cpu");
  const params = model.init({ seed: 3, stream: "toy" });
  const state = initTrainState(params, model);
  const trained = ["mix.weight", "level.scale"];
  for (const part of [state.m, state.v, state.ema]) assert.deepEqual(Object.keys(part), trained);
  const out = stepOf()({ state, batch: batchOf(0), scalars: scalarsOf(params, 0, 0) });
  assert.deepEqual(out.state.params.level.freqs.dataSync(), params.level.freqs.dataSync());
  assert.notDeepEqual(out.state.params.mix.weight.dataSync(), params.mix.weight.dataSync());
  // At decay 0 the average is the new parameter, bit for bit
  assert.deepEqual(out.state.ema["mix.weight"].dataSync(), out.state.params.mix.weight.dataSync());
});

Deno.test("makeTrainStep() clips: ten times the loss moves the moments no further once clipped", async () => {
  await setEngine("cpu");
  const params = model.init({ seed: 3, stream: "toy" });
  const moment = (maxNorm: number) => {
    const state = initTrainState(params, model);
    const out = stepOf(maxNorm)({ state, batch: batchOf(0), scalars: scalarsOf(params, 0, 0) });
    const m = Object.values(out.state.m).flatMap((t) => [...t.dataSync()]);
    return { norm: Math.hypot(...m), grad: out.gradNorm.dataSync()[0] };
  };
  const free = moment(1e9), clipped = moment(0.01);
  assert.ok(Math.abs(free.norm - 0.1 * free.grad) < 1e-5 * free.grad); // (1 - beta1) g
  assert.ok(Math.abs(clipped.norm - 0.1 * 0.01) < 1e-6); // (1 - beta1) maxNorm
  assert.ok(Math.abs(clipped.grad - free.grad) < 1e-6); // reported before clipping
});

Deno.test("makeTrainStep() leaves no tensors behind", async () => {
  await setEngine("cpu");
  await run("cpu", 1);
  const before = tf.memory().numTensors;
  await run("cpu", 3);
  assert.equal(tf.memory().numTensors, before);
});

Deno.test("makeTrainStep() is traced once: what changes from step to step is an input", async () => {
  await setEngine("onnxruntime");
  const step = compile(stepOf());
  let state = initTrainState(model.init({ seed: 3, stream: "toy" }), model);
  for (let i = 0; i < 5; i++) {
    const args = { state, batch: batchOf(i), scalars: scalarsOf(state.params, i, i / (i + 1)) };
    const out = await step(args);
    treeDispose([state, out.loss, out.losses, out.gradNorm]);
    state = out.state;
  }
  assert.equal(step.stats.traces, 1);
  step.dispose();
});
