import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { mean } from "../../lib/statistics.ts";
import { makeMicroStep, microBatches } from "../../lib/training/accumulate.ts";
import { initNoiseScale, updateNoiseScale } from "../../lib/training/noise_scale.ts";
import { openTraining, type TrainOptions } from "../../lib/training/run.ts";
import { toyBatches, toyModel, type ToyParams } from "./toy_model.ts";

const toy = (change: Partial<TrainOptions<ToyParams>>): TrainOptions<ToyParams> => ({
  model: toyModel({ numClasses: 3, dropout: 0.3 }),
  size: [2, 3],
  batchAt: toyBatches({ B: 12, numClasses: 3 }),
  steps: 8,
  seed: 4,
  optimiser: { lr: 0.02 },
  lrSchedule: { kind: "exponential", numSteps: 4 },
  ...change,
});

async function run(options: TrainOptions<ToyParams>) {
  const training = await openTraining(options);
  const reports = [];
  for await (const { seconds: _, ...report } of training.steps()) reports.push(report);
  const numbers: Record<string, number[]> = {};
  for (const [path, leaf] of treeEntries(training.state)) numbers[path] = [...await leaf.data()];
  training.dispose();
  return { reports, numbers };
}

Deno.test("microBatches() has every sample once and covers the strata evenly in each part", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (n, parts) => {
      const all = microBatches(n * parts, parts);
      assert.deepEqual(
        all.flat().sort((a, b) => a - b),
        Array.from({ length: n * parts }, (_, i) => i),
      );
      for (const rows of all) rows.forEach((row, i) => assert.equal(Math.floor(row / parts), i));
    }),
  );
  assert.throws(() => microBatches(10, 4), /it has 10 images, accumulate is 4/);
});

Deno.test("openTraining() gives the same run however the batch is split, up to rounding", async () => {
  for (const engine of ["cpu", "onnxruntime"] as const) {
    await setEngine(engine);
    const before = tf.memory().numTensors;
    const whole = await run(toy({}));
    for (const accumulate of [2, 3, 12]) {
      const sizes = new Set<number>();
      const model = toyModel({ numClasses: 3, dropout: 0.3 });
      const split = await run(toy({
        accumulate,
        model: {
          ...model,
          apply: (params, inputs) => {
            sizes.add(inputs.x.shape[0]);
            return model.apply(params, inputs);
          },
        },
      }));
      assert.deepEqual([...sizes], [12 / accumulate]); // what memory depends on
      split.reports.forEach((report, i) => {
        const { losses, loss, gradNorm, ...same } = whole.reports[i];
        assert.ok(Math.abs(report.gradNorm / gradNorm - 1) < 1e-4);
        losses.forEach((l, j) => assert.ok(Math.abs(report.losses[j] - l) < 1e-4 * l));
        assert.ok(Math.abs(report.loss / loss - 1) < 1e-4);
        for (const [key, value] of Object.entries(same)) {
          assert.deepEqual(report[key as keyof typeof report], value); // step, sigmas, lr, emaDecay
        }
      });
      for (const [path, want] of Object.entries(whole.numbers)) {
        want.forEach((w, i) => assert.ok(Math.abs(split.numbers[path][i] - w) < 1e-4, path));
      }
    }
    assert.equal(tf.memory().numTensors, before);
  }
});

Deno.test("makeMicroStep() gives norms from which the noise scale of known gradients is found", async () => {
  await setEngine("cpu");
  // loss |w - x|^2 / 2 with x ~ N(0, S): the gradient is w, its noise S
  const d = 6, deviation = 1.5, B = 32, parts = 8, rounds = 300;
  const w = new Float32Array(d).fill(0.7);
  const micro = makeMicroStep<{ w: tf.Tensor }, tf.Tensor2D>({
    loss: ({ w }, x) => w.sub(x).square().sum(1).div(2) as tf.Tensor1D,
    rules: { isBuffer: () => false, paramGroup: () => ({ lrScale: 1, weightDecay: false }) },
    parts,
  });
  let state = initNoiseScale(), found = NaN;
  for (let round = 0; round < rounds; round++) {
    tf.tidy(() => {
      const params = { w: tf.tensor1d(w) };
      let sum: Record<string, tf.Tensor> = { w: tf.zeros([d]) };
      const norms = Array.from({ length: parts }, (_, part) => {
        const x = normals({ seed: 2, stream: `${part}` }, round, d * B / parts);
        const batch = tf.tensor2d(x.map((v) => deviation * v), [B / parts, d]);
        const out = micro({ params, batch, sum });
        sum = out.sum;
        return out.norm.dataSync()[0];
      });
      const measured = updateNoiseScale(state, {
        sqSmall: mean(norms.map((norm) => norm ** 2)),
        sqLarge: sum.w.square().sum().dataSync()[0],
        nSmall: B / parts,
        nLarge: B,
      });
      state = measured.state;
      found = measured.noiseScale;
    });
  }
  const exact = d * deviation ** 2 / (d * 0.7 ** 2);
  assert.ok(Math.abs(found / exact - 1) < 0.05, `${found}, exactly ${exact}`); // some 2 % over 300 rounds
});

Deno.test("openTraining() reports the noise scale where batches are split, and goes on with it bit for bit", async () => {
  await setEngine("cpu");
  const { reports } = await run(toy({ accumulate: 3 }));
  assert.ok(reports.every(({ noiseScale }) => Number.isFinite(noiseScale)));
  assert.equal(new Set(reports.map(({ noiseScale }) => noiseScale)).size, reports.length);
  assert.ok(!("noiseScale" in (await run(toy({}))).reports[0]));
  const dir = await Deno.makeTempDir();
  try {
    const options = toy({ accumulate: 3, save: { dir } });
    const first = await openTraining(options);
    for await (const { step } of first.steps()) if (step === 5) break;
    first.dispose();
    assert.deepEqual((await run(options)).reports, reports.slice(5));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  await assert.rejects(run(toy({ accumulate: 5 })), /12 images, accumulate is 5/);
  await assert.rejects(run(toy({ accumulate: 0 })), /accumulate is 0/);
});
