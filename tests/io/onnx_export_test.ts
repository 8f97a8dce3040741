import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { preconditioned } from "../../lib/diffusion/preconditioning.ts";
import type { Cond } from "../../lib/diffusion/types.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import {
  ANY_SIZE,
  exportFunction,
  type ExportOptions,
} from "../../lib/engine/onnxruntime/export.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeDispose, treeSize } from "../../lib/engine/tree.ts";
import { exportOnnx, readDenoiserInfo, readOnnxMetadata } from "../../lib/io/onnx_export.ts";
import type { HditParams } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";
import * as kinds from "../../lib/nn/attention_kinds.ts";
import { runtimeFiles, serveSite } from "../../tools/demo/site.ts";
import { findChromium, withPage } from "../experiments/chromium.ts";
import { livelyParams } from "./lively_params.ts";
import { findPython } from "../python.ts";

await setEngine("onnxruntime");

/** Of the largest number: other runtimes sum matrix products in another order. */
const RELATIVE = 1e-4;
const SIGMA_DATA = 0.5;

type Inputs = Record<string, { type: "float32" | "int32"; data: number[]; dims: number[] }>;
const CROSS_TOKENS = 3;

/** Noisy images at levels from 0.05 up, with every class in turn. */
function inputsFor(
  spec: HditSpec,
  { size: [H, W], batch }: { size: readonly [number, number]; batch: number },
): Inputs {
  const { inChannels, numClasses, mappingCondDim, crossCondDim = 0, selfConditioning } = spec;
  const sigma = Array.from({ length: batch }, (_, i) => 0.05 * 5 ** (i % 5));
  const drawn = (stream: string, ...dims: number[]) => {
    const n = dims.reduce((product, dim) => product * dim, batch);
    const data = Array.from(normals({ seed: 1, stream }, batch, n));
    return { type: "float32" as const, data, dims: [batch, ...dims] };
  };
  const x = drawn("x", H, W, inChannels), each = H * W * inChannels;
  x.data = x.data.map((value, i) => value * sigma[Math.floor(i / each)]);
  const classes = sigma.map((_, i) => i % (numClasses + 1));
  const padding = drawn("padding", CROSS_TOKENS);
  padding.data = padding.data.map((value) => value > 0.5 ? 1 : 0);
  return {
    x,
    sigma: { type: "float32", data: sigma, dims: [batch] },
    ...(numClasses > 0 && {
      class_cond: { type: "int32" as const, data: classes, dims: [batch] },
    }),
    ...(mappingCondDim > 0 && { mapping_cond: drawn("mapping", mappingCondDim) }),
    ...(crossCondDim > 0 && {
      cross_cond: drawn("cross", CROSS_TOKENS, crossCondDim),
      cross_cond_padding: padding,
    }),
    ...(selfConditioning && { self_cond: drawn("self", H, W, inChannels) }),
  };
}

/** What the library itself computes. */
function expected(spec: HditSpec, params: HditParams, inputs: Inputs): Float32Array {
  return tf.tidy(() => {
    const model = hditModel(spec);
    const tensor = (name: string) =>
      inputs[name] && tf.tensor(inputs[name].data, inputs[name].dims, inputs[name].type);
    const cond = {
      classCond: tensor("class_cond"),
      mappingCond: tensor("mapping_cond"),
      crossCond: tensor("cross_cond"),
      crossCondPadding: tensor("cross_cond_padding"),
      selfCond: tensor("self_cond"),
    };
    const denoise = preconditioned(
      (x, sigma, cond) => model.apply(params, { x, sigma, cond }),
      { kind: "edm", sigmaData: SIGMA_DATA },
    );
    const [x, sigma] = [tensor("x") as tf.Tensor4D, tensor("sigma") as tf.Tensor1D];
    return denoise(x, sigma, cond as Cond).dataSync() as Float32Array;
  });
}

function tensor4d({ data, dims }: Inputs[string]): tf.Tensor4D {
  const tensor: tf.Tensor = tf.tensor(data, dims);
  return tensor as tf.Tensor4D;
}

/** A file in ONNX Runtime's public API. */
async function runFile(file: Uint8Array, inputs: Inputs): Promise<Record<string, Float32Array>> {
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1 });
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { type, data, dims }]) => [
      name,
      type === "int32"
        ? new ort.Tensor("int32", Int32Array.from(data), dims)
        : new ort.Tensor("float32", Float32Array.from(data), dims),
    ]),
  );
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]),
  );
}

function assertClose(actual: ArrayLike<number>, wanted: ArrayLike<number>, relative = RELATIVE) {
  assert.equal(actual.length, wanted.length);
  let largest = 0, error = 0;
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, Math.abs(wanted[i]));
    const difference = Math.abs(actual[i] - wanted[i]);
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  assert.ok(error <= relative * largest, `the largest error is ${error} of ${largest}`);
}

const attention: fc.Arbitrary<AttentionSpec> = fc.constantFrom<AttentionSpec>(
  { kind: "global", dHead: 8 },
  { kind: "neighborhood", dHead: 8, kernelSize: 3 },
  { kind: "neighborhood", dHead: 8, kernelSize: 3, dilation: 2 },
  { kind: "shifted-window", dHead: 16, windowSize: 2 },
  { kind: "sliding-window", dHead: 8, kernelSize: 3 },
  { kind: "axial", dHead: 8 },
  { kind: "none" },
);
/** What a spec may have besides. */
const extras: fc.Arbitrary<Partial<HditSpec>> = fc.record({
  position: fc.constantFrom<HditSpec["position"]>(
    { kind: "rope" },
    { kind: "rope", positions: "training-pitch", trainingGrid: [8, 8] },
    { kind: "sincos" },
    { kind: "learned", grid: [8, 8] },
    { kind: "none" },
  ),
  skip: fc.constantFrom<HditSpec["skip"]>(
    { kind: "lerp" },
    { kind: "add" },
    { kind: "concat" },
    { kind: "none" },
  ),
  feedForward: fc.constantFrom<HditSpec["feedForward"]>({ kind: "geglu" }, { kind: "gelu" }),
  norm: fc.constantFrom<NonNullable<HditSpec["norm"]>>(
    { kind: "ada-rms-norm" },
    { kind: "ada-layer-norm", gate: true },
  ),
  similarity: fc.constantFrom<NonNullable<HditSpec["similarity"]>>("cosine", "dot-product"),
  selfConditioning: fc.boolean(),
  numClasses: fc.constantFrom(0, 1, 3),
  mappingCondDim: fc.constantFrom(0, 2),
});

/** Small models of every kind with a size that they take. */
const models: fc.Arbitrary<{ spec: HditSpec; size: [number, number] }> = fc.record({
  attentions: fc.array(attention, { minLength: 1, maxLength: 3 }),
  depth: fc.integer({ min: 1, max: 2 }),
  channels: fc.constantFrom(1, 3),
  crossCondDim: fc.constantFrom(0, 5),
  extras,
}).map(({ attentions, depth, channels, crossCondDim, extras }) => {
  const unit = 2 * 2 ** (attentions.length - 1);
  const joinable = extras.numClasses! > 0 && ["global", "none"].includes(attentions.at(-1)!.kind);
  return {
    size: [6 * unit, 8 * unit], // the coarsest grid is 6 × 8
    spec: {
      ...presets.smoke,
      ...extras,
      ...(joinable && {
        inContext: { tokens: 3, from: depth - 1 },
        mapping: { ...presets.smoke.mapping, width: 16 },
      }),
      crossCondDim,
      inChannels: channels,
      outChannels: channels,
      patchSize: [2, 2],
      levels: attentions.map((attention) => ({
        depth,
        width: 16,
        dFf: 24,
        attention,
        dropout: 0,
        ...(crossCondDim > 0 && { crossAttention: { dHead: 8 } }),
      })),
    },
  };
});

Deno.test("exportOnnx() writes files that compute what the library does, at any batch size", async () => {
  await fc.assert(
    fc.asyncProperty(models, fc.integer({ min: 1, max: 7 }), async ({ spec, size }, batch) => {
      const model = hditModel(spec), params = livelyParams(model);
      const file = exportOnnx({
        model,
        params,
        size,
        sigmaData: SIGMA_DATA,
        crossTokens: CROSS_TOKENS,
      });
      for (const n of new Set([1, batch])) {
        const inputs = inputsFor(spec, { size, batch: n });
        const { denoised } = await runFile(file, inputs);
        assertClose(denoised, expected(spec, params, inputs));
      }
      treeDispose(params);
    }),
    { numRuns: 24, seed: 7 },
  );
});

/** The smallest size that a model takes with sides that are multiples of those given. */
function leastSize(model: ReturnType<typeof hditModel>, [p, q]: readonly [number, number]) {
  const fits = (n: number) => {
    try {
      model.check([n * p, n * q]);
      return true;
    } catch {
      return false;
    }
  };
  return Array.from({ length: 16 }, (_, i) => i + 1).find(fits)!;
}

Deno.test("exportOnnx() writes files that compute what the library does, at any size and batch", async () => {
  await fc.assert(
    fc.asyncProperty(
      models,
      fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 4 })),
      async ({ spec, size }, [more, wider]) => {
        const model = hditModel(spec), params = livelyParams(model);
        const options = { model, params, size, sigmaData: SIGMA_DATA, crossTokens: CROSS_TOKENS };
        const file = exportOnnx({ ...options, dynamicSize: true });
        const [p, q] = readDenoiserInfo(file).sizeMultiple!, least = leastSize(model, [p, q]);
        const sizes = [[least, least], [least + more, least + wider]] as const;
        for (const [i, [h, w]] of sizes.entries()) {
          const inputs = inputsFor(spec, { size: [h * p, w * q], batch: 1 + i });
          const { denoised } = await runFile(file, inputs);
          assertClose(denoised, expected(spec, params, inputs));
        }
        treeDispose(params);
      },
    ),
    { numRuns: 16, seed: 11 },
  );
});

Deno.test("exportOnnx() at any size names its dimensions, and its file does not grow with the size", async () => {
  const { model, params } = example;
  const small = exportOnnx({ model, params, size: [32, 32], dynamicSize: true });
  const large = exportOnnx({ model, params, size: [512, 512], dynamicSize: true });
  assert.ok(Math.abs(large.length - small.length) < 16);
  assert.ok(large.length < exportOnnx({ model, params, size: [128, 128] }).length);
  const info = readDenoiserInfo(large);
  assert.deepEqual([info.size, info.sizeMultiple], [[512, 512], [8, 8]]);
  const session = await ort.InferenceSession.create(small);
  const dims = (all: readonly ort.InferenceSession.ValueMetadata[]) =>
    all.map((value) => value.isTensor ? [value.name, ...value.shape] : []);
  assert.deepEqual(dims(session.inputMetadata), [
    ["x", "batch", "height", "width", 3],
    ["sigma", "batch"],
    ["class_cond", "batch"],
  ]);
  assert.deepEqual(dims(session.outputMetadata), [["denoised", "batch", "height", "width", 3]]);
  await session.release();
  // a side that is no multiple of 8 is refused, not cut off
  const inputs = inputsFor(example.spec, { size: [36, 64], batch: 1 });
  await assert.rejects(runFile(small, inputs), /Reshape/);
});

Deno.test("exportOnnx() says which kind of attention cannot be had at any size", () => {
  const { globalKind } = kinds, anySize = globalKind.anySize!;
  delete globalKind.anySize;
  try {
    const { model, params, size } = example;
    assert.throws(() => exportOnnx({ model, params, size, dynamicSize: true }), {
      name: "RangeError",
      message: /must be had without tables: global is not/,
    });
  } finally {
    globalKind.anySize = anySize;
  }
});

/** A model that is tiled, with classes, on a grid that is not square. */
const example = (() => {
  const spec = { ...presets.smoke, numClasses: 2 }, size = [48, 64] as const;
  const model = hditModel(spec);
  return { spec, size, model, params: livelyParams(model) };
})();

const anySizeExample = () => exportOnnx({ ...example, dynamicSize: true });

Deno.test("exportOnnx() uses operators of the standard alone", () => {
  for (const file of [exportOnnx(example), anySizeExample()]) {
    // a domain that is used is named in the file
    assert.ok(!new TextDecoder("latin1").decode(file).includes("com.microsoft"));
  }
});

Deno.test("exportOnnx() stores each weight once", () => {
  const { model, size, params } = example;
  const weights = 4 * treeSize(params);
  const larger = livelyParams(hditModel({ ...example.spec, numClasses: 1002 }));
  const rows = 4 * (treeSize(larger) - treeSize(params));
  const grown = exportOnnx({
    model: hditModel({ ...example.spec, numClasses: 1002 }),
    params: larger,
    size,
  });
  const file = exportOnnx({ model, params, size });
  assert.ok(file.length > weights);
  // a thousand more classes add their embeddings, and their numbers for the comparison
  assert.ok(Math.abs(grown.length - file.length - rows) < 4 * 1000 + 200);
  treeDispose(larger);
});

Deno.test("exportOnnx() writes the inner network, and one batch size only, if asked for", async () => {
  const { spec, size, model, params } = example;
  const file = exportOnnx({ model, params, size, denoiser: false, dynamicBatch: false, batch: 2 });
  const inputs = inputsFor(spec, { size, batch: 2 });
  const { raw } = await runFile(file, inputs);
  const wanted = tf.tidy(() =>
    model.apply(params, {
      x: tensor4d(inputs.x),
      sigma: tf.tensor1d(inputs.sigma.data),
      cond: { classCond: tf.tensor1d(inputs.class_cond.data, "int32") },
    }).dataSync()
  );
  assertClose(raw, wanted);
  assert.equal(readDenoiserInfo(file).output, "raw");
  await assert.rejects(runFile(file, inputsFor(spec, { size, batch: 3 })), /invalid dimensions/);
});

Deno.test("exportOnnx() leaves parameters and engine as they are, and takes those of another engine", async () => {
  const { spec, size, model } = example;
  await setEngine("cpu");
  const params = livelyParams(model); // the numbers of the example's
  await setEngine("onnxruntime");
  const before = tf.memory().numTensors;
  const file = exportOnnx({ model, params, size });
  assert.equal(tf.memory().numTensors, before);
  const inputs = inputsFor(spec, { size, batch: 1 });
  const { denoised } = await runFile(file, inputs);
  assertClose(denoised, expected(spec, example.params, inputs));
  treeDispose(params);
});

Deno.test("exportOnnx() checks what it is given before any work", async () => {
  const { model, params } = example, size = [48, 64] as const;
  const wrong: [Partial<Parameters<typeof exportOnnx>[0]>, RegExp][] = [
    [{ size: [50, 64] }, /height must be a multiple of 8/],
    [{ classNames: ["one"] }, /a name a class: 1 names, 2 classes/],
    [{ sigmaMin: 0 }, /0 < sigmaMin < sigmaMax must hold: sigmaMin is 0/],
    [{ sigmaMax: NaN }, /sigmaMax is NaN/],
    [{ batch: 0.5, dynamicBatch: false }, /batch must be a whole number >= 1: batch is 0.5/],
    [{ sigmaData: -1 }, /sigmaData must be a positive number/],
  ];
  for (const [change, message] of wrong) {
    assert.throws(() => exportOnnx({ model, params, size, ...change } as never), message);
  }
  await setEngine("cpu");
  try {
    assert.throws(() => exportOnnx({ model, params, size }), /must be onnxruntime: it is cpu/);
  } finally {
    await setEngine("onnxruntime");
  }
});

Deno.test("readDenoiserInfo() gives back what was exported, and refuses other files", () => {
  const { model, params, size, spec } = example;
  const classNames = ["Cats & “dogs”", "emoji 😀"];
  const file = exportOnnx({ model, params, size, classNames, sigmaMin: 0.02, sigmaMax: 80 });
  assert.deepEqual(readDenoiserInfo(file), {
    size: [...size],
    channels: 3,
    numClasses: 2,
    classNames,
    sigmaData: 0.5,
    sigmaMin: 0.02,
    sigmaMax: 80,
    output: "denoised",
    spec,
  });
  assert.throws(() => readDenoiserInfo(new Uint8Array()), /format is absent/);
  assert.throws(() => readDenoiserInfo(file.subarray(0, file.length >> 1)), /truncated/);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    try {
      readOnnxMetadata(bytes);
    } catch (error) {
      assert.ok(error instanceof TypeError);
    }
  }));
});

/** A function of x [batch, 3] as a file, and the same function by the library. */
async function assertExported(
  fn: (x: tf.Tensor) => tf.Tensor,
  { batches = [1, 2, 4] } = {},
): Promise<void> {
  const file = exportFunction(({ x }) => ({ y: fn(x) }), functionOptions);
  for (const batch of batches) {
    const data = Array.from(normals({ seed: 2, stream: "x" }, 0, batch * 3));
    const { y } = await runFile(file, { x: { type: "float32", data, dims: [batch, 3] } });
    assertClose(y, tf.tidy(() => fn(tf.tensor(data, [batch, 3])).dataSync()));
  }
}
const functionOptions: ExportOptions = {
  inputs: { x: { dtype: "float32", shape: ["batch", 3] } },
  sizes: { batch: ANY_SIZE },
};

Deno.test("exportFunction() computes shapes, sizes and constants that grow with the batch", async () => {
  const batchOf = (x: tf.Tensor) => x.shape[0]!;
  const weight = tf.tensor2d([[1, 2, 3], [4, 5, 6]]); // [out, in]
  const cases: ((x: tf.Tensor) => tf.Tensor)[] = [
    (x) => tf.matMul(x, weight, false, true),
    (x) => tf.matMul(x, x, true, false), // [3, 3]
    (x) => tf.matMul(x, x, false, true), // [batch, batch], both from the input
    (x) => tf.concat([x, tf.zeros([batchOf(x), 2])], 1),
    (x) => tf.add(tf.ones([1, 3]).broadcastTo([batchOf(x), 3]), x),
    (x) =>
      tf.tile(tf.reshape(weight, [1, 6]), [batchOf(x), 1]).slice([0, 0], [batchOf(x), 3]).mul(x),
    (x) => tf.reshape(tf.concat([x, x.neg()]), [2, batchOf(x), 3]).sum(0).add(x),
    (x) => tf.tensor(Array(2 * batchOf(x)).fill([1, 2, 3])).slice([0, 0], [batchOf(x), 3]).mul(x),
    (x) => tf.reshape(x, [batchOf(x), 1, 3]),
    (x) => tf.reshape(x, [3 * batchOf(x)]),
    (x) => x.div(batchOf(x)),
    (x) => x.mul(tf.reshape(tf.scalar(3 * batchOf(x) - 1), [1, 1])),
    (x) => tf.range(0, batchOf(x)).reshape([batchOf(x), 1]).mul(x),
    (x) => tf.fill([batchOf(x), 1], 7).mul(x),
    (x) => x,
  ];
  for (const fn of cases) await assertExported(fn);
  weight.dispose();
});

Deno.test("exportFunction() refuses what depends on the batch in another way", () => {
  const batchOf = (x: tf.Tensor) => x.shape[0]!;
  const cases: [(x: tf.Tensor) => tf.Tensor, RegExp][] = [
    [(x) => x.div(1 / batchOf(x)), /numbers of a constant \[\] depend on it/],
    [(x) => batchOf(x) > 3 ? x.neg() : x.abs(), /operations differ with the batch/],
    [
      (x) => tf.pad(x, [[0, batchOf(x) ** 2], [0, 0]]),
      /a constant has 4, 9, 25 along axis 2 where the batch is 2, 3, 5/,
    ],
    [
      (x) => tf.tensor(Array.from({ length: batchOf(x) }, (_, i) => [i * i])).mul(x),
      /numbers of a constant \[2,1\] depend on it/,
    ],
  ];
  for (const [fn, message] of cases) {
    assert.throws(
      () => exportFunction(({ x }) => ({ y: fn(x) }), functionOptions),
      (error: Error) => error instanceof RangeError && message.test(error.message),
    );
  }
});

Deno.test("exportFunction() stores masks small, and computes with them alike", async () => {
  const n = 40_000, values = (i: number) => i % 3 === 0 ? -1e9 : 0;
  const mask = tf.tensor2d(Float32Array.from({ length: n }, (_, i) => values(i)), [1, n]);
  const file = exportFunction(
    ({ x }) => ({ y: x.slice([0, 0], [-1, 1]).add(mask) }),
    functionOptions,
  );
  assert.ok(file.length < n + 1000);
  const { y } = await runFile(file, { x: { type: "float32", data: [1, 2, 3], dims: [1, 3] } });
  assert.deepEqual([...y], Array.from({ length: n }, (_, i) => Math.fround(values(i) + 1)));
  mask.dispose();
});

Deno.test("exportFunction() refuses files beyond what the format can hold", () => {
  const n = 2 ** 29; // the memory is never touched
  const weight = tf.tensor(new Float32Array(n), [1, n]);
  assert.throws(
    () =>
      exportFunction(({ x }) => ({ y: x.slice([0, 0], [-1, 1]).mul(weight) }), {
        ...functionOptions,
        names: [["weight", weight]],
      }),
    /must stay below 2 GiB: weights and tables are 2.00 GiB/,
  );
  weight.dispose();
});

const chromium = await findChromium();
if (chromium === undefined) {
  console.log("Exported models are not run in a browser, as there is no Chromium on the PATH");
}

Deno.test({
  name: "exportOnnx() writes files that browsers compute as the library does",
  ignore: chromium === undefined,
  async fn() {
    const { spec, size, model, params } = example;
    const dir = await Deno.makeTempDir();
    await using server = serveSite(dir);
    try {
      await Deno.writeTextFile(
        join(dir, "index.html"),
        `<!DOCTYPE html><link rel="icon" href="data:,">`,
      );
      const files = { one: exportOnnx({ model, params, size }), any: anySizeExample() };
      for (const [name, file] of Object.entries(files)) {
        await Deno.writeFile(join(dir, `${name}.onnx`), file);
      }
      for (const [name, path] of await runtimeFiles(["ort.wasm.min.mjs"])) {
        await Deno.copyFile(path, join(dir, name));
      }
      const url = `http://127.0.0.1:${server.addr.port}/`;
      await withPage(chromium!, { url }, async ({ complaints, requests, evaluate }) => {
        await evaluate(`(async () => {
          const ort = globalThis.ort = await import("/ort.wasm.min.mjs");
          ort.env.wasm.wasmPaths = location.href;
          ort.env.wasm.numThreads = 1;
          globalThis.sessions = {
            one: await ort.InferenceSession.create("/one.onnx"),
            any: await ort.InferenceSession.create("/any.onnx"),
          };
        })()`);
        for (
          const { file, at, batch } of [
            { file: "one", at: size, batch: 1 },
            { file: "one", at: size, batch: 3 },
            { file: "any", at: size, batch: 3 },
            { file: "any", at: [32, 24] as const, batch: 1 },
          ]
        ) {
          const inputs = inputsFor(spec, { size: at, batch });
          const denoised = await evaluate(`(async (inputs) => {
            const feeds = {};
            for (const [name, { type, data, dims }] of Object.entries(inputs)) {
              feeds[name] = new ort.Tensor(type, data, dims);
            }
            return Array.from((await sessions.${file}.run(feeds)).denoised.data);
          })(${JSON.stringify(inputs)})`);
          assertClose(denoised as number[], expected(spec, params, inputs));
        }
        assert.deepEqual(complaints, []);
        assert.deepEqual(requests.filter((address) => !address.startsWith(url)), []);
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

const python = await findPython("onnxruntime", "numpy");
if ("missing" in python) {
  console.log(`Exported models are not run in Python, as ${python.missing}`);
}

Deno.test({
  name: "exportOnnx() writes files that Python computes as the library does",
  ignore: "missing" in python,
  async fn() {
    const { spec, size, model, params } = example;
    const dir = await Deno.makeTempDir();
    try {
      const path = join(dir, "model.onnx");
      for (
        const { dynamicSize, at, batch } of [
          { dynamicSize: false, at: size, batch: 1 },
          { dynamicSize: false, at: size, batch: 3 },
          { dynamicSize: true, at: [24, 40] as const, batch: 2 },
        ]
      ) {
        const classNames = ["a", "b"];
        await Deno.writeFile(path, exportOnnx({ model, params, size, classNames, dynamicSize }));
        const inputs = inputsFor(spec, { size: at, batch });
        await Deno.writeTextFile(join(dir, "inputs.json"), JSON.stringify(inputs));
        const { success, stdout, stderr } = await new Deno.Command(
          "python" in python ? python.python : "",
          { args: [fromFileUrl(new URL("./run_onnx.py", import.meta.url)), dir] },
        ).output();
        assert.ok(success, new TextDecoder().decode(stderr));
        const result = JSON.parse(new TextDecoder().decode(stdout));
        assertClose(result.denoised, expected(spec, params, inputs));
        assert.deepEqual(JSON.parse(result.metadata.class_names), ["a", "b"]);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
