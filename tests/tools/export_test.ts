import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";
import { appendResults, type RunRecord } from "../../experiments/results.ts";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { saveInferenceCheckpoint } from "../../lib/io/k_diffusion_checkpoint.ts";
import { readDenoiserInfo } from "../../lib/io/onnx_export.ts";
import { presets } from "../../lib/models/presets.ts";
import { openTraining } from "../../lib/training/run.ts";
import { exportTrained } from "../../tools/export/export_trained.ts";
import { openModel } from "../../tools/export/trained_model.ts";
import { syntheticRecords } from "../experiments/synthetic_results.ts";
import { livelyParams } from "../io/lively_params.ts";
import { inFolder } from "../folder.ts";

await setEngine("onnxruntime");

const spec = presets.smoke, size = [16, 16] as const;

/** Trains two steps into a folder; gives the averaged weights, as numbers by path. */
async function trainInto(dir: string): Promise<Map<string, Float32Array>> {
  const run = await openTraining({
    model: hditModel(spec),
    size,
    batchAt: () => ({ images: new Float32Array(2 * 16 * 16 * 3).fill(0.5), labels: [0, 1] }),
    steps: 2,
    sigmaData: 0.25,
    save: { dir },
  });
  for await (const _ of run.steps()) { /* to the end */ }
  const numbers = numbersOf(run.averaged());
  run.dispose();
  return numbers;
}

function numbersOf(params: unknown): Map<string, Float32Array> {
  return new Map(
    treeEntries(params).map(([path, leaf]) => [path, Float32Array.from(leaf.dataSync())]),
  );
}

/** A folder like an ablation run's, with one arm. */
async function makeRun(dir: string): Promise<Map<string, Float32Array>> {
  const schedule = { steps: 4, sigmaMin: 0.03, sigmaMax: 90 };
  await Deno.writeTextFile(
    join(dir, "config.json"),
    JSON.stringify({ ablation: { evaluation: { sampler: { kind: "lms" }, schedule } }, images: 4 }),
  );
  const record = syntheticRecords()[0] as RunRecord;
  await appendResults(dir, [{ ...record, data: { ...record.data, classes: ["cats", "dogs"] } }]);
  return await trainInto(join(dir, "checkpoints", "base-seed0"));
}

Deno.test("openModel() finds an arm of a run, with its averaged weights, levels and classes", () =>
  inFolder(async (dir) => {
    const averaged = await makeRun(dir);
    const { params, source, ...trained } = await openModel(dir);
    assert.deepEqual(trained, {
      spec,
      size: [...size],
      prediction: "edm",
      sigmaData: 0.25,
      sigmaMin: 0.03,
      sigmaMax: 90,
      classNames: ["cats", "dogs"],
      sampling: { sampler: { kind: "lms" }, steps: 4 },
    });
    assert.match(source, /base-seed0.*checkpoint_00000002\.safetensors, step 2$/);
    assert.deepEqual(numbersOf(params), averaged);
    treeDispose(params);
    await assert.rejects(openModel(dir, { arm: "bse" }), /did you mean base-seed0\?/);
    await assert.rejects(openModel(dir, { seed: 7 }), /base-seed0/);
  }));

Deno.test("openModel() takes a folder of checkpoints, or the newest of them", () =>
  inFolder(async (dir) => {
    const averaged = await trainInto(dir);
    for (const path of [dir, join(dir, "checkpoint_00000002.safetensors")]) {
      const trained = await openModel(path);
      assert.deepEqual(numbersOf(trained.params), averaged);
      const info = readDenoiserInfo(exportTrained(trained, { size: 32 }));
      assert.deepEqual([info.size, info.sigmaData, info.sigmaMax], [[32, 32], 0.25, 160]);
      treeDispose(trained.params);
    }
    await assert.rejects(
      openModel(dir, { arm: "base" }),
      /is not the folder of an ablation run/,
    );
  }));

Deno.test("openModel() takes a run of training with what it says of itself, and any of its checkpoints", () =>
  inFolder(async (dir) => {
    const run = await openTraining({
      model: hditModel(spec, { prediction: "x" }),
      size,
      batchAt: () => ({ images: new Float32Array(2 * 16 * 16 * 3).fill(0.5), labels: [0, 1] }),
      steps: 2,
      config: { classes: ["ash", "bog"] },
      save: { dir: join(dir, "checkpoints") },
    });
    const raw = [], averaged = [];
    for await (const _ of run.steps()) {
      await run.save();
      raw.push(numbersOf(run.state.params));
      averaged.push(numbersOf(run.averaged()));
    }
    run.dispose();
    const sampling = { sampler: { kind: "heun" }, steps: 9, guidanceScale: 1.5 };
    const said = { size, sampling: { ...sampling, sigmaMin: 0.02, sigmaMax: 90 } };
    await Deno.writeTextFile(join(dir, "config.json"), JSON.stringify(said));
    const { params, source, ...about } = await openModel(dir);
    assert.deepEqual(about, {
      spec,
      size: [...size],
      prediction: "x",
      sigmaData: 0.5,
      sigmaMin: 0.02,
      sigmaMax: 90,
      classNames: ["ash", "bog"],
      sampling,
    });
    assert.match(source, /step 2$/);
    const opened = async (path: string, weights: "ema" | "raw") => {
      const { params } = await openModel(path, { weights });
      return numbersOf(params);
    };
    assert.deepEqual(numbersOf(params), averaged[1]);
    assert.deepEqual(await opened(dir, "raw"), raw[1]);
    const first = join(dir, "checkpoints", "checkpoint_00000001.safetensors");
    assert.deepEqual(await opened(first, "ema"), averaged[0]);
    assert.deepEqual(await opened(first.replace("safetensors", "json"), "raw"), raw[0]);
    await Deno.truncate(first, 1000);
    await assert.rejects(opened(first, "ema"), /Cannot use the checkpoint .*: it has 1000 bytes/);
  }));

Deno.test("openModel() takes the reference's inference checkpoints", () =>
  inFolder(async (dir) => {
    const path = join(dir, "model.safetensors"), params = livelyParams(hditModel(spec));
    await saveInferenceCheckpoint(path, { spec, size: [32, 48], params });
    const trained = await openModel(path);
    assert.deepEqual(numbersOf(trained.params), numbersOf(params));
    assert.deepEqual([trained.spec, trained.size, trained.sigmaMax], [spec, [32, 48], 160]);
    treeDispose([params, trained.params]);
    await assert.rejects(openModel(path, { weights: "raw" }), /holds one set of them/);
  }));

Deno.test("openModel() says what is wrong with a path", () =>
  inFolder(async (dir) => {
    await assert.rejects(openModel(join(dir, "nothing")), /there is nothing at/);
    await assert.rejects(openModel(dir), /holds no checkpoint and no run/);
    await Deno.writeTextFile(join(dir, "model.txt"), "");
    await assert.rejects(
      openModel(join(dir, "model.txt")),
      /must be \.safetensors or \.pth/,
    );
  }));

Deno.test("deno task export writes a file once", () =>
  inFolder(async (dir) => {
    await makeRun(dir);
    const out = join(dir, "model.onnx");
    const call = async (...args: string[]) => {
      const tool = fromFileUrl(new URL("../../tools/export.ts", import.meta.url));
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", tool, dir, "--out", out, ...args],
        env: { NO_COLOR: "1" },
      }).output();
      const text = new TextDecoder();
      return { code, text: text.decode(stdout) + text.decode(stderr) };
    };
    const first = await call("--arm", "base", "--size", "32");
    assert.equal(first.code, 0, first.text);
    assert.match(first.text, /model\.onnx, 0\.\d+ MB: weights 0\.\d+ MB/);
    const before = await Deno.readFile(out);
    assert.deepEqual(readDenoiserInfo(before).size, [32, 32]);
    const second = await call();
    assert.equal(second.code, 1);
    assert.match(second.text, /there is such a file: --force replaces it/);
    assert.deepEqual(await Deno.readFile(out), before);
    const third = await call("--force", "--raw", "--batch", "2");
    assert.equal(third.code, 0, third.text);
    assert.equal(readDenoiserInfo(await Deno.readFile(out)).output, "raw");
    const any = await call("--force", "--dynamic-size");
    assert.match(any.text, /size {4}any multiples of 8 × 8/);
    assert.deepEqual(readDenoiserInfo(await Deno.readFile(out)).sizeMultiple, [8, 8]);
    assert.equal((await call("--size", "30", "--force")).code, 1);
    assert.equal((await call("--size", "-1")).code, 2);
  }));

Deno.test("openModel() leaves no tensors behind but the weights", () =>
  inFolder(async (dir) => {
    await trainInto(dir);
    const before = tf.memory().numTensors;
    const { params } = await openModel(dir);
    assert.equal(tf.memory().numTensors, before + treeEntries(params).length);
    treeDispose(params);
  }));
