import assert from "node:assert/strict";
import { join } from "@std/path";
import { openDataset } from "../../lib/data/open_dataset.ts";
import { sampleImages } from "../../lib/diffusion/sample.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import { initHdit } from "../../lib/models/hdit.ts";
import { parseSafetensors } from "../../lib/io/safetensors.ts";
import { presets } from "../../lib/models/presets.ts";
import { growLevels } from "../../lib/models/spec.ts";
import type { TrainConfig } from "../../lib/runs/config.ts";
import { type LogRecord, ofKind, readLog } from "../../lib/runs/log.ts";
import { planTraining } from "../../lib/runs/plan.ts";
import { runTraining, train, type TrainEvent, type TrainRunOptions } from "../../lib/runs/train.ts";
import { openTrainedModel } from "../../lib/runs/trained_model.ts";
import { loadCheckpoint } from "../../lib/training/checkpoint.ts";
import { inFolder } from "../folder.ts";
import { writeTinyDinov2 } from "../metrics/made_dinov2.ts";

await setEngine("onnxruntime");

/** Twelve steps of a tiny model, with everything that a run can have. */
const config: TrainConfig = {
  data: { kind: "emoji", categories: ["flags"] },
  size: 16,
  model: "smoke",
  batchSize: 4,
  accumulate: 2,
  images: 48,
  augment: 0.12,
  optimiser: { kind: "adamw", lr: 1e-3 },
  sampling: { steps: 2 },
  demo: { every: 16, n: 2 },
  evaluate: { every: 24, heldOut: 4, sigmas: [0.5], samples: 8 },
  log: { every: 8 },
  engine: "onnxruntime",
};

async function all(dir: string, options: TrainRunOptions = {}, over: Partial<TrainConfig> = {}) {
  const events: TrainEvent[] = [];
  for await (const event of train({ ...config, ...over }, { dir, ...options })) events.push(event);
  return events;
}

/** The bytes of the last checkpoint. */
async function lastState(dir: string) {
  const { meta, path } = (await loadCheckpoint(join(dir, "checkpoints")))!;
  return { step: meta.step, bytes: await Deno.readFile(path) };
}

/** Records without what a clock says, and without means, which are over the steps of one session. */
const timeless = (records: LogRecord[]) =>
  records.filter(({ kind }) => kind !== "session").map((record) =>
    record.kind === "train"
      ? { ...record, imagesPerSecond: 0, waited: 0, loss: 0, gradNorm: 0 }
      : record
  );

Deno.test("train() takes the steps, and leaves records, demos and checkpoints", async () => {
  await inFolder(async (dir) => {
    let steps = 0;
    const events = await all(dir, { onStep: () => steps++ });
    assert.equal(steps, 12);
    assert.deepEqual(events.at(-1), { kind: "end", step: 12, images: 48, done: true });
    const log = await readLog(dir);
    assert.deepEqual(ofKind(log, "train").map(({ images }) => images), [8, 16, 24, 32, 40, 48]);
    assert.deepEqual(ofKind(log, "evaluation").map(({ images }) => images), [24, 48]);
    assert.deepEqual(ofKind(log, "demo").map(({ images }) => images), [16, 32, 48]);
    assert.ok(ofKind(log, "train").every(({ noiseScale }) => noiseScale !== undefined));
    for (const { file } of ofKind(log, "demo")) {
      assert.deepEqual(
        (await Deno.readFile(join(dir, file))).slice(1, 4),
        new Uint8Array([80, 78, 71]),
      );
    }
    const best = (await loadCheckpoint(join(dir, "checkpoints", "best")))!;
    const losses = ofKind(log, "evaluation").map(({ step, heldOut }) => [heldOut.mean, step]);
    assert.equal(best.meta.step, losses.sort(([a], [b]) => a - b)[0][1]);
    // once more: nothing is left to do
    assert.deepEqual((await all(dir)).map(({ kind }) => kind), ["start", "end"]);
  });
});

Deno.test("train() takes distances on features from a file, and says what is wrong with it first", async () => {
  await inFolder(async (parent) => {
    const dir = join(parent, "run"), path = join(parent, "tiny.safetensors");
    const evaluate = { ...config.evaluate, every: 48, features: await writeTinyDinov2(path) };
    const log = async () => ofKind(await readLog(dir), "evaluation");
    await all(dir, {}, { evaluate });
    const [{ distance }] = await log();
    assert.equal(distance?.features, "DINOv2 64 × 1/14");
    assert.ok(distance.value > 0 && distance.low <= distance.value);

    const other = join(parent, "other");
    await Deno.writeTextFile(path, "no weights");
    await assert.rejects(all(other, {}, { evaluate }), /safetensors/);
    await Deno.remove(path);
    await assert.rejects(all(other, {}, { evaluate }), /there must be a file/);
    await assert.rejects(Deno.stat(other), Deno.errors.NotFound);
    // where no distance is taken, nobody asks for them
    const plan = await planTraining(
      { ...config, evaluate: { ...evaluate, samples: 0 } },
      { dir: other },
    );
    assert.equal(plan.resumed, false);
  });
});

Deno.test("train() ends with the same bytes and records however often it is stopped", async () => {
  await inFolder(async (parent) => {
    const whole = join(parent, "whole"), pieces = join(parent, "pieces");
    await all(whole);
    // stopped by the caller, by leaving the loop, and by a signal in the middle of a demo
    const stop = new AbortController();
    await all(pieces, {
      signal: stop.signal,
      onStep: ({ step }) => step === 3 && stop.abort(),
    });
    for await (const event of train(config, { dir: pieces, sliceSeconds: 0 })) {
      if (event.kind === "steps" && event.report.step === 7) break;
    }
    const inDemo = new AbortController();
    await all(pieces, {
      signal: inDemo.signal,
      onProgress: ({ what }) => what === "demo" && inDemo.abort(),
    });
    await all(pieces);
    assert.deepEqual(await lastState(pieces), await lastState(whole));
    assert.deepEqual(timeless(await readLog(pieces)), timeless(await readLog(whole)));
    assert.ok(ofKind(await readLog(pieces), "session").length >= 3);
  });
});

Deno.test("runTraining() does with pictures that are decoded when they are drawn what it does with held ones", async () => {
  await inFolder(async (parent) => {
    const held = join(parent, "held"), drawn = join(parent, "drawn");
    await all(held);
    const plan = await planTraining(config, { dir: drawn });
    const dataset = await openDataset(plan.config.data, { size: 16, memory: 0 });
    for await (const event of runTraining({ ...plan, dataset })) void event;
    assert.deepEqual(await lastState(drawn), await lastState(held));
    assert.deepEqual(timeless(await readLog(drawn)), timeless(await readLog(held)));
  });
});

Deno.test("train() goes on when it is asked for more images, and refuses another run", async () => {
  await inFolder(async (dir) => {
    await all(dir, {}, { images: 8 });
    const events = await all(dir, {}, { images: 12, demo: { every: 0 } });
    assert.deepEqual(events.at(-1), { kind: "end", step: 3, images: 12, done: true });
    await assert.rejects(all(dir, {}, { seed: 1 }), /seed is 1, was 0/);
    const other = join(dir, "other");
    await Deno.mkdir(other);
    await Deno.writeTextFile(join(other, "photo.png"), "mine");
    await assert.rejects(all(other), /must be new or hold an earlier run: it holds photo.png/);
  });
});

Deno.test("train() starts from the weights of another size and other classes", async () => {
  await inFolder(async (dir) => {
    const spec = { ...presets.smoke, numClasses: 5 };
    const params = initHdit(spec, { seed: 3, stream: "model" });
    const over = {
      images: 4,
      size: 32,
      model: growLevels({ ...presets.smoke, numClasses: 0 }, { doublings: 1 }),
      demo: { every: 0 },
      evaluate: { every: 0 },
    } as Partial<TrainConfig>;
    const events = await all(dir, { initFrom: { params, spec } }, over);
    assert.equal(events.at(-1)!.kind, "end");
    const { tensors } = (await loadCheckpoint(join(dir, "checkpoints")))!;
    const weight = "mapping.in_norm.scale";
    assert.equal(tensors.get(`params.${weight}`)!.data.length, 32);
    treeDispose(params);
  });
});

Deno.test("train() trains one model on several sizes in turn", async () => {
  await inFolder(async (dir) => {
    const sizes = [16, [24, 16]] as [number, [number, number]];
    const over = { multiScale: sizes, images: 16, demo: { every: 0 } } as Partial<TrainConfig>;
    const events = await all(dir, {}, { ...over, accumulate: 1 });
    assert.deepEqual(events.at(-1), { kind: "end", step: 4, images: 16, done: true });
    await assert.rejects(
      all(join(dir, "other"), {}, { ...over, multiScale: [16, 18] }),
      /height must be a multiple of 8/,
    );
  });
});

Deno.test("train() learns to draw from smaller pictures, and sampling starts from them", async () => {
  await inFolder(async (dir) => {
    const model = { preset: "smoke", numClasses: 1 } as const;
    const over = { superResolution: { factor: 4 }, images: 8, model } as const;
    const events = await all(dir, {}, { ...over, optimiser: { kind: "adamw", lr: 0.02 } });
    assert.deepEqual(events.at(-1), { kind: "end", step: 2, images: 8, done: true });
    const { size: _, ...trained } = await openTrainedModel(dir);
    assert.ok(trained.spec.selfConditioning);
    assert.deepEqual(trained.superResolution, { factor: 4 });
    const options = {
      ...trained,
      size: [16, 16] as const,
      steps: 2,
      labels: [0, 0],
      seeds: [7, 7],
    };
    const starts = new Float32Array(2 * 16 * 16 * 3).fill(-0.9, 16 * 16 * 3);
    const images = await sampleImages({ ...options, n: 2, selfCond: starts });
    const [first, second] = [images.slice(0, 768), images.slice(768)];
    assert.notDeepEqual(first, second); // the same noise, another start
    const guided = await sampleImages({
      ...options,
      n: 2,
      selfCond: starts,
      guidanceScale: 1.5,
      batchSize: 1,
    });
    assert.ok(guided.every(Number.isFinite));
    const alone = await sampleImages({
      ...options,
      n: 1,
      labels: [0],
      seeds: [7],
      selfCond: starts.slice(768),
    });
    const worst = alone.reduce(
      (worst, value, i) => Math.max(worst, Math.abs(value - second[i])),
      0,
    );
    assert.ok(worst < 1e-4, `${worst}`);
    await assert.rejects(
      sampleImages({ ...options, n: 2, selfCond: starts.slice(3) }),
      /selfCond must be an image a sample, 1536 numbers: it has 1533/,
    );
    treeDispose(trained.params);
    await assert.rejects(
      all(join(dir, "x"), {}, { superResolution: { factor: 3 } }),
      /factor is 3/,
    );
  });
});

Deno.test("openTrainedModel() puts together an average of any length", async () => {
  await inFolder(async (dir) => {
    const over = { postHocEma: { everySteps: 3 }, demo: { every: 0 }, evaluate: { every: 0 } };
    await all(dir, {}, over);
    const name = "mapping.in_norm.scale", file = join(dir, "ema", "ema_00000012_0.05.safetensors");
    const stored = parseSafetensors(await Deno.readFile(file)).tensors.get(name)!.data;
    const opened = async (sigmaRel: number) => {
      const { params } = await openTrainedModel(dir, { weights: { sigmaRel } });
      const numbers = await params.mapping.in_norm.scale.data();
      treeDispose(params);
      return numbers;
    };
    const same = await opened(0.05), other = await opened(0.08);
    const distance = (a: ArrayLike<number>) =>
      Math.max(...Array.from(a, (value, i) => Math.abs(value - Number(stored[i]))));
    assert.ok(distance(same) < 1e-6, `${distance(same)}`); // the stored one itself
    assert.ok(distance(other) > 1e-6, `${distance(other)}`);
    await assert.rejects(
      openTrainedModel(file, { weights: { sigmaRel: 0.1 } }),
      /from one file: name the folder of a run with postHocEma/,
    );
  });
});
