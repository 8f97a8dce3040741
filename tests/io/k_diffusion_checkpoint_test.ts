import assert from "node:assert/strict";
import { join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import { memorySource } from "../../lib/io/byte_source.ts";
import {
  loadInferenceCheckpoint,
  loadTrainingCheckpoint,
  saveInferenceCheckpoint,
} from "../../lib/io/k_diffusion_checkpoint.ts";
import { parseKDiffusionConfig, specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import { encodeSafetensors, parseSafetensors } from "../../lib/io/safetensors.ts";
import { hdit, type HditParams, initHdit } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import { readZip } from "../../lib/io/zip.ts";
import { mutate, seeded } from "./damage.ts";
import { OrderedDict, Tensor, torchArchive, torchFile, Tuple } from "./made_torch_file.ts";

const config = {
  model: {
    type: "image_transformer_v2",
    input_channels: 1,
    input_size: [8, 16],
    patch_size: [2, 2],
    depths: [1, 1],
    widths: [8, 16],
    self_attns: [{ type: "neighborhood", d_head: 8, kernel_size: 3 }, {
      type: "global",
      d_head: 8,
    }],
    mapping_width: 8,
    mapping_depth: 1,
  },
  dataset: { type: "mnist", num_classes: 2 },
};
const spec = specFromKDiffusion(config);
const params = async () => {
  await setEngine("cpu");
  return initHdit(spec, { seed: 3, stream: "checkpoint" });
};
const numbers = (tree: HditParams) =>
  Object.fromEntries(treeEntries(tree).map(([name, leaf]) => [name, leaf.dataSync()]));

/** A file as the reference's training program saves it. */
function trainingFile(
  tree: HditParams,
  change: (entries: Map<unknown, unknown>) => void = () => {},
) {
  const entries = treeEntries(tree);
  const dict = (first: number) =>
    new OrderedDict(entries.map(([name, { shape, size }], i) => {
      const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
      return [
        name,
        new Tensor({ dtype: "F32", storage: first + i, length: size, shape, strides }),
      ] as const;
    }));
  const pickled = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(pickled)
      : typeof value === "object" && value !== null
      ? new Map(Object.entries(value).map(([key, child]) => [key, pickled(child)]))
      : value;
  const value = new Map<unknown, unknown>([
    ["config", pickled(config)],
    ["model", dict(0)],
    ["model_ema", dict(entries.length)],
    [
      "opt",
      new Map<unknown, unknown>([["state", new Map()], ["betas", new Tuple([0.9, 0.95])]]),
    ],
    ["epoch", 3],
    ["step", 10000],
    ["gns_stats", null],
    ["ema_stats", new Map([["loss", 0.25]])],
    ["elapsed", 12.5],
  ]);
  change(value);
  const trained = entries.map(([, leaf]) => leaf.dataSync<"float32">());
  const averaged = trained.map((data) => data.map((x) => x + 1));
  return torchFile(value, [...trained, ...averaged]);
}

Deno.test("saveInferenceCheckpoint() and loadInferenceCheckpoint() keep names, numbers and config", async () => {
  const path = join(await Deno.makeTempDir(), "model.safetensors");
  const saved = await params();
  await saveInferenceCheckpoint(path, { config, params: saved });
  const loaded = await loadInferenceCheckpoint(path);
  assert.deepEqual(loaded.config, config); // as it was, defaults not filled in
  assert.deepEqual(loaded.spec, spec);
  assert.equal(loaded.dtype, "fp32");
  assert.deepEqual(numbers(loaded.params), numbers(saved));
  const fromBytes = await loadInferenceCheckpoint(await Deno.readFile(path));
  assert.deepEqual(numbers(fromBytes.params), numbers(saved));
  treeDispose([saved, loaded.params, fromBytes.params]);
});

Deno.test("saveInferenceCheckpoint() writes the file that the reference reads: a flat dict, config in the metadata", async () => {
  const path = join(await Deno.makeTempDir(), "model.safetensors");
  const saved = await params();
  await saveInferenceCheckpoint(path, { config, params: saved });
  const { metadata, tensors } = parseSafetensors(await Deno.readFile(path));
  assert.deepEqual(JSON.parse(metadata.config), config);
  assert.deepEqual([...tensors.keys()], treeEntries(saved).map(([name]) => name));
  assert.ok(tensors.has("time_emb.weight")); // buffers too
  assert.ok(tensors.has("mid_level.0.self_attn.pos_emb.freqs"));
  treeDispose(saved);
});

Deno.test("saveInferenceCheckpoint() rounds to fp16 and bf16, within half a unit of the last place", async () => {
  const dir = await Deno.makeTempDir();
  const saved = await params();
  for (const [dtype, bits] of [["fp16", 11], ["bf16", 8]] as const) {
    const path = join(dir, `${dtype}.safetensors`);
    await saveInferenceCheckpoint(path, { spec, size: [8, 16], params: saved, dtype });
    const loaded = await loadInferenceCheckpoint(path);
    assert.equal(loaded.dtype, dtype);
    assert.deepEqual(loaded.spec, spec);
    assert.deepEqual(parseKDiffusionConfig(loaded.config).size, [8, 16]);
    const before = numbers(saved);
    for (const [name, after] of Object.entries(numbers(loaded.params))) {
      after.forEach((x, i) => {
        const limit = Math.max(Math.abs(before[name][i]) * 2 ** -bits, 2 ** -25); // subnormal halves
        assert.ok(Math.abs(x - before[name][i]) <= limit, `${dtype} ${name}`);
      });
    }
    treeDispose(loaded.params);
  }
  const [first] = treeEntries(saved);
  const large = { ...saved, patch_in: { proj: { weight: tf.fill(first[1].shape, 1e5) } } };
  await assert.rejects(
    saveInferenceCheckpoint(join(dir, "x"), { config, params: large, dtype: "fp16" }),
    {
      name: "RangeError",
      message: /patch_in\.proj\.weight .* less than 65520 in fp16: one is 100000/,
    },
  );
  treeDispose([saved, large.patch_in]);
});

Deno.test("saveInferenceCheckpoint() replaces no file unless told to, and checks before it writes", async () => {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "model.safetensors");
  const saved = await params();
  await Deno.writeTextFile(path, "precious");
  await assert.rejects(saveInferenceCheckpoint(path, { config, params: saved }), {
    name: "TypeError",
    message: /exists: give another name, or overwrite: true/,
  });
  assert.equal(await Deno.readTextFile(path), "precious");
  const other = join(dir, "other.safetensors");
  const { patch_in: _, ...partial } = saved;
  const refused: [Parameters<typeof saveInferenceCheckpoint>[1], RegExp][] = [
    [{ config, params: partial as HditParams }, /patch_in\.proj\.weight is missing/],
    [{ config, spec: presets.smoke, params: saved }, /describe two models/],
    [{ params: saved }, /needs a config, or a spec and a size/],
    [
      { spec: presets["imagenet-128/A"], size: [128, 128], params: saved },
      /position must be rope/,
    ],
  ];
  for (const [options, message] of refused) {
    await assert.rejects(saveInferenceCheckpoint(other, options), { message });
  }
  await saveInferenceCheckpoint(path, { config, params: saved, overwrite: true });
  const loaded = await loadInferenceCheckpoint(path);
  const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
  assert.deepEqual(names, ["model.safetensors"]); // nothing is left of what failed
  treeDispose([saved, loaded.params]);
});

Deno.test("loadInferenceCheckpoint() says what is wrong with a file, and leaks nothing", async () => {
  const saved = await params();
  const path = join(await Deno.makeTempDir(), "model.safetensors");
  await saveInferenceCheckpoint(path, { config, params: saved });
  const { tensors } = parseSafetensors(await Deno.readFile(path));
  const inputs = new Map(
    [...tensors].map(([name, { shape, data }]) =>
      [name, { dtype: "F32" as const, shape, data: data as Float32Array }] as const
    ),
  );
  const meta = { config: JSON.stringify(config) };
  const without = new Map([...inputs].slice(1));
  const integer = new Map([...inputs].map(([name, t]) => [name, { ...t, dtype: "I32" as const }]));
  const deeper = (change: object) => ({ ...config, model: { ...config.model, ...change } });
  const before = tf.memory().numTensors;
  const wrong: [Uint8Array, "TypeError" | "RangeError" | "SyntaxError", RegExp][] = [
    [encodeSafetensors(inputs), "TypeError", /metadata must hold a "config"/],
    [encodeSafetensors(inputs, { config: "{" }), "SyntaxError", /"config" must be JSON/],
    [encodeSafetensors(without, meta), "RangeError", /patch_in\.proj\.weight is missing/],
    [encodeSafetensors(integer, meta), "TypeError", /must be F32, F16 or BF16: .* is I32/],
    // a configuration that lies about the model's size builds nothing
    ...[{ depths: [1e9, 1] }, { widths: [8, 8e12] }, { mapping_depth: 1e12 }].map((change) =>
      [
        encodeSafetensors(inputs, { config: JSON.stringify(deeper(change)) }),
        "RangeError" as const,
        /not those of its config/,
      ] as [Uint8Array, "RangeError", RegExp]
    ),
    [new Uint8Array(4), "RangeError", /truncated/],
  ];
  for (const [bytes, name, message] of wrong) {
    await assert.rejects(loadInferenceCheckpoint(bytes), { name, message });
  }
  assert.equal(tf.memory().numTensors, before);
  const given = await loadInferenceCheckpoint(encodeSafetensors(inputs), { config });
  assert.deepEqual(numbers(given.params), numbers(saved));
  treeDispose([saved, given.params]);
});

Deno.test("loadTrainingCheckpoint() reads averaged or trained weights, from a path or from bytes", async () => {
  const saved = await params();
  const bytes = trainingFile(saved);
  const path = join(await Deno.makeTempDir(), "run_00010000.pth");
  await Deno.writeFile(path, bytes);
  for (const from of [path, bytes]) {
    const averaged = loadTrainingCheckpoint(from);
    assert.deepEqual(averaged.config, config);
    assert.deepEqual(averaged.spec, spec);
    assert.equal(averaged.dtype, "fp32");
    const { step, epoch, elapsed } = averaged;
    assert.deepEqual({ step, epoch, elapsed }, { step: 10000, epoch: 3, elapsed: 12.5 });
    const plusOne = Object.entries(numbers(saved)).map(([name, x]) =>
      [name, (x as Float32Array).map((v) => v + 1)] as const
    );
    assert.deepEqual(numbers(averaged.params), Object.fromEntries(plusOne));
    const trained = loadTrainingCheckpoint(from, { weights: "model" });
    assert.deepEqual(numbers(trained.params), numbers(saved));
    treeDispose([averaged.params, trained.params]);
  }
  treeDispose(saved);
});

Deno.test("loadTrainingCheckpoint() of a file of PyTorch's gives the model whose outputs are the reference's", async () => {
  // k-diffusion 4601bf0, torch 2.6.0: tests/io/fixtures/torch/make.py
  await setEngine("cpu");
  const path = new URL("./fixtures/torch/training", import.meta.url).pathname;
  const given: Record<string, number[]> = JSON.parse(await Deno.readTextFile(`${path}.json`));
  const loaded = loadTrainingCheckpoint(`${path}.pth`);
  assert.equal(loaded.step, 1234);
  const { size, notes } = parseKDiffusionConfig(loaded.config);
  assert.deepEqual([size, notes], [[4, 8], []]);
  const out = tf.tidy(() =>
    hdit(loaded.params, {
      x: tf.tensor(given.x, [2, 4, 8, 1]), // one channel: its place does not matter
      sigma: tf.tensor1d(given.sigma),
      classCond: tf.tensor1d(given.class_cond, "int32"),
    }, { spec: loaded.spec }).dataSync()
  );
  const rms = Math.sqrt(given.out.reduce((sum, x) => sum + x * x, 0) / given.out.length);
  const worst = Math.max(...given.out.map((x, i) => Math.abs(x - out[i])));
  assert.ok(rms > 0.1 && worst / rms < 2e-5, `${worst / rms}`); // two float32 computations
  const trained = loadTrainingCheckpoint(`${path}.pth`, { weights: "model" });
  assert.notDeepEqual(numbers(trained.params), numbers(loaded.params));
  treeDispose([loaded.params, trained.params]);
});

Deno.test("loadTrainingCheckpoint() says what is wrong with a file", async () => {
  const saved = await params();
  const changed = (key: string, value: unknown) =>
    trainingFile(
      saved,
      (entries) => value === undefined ? entries.delete(key) : entries.set(key, value),
    );
  const endless = new Map<string, unknown>();
  for (let i = 0, at = endless; i < 100; i++) {
    const next = new Map<string, unknown>();
    at.set("a", next);
    at = next;
  }
  const wrong: [Uint8Array, RegExp][] = [
    [changed("config", undefined), /must hold a "config"/],
    [changed("config", null), /must hold a "config"/],
    [changed("config", endless), /at most 100000 values, 64 deep/],
    [changed("config", "text"), /must be JSON|JSON object/],
    [changed("model_ema", undefined), /model_ema must be a dict/],
    [changed("model_ema", new Map([["a", 1]])), /must hold tensors by name: a is none/],
    [changed("model_ema", new Map()), /not those of its config/],
    [torchFile([1, 2]), /the checkpoint must be a dict/],
  ];
  for (const [bytes, message] of wrong) {
    assert.throws(() => loadTrainingCheckpoint(bytes), { message: new RegExp(message) });
  }
  const old = loadTrainingCheckpoint(changed("config", undefined), { config });
  assert.deepEqual(old.spec, spec);
  treeDispose([saved, old.params]);
});

/** A file of PyTorch's, its pickle and its storages. */
const whole = Deno.readFileSync(new URL("./fixtures/torch/training.pth", import.meta.url));

Deno.test({
  name:
    "loadTrainingCheckpoint() throws nothing but its own errors on damaged files, and leaks nothing",
  permissions: "none", // anything that it opened would be another error
  fn() {
    const entries = readZip(memorySource(whole));
    const data = entries.get("training/data.pkl")!.read();
    const storages = Array.from(
      { length: entries.size },
      (_, i) => entries.get(`training/data/${i}`),
    )
      .filter((entry) => entry !== undefined).map((entry) => entry.read());
    const before = tf.memory().numTensors, random = seeded(5);
    const outcomes = { read: 0, TypeError: 0, RangeError: 0, SyntaxError: 0 };
    for (let i = 0; i < 600; i++) {
      const bytes = i % 2 === 0
        ? mutate(whole, random)
        : torchArchive(mutate(data, random), storages);
      try {
        treeDispose(loadTrainingCheckpoint(bytes).params);
        outcomes.read++;
      } catch (error) {
        const name = (error as Error).name as keyof typeof outcomes;
        assert.ok(
          name in outcomes && /^Cannot /.test((error as Error).message),
          `file ${i}: ${error}`,
        );
        outcomes[name]++;
      }
    }
    assert.equal(tf.memory().numTensors, before);
    for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 10, outcome);
  },
});
