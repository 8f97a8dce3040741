import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { type DiffusionModel, hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { presets } from "../../lib/models/presets.ts";
import { loadCheckpoint } from "../../lib/training/checkpoint.ts";
import { normRatio, rememberNorm } from "../../lib/training/divergence.ts";
import { openTraining, type TrainOptions } from "../../lib/training/run.ts";
import { toyBatches, toyModel, type ToyParams } from "./toy_model.ts";
import { inFolder } from "../folder.ts";

await setEngine("cpu");

const toy = (change: Partial<TrainOptions<ToyParams>> = {}): TrainOptions<ToyParams> => ({
  model: toyModel(),
  size: [2, 3],
  batchAt: toyBatches({ B: 4 }),
  steps: 30,
  seed: 5,
  optimiser: { lr: 0.01 },
  ...change,
});

/** Runs until it fails and gives the message, or until it ends. */
async function failureOf<P>(options: TrainOptions<P>): Promise<string> {
  const training = await openTraining(options);
  try {
    for await (const _ of training.steps());
    return "none";
  } catch (error) {
    return (error as Error).message;
  } finally {
    training.dispose();
  }
}

/** The toy's batches with one changed at a step. */
const changed = (step: number, change: (images: Float32Array) => void) => (at: number) => {
  const batch = toyBatches({ B: 4 })(at);
  if (at === step) change(batch.images);
  return batch;
};

Deno.test("openTraining() names a batch with Infinity, its sample and step, split or not", () =>
  inFolder(async (dir) => {
    const batchAt = changed(6, (images) => images[2 * 12 + 5] = Infinity);
    for (const accumulate of [1, 2]) {
      const save = { dir: `${dir}/${accumulate}`, everySeconds: 0 };
      const message = await failureOf(toy({ batchAt, accumulate, save }));
      assert.match(message, /step 7 gave a loss of (NaN|Infinity)/);
      assert.match(
        message,
        /batch\.images was the first to go: Infinity in sample 2; the last good/,
      );
      assert.equal((await loadCheckpoint(save.dir))!.meta.step, 6);
    }
  }));

Deno.test("openTraining() names a parameter that is poisoned with NaN, and saves it never", () =>
  inFolder(async (dir) => {
    const params = toyModel().init({ seed: 0, stream: "x" });
    params.level.scale = tf.tensor1d([1, NaN]);
    const message = await failureOf(toy({ initFrom: params, save: { dir } }));
    assert.match(
      message,
      /step 1 gave a loss of NaN .*: params\.level\.scale was the first to go: NaN, with 1 of its 2 numbers not finite before the step/,
    );
    const run = await openTraining(toy({ save: { dir } }));
    for await (const { step } of run.steps()) if (step === 3) break;
    const good = (await loadCheckpoint(dir))!.meta.step;
    run.state.ema["mix.weight"].dispose();
    run.state.ema["mix.weight"] = tf.tensor2d([0, 1, 2, NaN], [2, 2]);
    await assert.rejects(async () => { // the loss does not see averages
      for await (const { step } of run.steps()) if (step === 5) break;
    }, /Cannot save step 5 as ema\.mix\.weight has gone/);
    run.dispose();
    assert.deepEqual([good, (await loadCheckpoint(dir))!.meta.step], [3, 3]);
  }));

Deno.test("openTraining() stops the real model at a learning rate of 1e6 and says where", () =>
  inFolder(async (dir) => {
    await setEngine("onnxruntime");
    const spec = { ...presets.smoke, numClasses: 0 };
    const message = await failureOf<unknown>({
      model: hditModel(spec) as DiffusionModel<unknown>,
      size: [16, 16],
      batchAt: toyBatches({ B: 2, size: [16, 16], channels: 3 }),
      steps: 50,
      optimiser: { lr: 1e6 },
      save: { dir, everySeconds: 0 },
    });
    assert.match(
      message,
      /step \d+ gave a loss of .*the loss of sample \d was the first to go: .* from finite parameters, the largest of them -?\d+e?\+?\d* in params\./,
    );
    const { tensors } = (await loadCheckpoint(dir))!;
    for (const { data } of tensors.values()) {
      assert.ok((data as Float32Array).every(Number.isFinite));
    }
    await setEngine("cpu");
  }));

Deno.test("openTraining() names the gradient that goes first where losses are finite", async () => {
  const model = toyModel();
  const rooted: DiffusionModel<ToyParams> = {
    ...model,
    apply: (params, inputs) => {
      const zero = params.level.scale.sub(1).relu().sqrt(); // slope 1/0 where the scale is under 1
      return model.apply(params, inputs).add(zero.sum().mul(0)) as tf.Tensor4D;
    },
  };
  for (const accumulate of [1, 4]) {
    const message = await failureOf(toy({ model: rooted, accumulate }));
    assert.match(message, /step 1 gave a loss of [\d.]+ and a gradient norm of NaN/);
    assert.match(message, /grads\.level\.scale was the first to go: NaN, .*, from finite losses/);
  }
});

Deno.test("openTraining() stops at a norm far off the last ones, unless told otherwise", () =>
  inFolder(async (dir) => {
    const bounded = toyModel();
    const model: DiffusionModel<ToyParams> = {
      ...bounded,
      apply: (params, inputs) =>
        bounded.apply(params, inputs).add(inputs.x.mul(params.mix.weight.mean())) as tf.Tensor4D,
    };
    const batchAt = changed(24, (images) => images.forEach((x, i) => images[i] = 1e5 * x));
    const options = toy({ model, batchAt, save: { dir, everySeconds: 0 } });
    const message = await failureOf(options);
    assert.match(
      message,
      /step 25 gave a gradient norm of \d+(\.\d+)?, \d{4,} times the median of the last 24 \(normJump is 1000\)/,
    );
    assert.match(message, /grads\.mix\.weight has \d+ % of the squared norm/);
    // The history is in the checkpoint: a second attempt stops at the same step
    assert.equal(await failureOf(options), message);
    assert.equal(await failureOf({ ...options, normJump: Infinity }), "none");
    await assert.rejects(openTraining(toy({ normJump: 1 })), /normJump is 1/);
  }));

Deno.test("normRatio() compares with the median of the last hundred once there are twenty", () => {
  const norm = fc.double({ min: 0.1, max: 10, noNaN: true });
  fc.assert(fc.property(fc.array(norm, { maxLength: 150 }), norm, (norms, last) => {
    const recent = norms.reduce<number[]>((all, n) => rememberNorm(all, n), []);
    assert.deepEqual(recent, norms.slice(-100));
    const ratio = normRatio(last, recent);
    if (norms.length < 20) assert.equal(ratio, 1);
    else {
      const under = recent.filter((n) => n <= last / ratio).length;
      assert.ok(Math.abs(under - recent.length / 2) <= 1);
    }
  }));
  assert.equal(normRatio(5, Array(30).fill(0)), 1);
});

Deno.test("openTraining() leaves no tensors behind when it fails", async () => {
  const options = toy({ batchAt: changed(2, (images) => images[0] = NaN) });
  await failureOf(options);
  const before = tf.memory().numTensors;
  await failureOf(options);
  assert.equal(tf.memory().numTensors, before);
});
