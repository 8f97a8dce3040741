/**
 * `deno task bench`: what a train step and a forward pass take here, and how near they come to the
 * machine's own matrix-product rate, measured in the same run.
 *
 * Medians over repeated calls. Operations are floating-point ones, two for each multiply-add; a
 * train step is counted as three forward passes (the backward pass has two products for each one).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { describeMachine, peakMemory } from "../experiments/machine.ts";
import { choiceOption, command, numberOption, runCommand } from "../lib/command.ts";
import { openFeeder } from "../lib/data/feeder.ts";
import { openDataset } from "../lib/data/open_dataset.ts";
import { hditModel } from "../lib/diffusion/diffusion_model.ts";
import { denoisingLoss } from "../lib/diffusion/loss.ts";
import { compile, type CompileStats } from "../lib/engine/compile.ts";
import {
  currentEngine,
  type EngineChoice,
  engineChoices,
  setEngine,
} from "../lib/engine/engine.ts";
import { normals, uniforms } from "../lib/engine/random.ts";
import { treeDispose } from "../lib/engine/tree.ts";
import { cost } from "../lib/models/cost.ts";
import type { HditParams } from "../lib/models/hdit.ts";
import { presets } from "../lib/models/presets.ts";
import { median } from "../lib/statistics.ts";
import { formatTable } from "../lib/table.ts";
import { memory, PROCESS_BYTES } from "../lib/training/memory.ts";
import { openTraining, paperOptimiser } from "../lib/training/run.ts";
import { initTrainState, makeTrainStep, stepScalars } from "../lib/training/train_step.ts";

type PresetName = keyof typeof presets;
type Flags = {
  preset: PresetName;
  size: number;
  batch: number;
  steps: number;
  engine: EngineChoice;
  json: boolean;
};

/** Times in milliseconds, rates in 1e9 operations a second, memory in bytes. */
export type BenchResult = {
  machine: ReturnType<typeof describeMachine>;
  model: { preset: string; size: number; batch: number; params: number; macsPerImage: number };
  trainStep: Timing & { gflops: number; shareOfMatmul: number; imagesPerSecond: number };
  forward: Timing & { gflops: number; shareOfMatmul: number; imagesPerSecond: number };
  /** Square products of 1024, and attention's batched ones of 64 queries, 196 keys, 64 channels. */
  rates: { matmul: number; attention: number };
  /** Share of a training's time, on augmented emoji, that it waits for pictures. */
  waiting: number;
  peakMemory: number;
  /** What `memory()` says the same moment takes, the process's own share included; on the embedded engine alone. */
  predictedMemory?: number;
};

/**
 * Medians a call: `run` inside the runtime, `js` in this library, `total` with the turn of the event
 * loop, in which memory is freed. `trace` and `compile` are paid once.
 */
type Timing = {
  total: number;
  run: number;
  js: number;
  trace: number;
  compile: number;
  nodes: number;
};

const program = command("bench", "Measure the train step, the forward pass and the machine's rates")
  .option(
    "--preset <name>",
    "which model",
    choiceOption(Object.keys(presets) as PresetName[]),
    "study",
  )
  .option("--size <pixels>", "side of the images", numberOption({ min: 8, whole: true }), 128)
  .option("--batch <images>", "images a step", numberOption({ min: 1, whole: true }), 8)
  .option("--steps <number>", "timed calls of each", numberOption({ min: 1, whole: true }), 12)
  .option(
    "--engine <name>",
    `one of ${engineChoices.join(", ")}`,
    choiceOption(engineChoices),
    "auto",
  )
  .option("--json", "print JSON", false)
  .action(async (flags: Flags) => {
    await setEngine(flags.engine);
    const result = await bench(flags);
    console.log(flags.json ? JSON.stringify(result, null, 2) : describe(result));
  });

async function bench({ preset, size, batch: B, steps }: Flags): Promise<BenchResult> {
  const spec = { ...presets[preset], numClasses: 0 };
  const { params, macs } = cost(spec, [size, size]);
  const train = await timeTrainStep({ spec, size, B, steps });
  const peak = peakMemory(); // before anything else is measured
  const forward = await timeForward({ spec, size, B, steps });
  const rates = { matmul: await matmulRate(steps), attention: await attentionRate(steps) };
  const achieved = (ms: number, passes: number) => {
    const gflops = 2 * macs * B * passes / (ms * 1e6);
    return { gflops, shareOfMatmul: gflops / rates.matmul, imagesPerSecond: 1000 * B / ms };
  };
  return {
    machine: describeMachine(),
    model: { preset, size, batch: B, params, macsPerImage: macs },
    trainStep: { ...train, ...achieved(train.total, 3) },
    forward: { ...forward, ...achieved(forward.total, 1) },
    rates,
    waiting: await waitingShare({ spec, size, B, steps }),
    peakMemory: peak,
    ...(currentEngine() === "onnxruntime"
      ? { predictedMemory: PROCESS_BYTES + (await memory(spec, [size, size], { batch: B })).total }
      : {}),
  };
}

type Model = { spec: (typeof presets)[PresetName]; size: number; B: number; steps: number };

function makeInputs({ size, B }: Model, step: number) {
  const shape: [number, number, number, number] = [B, size, size, 3];
  const draw = (stream: string) =>
    tf.tensor4d(normals({ seed: 0, stream }, step, B * size * size * 3), shape);
  const levels = uniforms({ seed: 0, stream: "sigma" }, step, B);
  return {
    images: draw("images"),
    noise: draw("noise"),
    sigma: tf.tensor1d(levels.map((u) => Math.exp(4 * u - 2))),
  };
}

async function timeTrainStep(options: Model): Promise<Timing> {
  const model = hditModel(options.spec);
  const step = compile(makeTrainStep({
    loss: (params: HditParams, batch: ReturnType<typeof makeInputs>) =>
      denoisingLoss(
        (x, sigma, cond) => model.apply(params, { x, sigma, cond }),
        { ...batch, cond: {} },
        { sigmaData: 0.5, weighting: { kind: "soft-min-snr" } },
      ),
    rules: model,
    optimiser: paperOptimiser,
  }));
  let state = initTrainState(model.init({ seed: 0, stream: "init" }), model);
  const timing = await timeCalls(step, options.steps, async (i) => {
    const batch = makeInputs(options, i);
    const scalars = stepScalars(state.params, {
      rules: model,
      optimiser: paperOptimiser,
      step: i,
      emaDecay: 0.99,
    });
    const started = performance.now();
    const out = await step({ state, batch, scalars });
    const total = performance.now() - started;
    treeDispose([state, batch, scalars, out.loss, out.losses, out.gradNorm]);
    state = out.state;
    return total;
  });
  treeDispose(state);
  step.dispose();
  return timing;
}

/** The share of a training's time that it waits for its feeder, once both are warm. */
async function waitingShare({ spec, size, B, steps }: Model): Promise<number> {
  const { train } = await openDataset({ kind: "emoji", categories: ["smileys"] }, { size });
  await using feeder = openFeeder(train, { size, batchSize: B, seed: 0, augmentProb: 0.12 });
  const run = await openTraining({
    model: hditModel(spec),
    size: [size, size],
    steps: steps + 2,
    batchAt: async (index) => {
      const { images, augCond } = await feeder.batchAt(index);
      return { images: images.data, augCond: augCond! };
    },
  });
  let began = 0, before = 0;
  for await (const { step } of run.steps()) {
    if (step === 2) [began, before] = [performance.now(), feeder.waited];
  }
  const share = (feeder.waited - before) * 1000 / (performance.now() - began);
  run.dispose();
  return share;
}

async function timeForward(options: Model): Promise<Timing> {
  const model = hditModel(options.spec);
  const params = model.init({ seed: 0, stream: "init" });
  const pass = compile((args: { params: HditParams; x: tf.Tensor4D; sigma: tf.Tensor1D }) =>
    model.apply(args.params, { ...args, cond: {} })
  );
  const timing = await timeCalls(pass, options.steps, async (i) => {
    const { images: x, noise, sigma } = makeInputs(options, i);
    const started = performance.now();
    const out = await pass({ params, x, sigma });
    const total = performance.now() - started;
    treeDispose([x, noise, sigma, out]);
    return total;
  });
  treeDispose(params);
  pass.dispose();
  return timing;
}

/** Calls of a compiled function: two to warm up, then the timed ones. */
async function timeCalls(
  { stats }: { stats: CompileStats },
  steps: number,
  call: (i: number) => Promise<number>,
): Promise<Timing> {
  await call(0);
  await call(1);
  const totals: number[] = [], runs: number[] = [], js: number[] = [];
  for (let i = 0; i < steps; i++) {
    const { runMs, callMs } = stats;
    totals.push(await call(i + 2));
    runs.push(stats.runMs - runMs);
    js.push(stats.callMs - callMs - runs[i]);
  }
  return {
    total: median(totals)!,
    run: median(runs)!,
    js: median(js)!,
    trace: stats.traceMs,
    compile: stats.compileMs,
    nodes: stats.nodes,
  };
}

/** Chained products in one graph, so that nothing but the product is timed. */
async function productRate(
  a: tf.Tensor,
  { operations, chain, steps, product }: {
    operations: number;
    chain: number;
    steps: number;
    product: (x: tf.Tensor) => tf.Tensor;
  },
): Promise<number> {
  const run = compile((x: tf.Tensor) => {
    let y = x;
    for (let i = 0; i < chain; i++) y = product(y);
    return y;
  });
  const { run: ms } = await timeCalls(run, steps, async () => {
    const started = performance.now();
    (await run(a)).dispose();
    return performance.now() - started;
  });
  run.dispose();
  a.dispose();
  return chain * operations / (ms * 1e6);
}

function matmulRate(steps: number): Promise<number> {
  const n = 1024, weight = tf.fill([n, n], 1 / n);
  return productRate(tf.ones([n, n]), {
    operations: 2 * n ** 3,
    chain: 8,
    steps,
    product: (x) => tf.matMul(x, weight),
  });
}

function attentionRate(steps: number): Promise<number> {
  const groups = 256, queries = 64, keys = 196, d = 64;
  const k = tf.fill([groups, keys, d], 1 / d);
  return productRate(tf.ones([groups, queries, d]), {
    operations: 2 * 2 * groups * queries * keys * d,
    chain: 4,
    steps,
    product: (q) => tf.matMul(tf.matMul(q, k, false, true), k),
  });
}

function describe(
  { machine, model, trainStep, forward, rates, waiting, peakMemory, predictedMemory }: BenchResult,
): string {
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  const table = formatTable([
    { what: "train step", ...trainStep },
    { what: "forward pass", ...forward },
  ], {
    columns: [
      { title: "", value: ({ what }) => what },
      { title: "ms", value: ({ total }) => ms(total) },
      { title: "in the runtime", value: ({ run }) => ms(run) },
      { title: "JavaScript", value: ({ js }) => ms(js) },
      { title: "images/s", value: ({ imagesPerSecond }) => imagesPerSecond.toFixed(1) },
      { title: "GFLOP/s", value: ({ gflops }) => gflops.toFixed(0) },
      { title: "of matmul", value: ({ shareOfMatmul }) => `${(100 * shareOfMatmul).toFixed(0)} %` },
      { title: "trace", value: ({ trace }) => ms(trace) },
      { title: "compile", value: ({ compile }) => ms(compile) },
      { title: "nodes", value: ({ nodes }) => nodes },
    ],
  });
  const { preset, size, batch, params, macsPerImage } = model;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.os}; engine ${machine.engine}`,
    `${preset}: ${(params / 1e6).toFixed(2)} M parameters, ${
      (macsPerImage / 1e9).toFixed(2)
    } GMAC an image, ` +
    `${size} px, batch ${batch}; medians in milliseconds`,
    "",
    table,
    "",
    `matrix products: ${rates.matmul.toFixed(0)} GFLOP/s (1024 × 1024), ` +
    `${rates.attention.toFixed(0)} GFLOP/s (attention's)`,
    `waiting for pictures in training: ${(100 * waiting).toFixed(2)} %`,
    `peak memory of the train step: ${(peakMemory / 1e9).toFixed(2)} GB` +
    (predictedMemory ? `, predicted ${(predictedMemory / 1e9).toFixed(2)} GB` : ""),
  ].join("\n");
}

await runCommand(program);
