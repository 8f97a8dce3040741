import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { type DiffusionModel, hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { presets } from "../../lib/models/presets.ts";
import { loadCheckpoint } from "../../lib/training/checkpoint.ts";
import { emaDecay } from "../../lib/training/ema.ts";
import { openTraining, type OptimiserOptions, type TrainOptions } from "../../lib/training/run.ts";
import { toyBatches, toyModel, type ToyParams } from "./toy_model.ts";
import { paperDensity, sigmaAt } from "../../lib/diffusion/densities.ts";
import { stratify } from "../../lib/diffusion/stratified.ts";
import { uniforms } from "../../lib/engine/random.ts";
import { inFolder } from "../folder.ts";

const toy = (change: Partial<TrainOptions<ToyParams>> = {}): TrainOptions<ToyParams> => ({
  model: toyModel({ numClasses: 3, dropout: 0.3 }),
  size: [2, 3],
  batchAt: toyBatches({ numClasses: 3 }),
  steps: 12,
  seed: 5,
  classDropout: 0.4,
  optimiser: { lr: 0.01 },
  ...change,
});

type Numbers = Record<string, Float32Array>;
async function numbersOf(state: unknown): Promise<Numbers> {
  const out: Numbers = {};
  for (const [path, leaf] of treeEntries(state)) {
    out[path] = Float32Array.from(await leaf.data() as Float32Array);
  }
  return out;
}

async function numbersByPart(state: object): Promise<Record<string, Numbers>> {
  const parts = Object.entries(state).map(async ([part, tree]) => [part, await numbersOf(tree)]);
  return Object.fromEntries(await Promise.all(parts));
}

/** Runs to the end, or stops after `stopAfter` steps as if killed when `saves` is false. */
async function run<P>(
  options: TrainOptions<P>,
  { stopAfter = Infinity }: { stopAfter?: number } = {},
) {
  const training = await openTraining(options);
  const losses: number[] = [];
  for await (const report of training.steps()) {
    losses.push(report.loss);
    if (losses.length >= stopAfter) break;
  }
  const numbers = await numbersOf(training.state);
  const { step, images, resumedFrom } = training;
  training.dispose();
  return { losses, numbers, step, images, resumedFrom };
}

/** Copies the files of a run, as a kill at this moment would leave them. */
async function freeze(from: string, to: string): Promise<void> {
  await Deno.remove(to, { recursive: true }).catch(() => {});
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    await Deno.copyFile(join(from, name), join(to, name)).catch(() => {}); // removed meanwhile
  }
}

Deno.test("openTraining() goes on bit for bit wherever it was stopped", async () => {
  await setEngine("cpu");
  const whole = await run(toy());
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
      (stops) =>
        inFolder(async (dir) => {
          const options = toy({ save: { dir, everySeconds: 0 } });
          const losses: number[] = [];
          for (const stopAfter of stops) losses.push(...(await run(options, { stopAfter })).losses);
          const last = await run(options);
          assert.deepEqual([...losses, ...last.losses].slice(0, 12), whole.losses);
          assert.deepEqual(last.numbers, whole.numbers);
          assert.deepEqual([last.step, last.images], [12, 36]);
        }),
    ),
    { numRuns: 6 },
  );
});

Deno.test("openTraining() goes on bit for bit with each optimiser", async () => {
  await setEngine("cpu");
  const optimisers: OptimiserOptions[] = [
    { kind: "adam", weightDecay: 0.1 },
    { kind: "sgd", lr: 0.1 },
    { kind: "sgd", lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 },
    { kind: "muon", weightDecay: 0.1 },
  ];
  const seen = new Set<string>();
  for (const optimiser of optimisers) {
    const whole = await run(toy({ optimiser }));
    await inFolder(async (dir) => {
      for (const stopAfter of [1, 4]) await run(toy({ optimiser, save: { dir } }), { stopAfter });
      const last = await run(toy({ optimiser, save: { dir } }));
      assert.equal(last.resumedFrom?.step, 5);
      assert.deepEqual(last.numbers, whole.numbers);
    });
    seen.add(`${whole.numbers["params.mix.weight"]}`);
  }
  assert.equal(seen.size, optimisers.length); // they are not the same one
  const model = { ...toyModel({ numClasses: 3 }) };
  delete model.isHidden;
  await assert.rejects(openTraining(toy({ model, optimiser: { kind: "muon" } })), /no isHidden/);
});

Deno.test("openTraining() goes on bit for bit from what a kill leaves at any moment, torn files too", async () => {
  await setEngine("cpu");
  const whole = await run(toy());
  await inFolder(async (folder) => {
    const [dir, frozen] = [join(folder, "run"), join(folder, "frozen")];
    const training = await openTraining(toy({ save: { dir, everySeconds: 0 } }));
    for await (const { step } of training.steps()) {
      await freeze(dir, frozen); // while the writer is at work
      if (step === 5) { // a torn file of a later step, and a temporary one
        await Deno.writeFile(join(frozen, "checkpoint_00000099.safetensors"), new Uint8Array(99));
        await Deno.writeTextFile(join(frozen, "checkpoint_00000099.json"), '{"format": "hdit');
        await Deno.writeFile(
          join(frozen, ".checkpoint_00000100.safetensors.01234567.tmp"),
          new Uint8Array(3),
        );
      }
      const again = await run(toy({ save: { dir: frozen } }));
      assert.deepEqual(again.numbers, whole.numbers, `killed in step ${step}`);
      if (step === 5) { // other files may be half-written as well
        const skipped = again.resumedFrom!.skipped.map(({ path }) => path);
        assert.ok(skipped.some((path) => path.includes("checkpoint_00000099")), `${skipped}`);
      }
    }
    training.dispose();
  });
});

Deno.test("openTraining() goes on bit for bit with the real model on the default engine", async () => {
  await setEngine("onnxruntime");
  const spec = { ...presets.smoke, numClasses: 2 };
  const size = [16, 16] as const;
  const options = (dir?: string): TrainOptions<unknown> => ({
    model: hditModel(spec) as DiffusionModel<unknown>,
    size,
    batchAt: toyBatches({ B: 2, size: [...size], channels: spec.inChannels, numClasses: 2 }),
    steps: 4,
    ...(dir ? { save: { dir, everySeconds: 1e9 } } : {}),
  });
  const whole = await run(options());
  await inFolder(async (dir) => {
    await run(options(dir), { stopAfter: 1 });
    await run(options(dir), { stopAfter: 2 });
    const last = await run(options(dir));
    assert.equal(last.resumedFrom?.step, 3);
    assert.deepEqual(last.numbers, whole.numbers);
  });
  assert.ok(Object.values(whole.numbers).every((v) => v.every(Number.isFinite)));
});

Deno.test("openTraining() gives two arms of one seed the same noise levels, other seeds others", async () => {
  await setEngine("cpu");
  const sigmas = async (change: Partial<TrainOptions<ToyParams>>) => {
    const training = await openTraining(toy({ steps: 2, ...change }));
    const seen: number[] = [];
    for await (const { sigmas } of training.steps()) seen.push(...sigmas);
    training.dispose();
    return seen;
  };
  const base = await sigmas({});
  assert.deepEqual(await sigmas({ optimiser: { lr: 0.5 } }), base);
  assert.notDeepEqual(await sigmas({ seed: 6 }), base);
  assert.equal(new Set(base).size, base.length);
});

Deno.test("openTraining() refuses a folder of another configuration and says what differs", () =>
  inFolder(async (dir) => {
    await setEngine("cpu");
    await run(toy({ save: { dir } }), { stopAfter: 1 });
    const other = toy({ save: { dir }, optimiser: { lr: 0.02 }, config: { data: "b" } });
    await assert.rejects(openTraining(other), /optimiser\.lr is 0\.02, was 0\.01; more/);
    // More steps are no other configuration
    assert.equal((await run(toy({ save: { dir }, steps: 14 }))).step, 14);
  }));

Deno.test("openTraining() stops cleanly when aborted, saved, and yields nothing once done", () =>
  inFolder(async (dir) => {
    await setEngine("cpu");
    const abort = new AbortController();
    const training = await openTraining(toy({ save: { dir }, signal: abort.signal }));
    for await (const { step } of training.steps()) if (step === 3) abort.abort();
    assert.equal(training.step, 3);
    training.dispose();
    const rest = await run(toy({ save: { dir } }));
    assert.deepEqual([rest.resumedFrom?.step, rest.losses.length], [3, 9]);
    assert.equal((await run(toy({ save: { dir } }))).losses.length, 0);
  }));

Deno.test("openTraining() stops at a loss that is not finite, names the step, keeps the last good state", () =>
  inFolder(async (dir) => {
    await setEngine("cpu");
    const good = toyBatches({ numClasses: 3 });
    const batchAt = (step: number) => {
      const batch = good(step);
      if (step === 4) batch.images[0] = NaN;
      return batch;
    };
    const training = await openTraining(toy({ batchAt, save: { dir, everySeconds: 0 } }));
    await assert.rejects(async () => {
      for await (const _ of training.steps());
    }, /step 5 gave a loss of NaN/);
    assert.equal(training.step, 4);
    training.dispose();
    const rest = await run(toy({ save: { dir } }));
    assert.equal(rest.resumedFrom?.step, 4);
    assert.deepEqual(rest.numbers, (await run(toy())).numbers);
  }));

Deno.test("openTraining() keeps the best of its states beside the last ones, to go on from or to sample", () =>
  inFolder(async (dir) => {
    await setEngine("cpu");
    const training = await openTraining(toy({ save: { dir, everySeconds: 0 } }));
    const kept: number[] = [];
    let atSeven: Numbers = {};
    for await (const { step } of training.steps()) {
      if (await training.saveBest(Math.abs(step - 7))) kept.push(step);
      if (step === 7) atSeven = await numbersOf(training.state);
    }
    training.dispose();
    assert.deepEqual(kept, [1, 2, 3, 4, 5, 6, 7]);
    const best = (await loadCheckpoint(join(dir, "best")))!;
    assert.deepEqual([best.meta.step, best.meta.score, best.meta.images], [7, 0, 21]);
    for (const [path, { data }] of best.tensors) assert.deepEqual(data, atSeven[path]);
    const rest = await run(toy({ save: { dir: join(dir, "best") } }));
    assert.deepEqual(rest.numbers, (await run(toy())).numbers);
    const unsaved = await openTraining(toy());
    assert.equal(await unsaved.saveBest(1), false);
    unsaved.dispose();
  }));

Deno.test("openTraining() restarts the average from itself once, as the reference's --reset-ema", () =>
  inFolder(async (dir) => {
    await setEngine("cpu");
    await run(toy({ save: { dir } }), { stopAfter: 5 });
    const before = (await loadCheckpoint(dir))!.tensors;
    const options = toy({ save: { dir }, resetEma: true });
    const reset = await openTraining(options);
    const { params, ema, m } = await numbersByPart(reset.state);
    for (const [path, value] of Object.entries(ema)) {
      assert.deepEqual(value, before.get(`ema.${path}`)!.data);
      assert.deepEqual(params[path], value);
      assert.deepEqual(m[path], before.get(`m.${path}`)!.data); // the optimiser goes on
    }
    const decays: number[] = [];
    for await (const report of reset.steps()) {
      decays.push(report.emaDecay);
      if (report.step === 8) break;
    }
    reset.dispose();
    assert.deepEqual(decays, [0, 1, 2].map((t) => emaDecay({ power: 0.75 }, t)));
    // Opened again in the same way it goes on; opened without and then with, it restarts again
    const stopped = await run(options);
    await inFolder(async (other) => {
      await run(toy({ save: { dir: other } }), { stopAfter: 5 });
      assert.deepEqual((await run({ ...options, save: { dir: other } })).numbers, stopped.numbers);
    });
    const emaStart = async () => (await loadCheckpoint(dir))!.meta.emaStart;
    assert.equal(await emaStart(), 5);
    await run(toy({ save: { dir }, steps: 14 }));
    assert.equal(await emaStart(), 5);
    await run({ ...options, steps: 16 });
    assert.equal(await emaStart(), 14);
  }));

Deno.test("openTraining() refuses batches and options that make no sense", async () => {
  await setEngine("cpu");
  const fails = async (change: Partial<TrainOptions<ToyParams>>, message: RegExp) => {
    await assert.rejects(async () => {
      const training = await openTraining(toy(change));
      for await (const _ of training.steps());
    }, message);
  };
  await fails({ steps: NaN }, /steps is NaN/);
  await fails({ classDropout: 2 }, /classDropout is 2/);
  await fails({ size: [0, 1] }, /0 by 1/);
  await fails({ batchAt: () => ({ images: new Float32Array(7) }) }, /it has 7 numbers/);
  await fails({ batchAt: () => ({ images: new Float32Array(12) }) }, /0 labels, 1 images/);
  const images = new Float32Array(12);
  await fails({ batchAt: () => ({ images, labels: [3] }), classDropout: 0 }, /one is 3/);
});

Deno.test("openTraining() learns: the loss of a constant image falls by a factor", async () => {
  await setEngine("cpu");
  const images = new Float32Array(4 * 12).fill(0.5);
  const losses: number[] = [];
  const training = await openTraining({
    model: toyModel(),
    size: [2, 3],
    batchAt: () => ({ images }),
    steps: 300,
    optimiser: { lr: 0.03 },
  });
  for await (const { loss } of training.steps()) losses.push(loss);
  training.dispose();
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [first, end] = [mean(losses.slice(0, 30)), mean(losses.slice(-30))];
  assert.ok(end < 0.6 * first, `${first} to ${end}`);
});

Deno.test("openTraining() takes batches of several sizes, each with the noise levels of its size", async () => {
  await setEngine("cpu");
  const sizes = [[16, 16], [32, 16]] as const, seen: number[][] = [];
  const training = await openTraining({
    model: hditModel({ ...presets.smoke, numClasses: 0 }),
    size: sizes[0],
    batchAt: (step) => {
      const [H, W] = sizes[step % 2];
      return { images: new Float32Array(2 * H * W * 3).fill(0.1), size: sizes[step % 2] };
    },
    steps: 2,
  });
  for await (const { sigmas } of training.steps()) seen.push([...sigmas]);
  training.dispose();
  const u = (step: number) => stratify(uniforms({ seed: 0, stream: "train/sigma" }, step, 2));
  const expected = [0, 1].map((step) =>
    [...u(step)].map((p) => Math.fround(sigmaAt(paperDensity(sizes[step], { sigmaData: 0.5 }), p)))
  );
  assert.deepEqual(seen, expected);
});

Deno.test("openTraining() leaves no tensors behind and does not grow", async () => {
  await setEngine("cpu");
  await run(toy({ steps: 1 }));
  const before = tf.memory().numTensors;
  const training = await openTraining(toy());
  const counts: number[] = [];
  for await (const _ of training.steps()) counts.push(tf.memory().numTensors);
  assert.equal(new Set(counts).size, 1);
  training.dispose();
  assert.equal(tf.memory().numTensors, before);
  const params = toyModel().init({ seed: 0, stream: "x" });
  const from = await openTraining(toy({ model: toyModel(), initFrom: params, steps: 1 }));
  from.dispose();
  treeDispose(params); // still ours
  assert.equal(tf.memory().numTensors, before);
});
