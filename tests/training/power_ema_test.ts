import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { restoreTree } from "../../lib/training/checkpoint.ts";
import { listEmaSnapshots, reconstructEma } from "../../lib/training/ema_snapshots.ts";
import { mixingWeights, powerDecay, powerGamma } from "../../lib/training/power_ema.ts";
import { openTraining, type TrainOptions } from "../../lib/training/run.ts";
import { toyBatches, toyModel, type ToyParams } from "./toy_model.ts";
import { inFolder } from "../folder.ts";

await setEngine("cpu");

/** Exact weights of the parameters after each of T steps in the average of exponent gamma over the first t. */
function profile(gamma: number, { t, T }: { t: number; T: number }): number[] {
  const upTo = (s: number) => Math.min(s / t, 1) ** (gamma + 1);
  return Array.from({ length: T }, (_, i) => upTo(i + 1) - upTo(i));
}

/** What is stored of a run of T steps, and what mixing it to a length gives of each step. */
function mixture(sigmaRel: number, { T, everySteps }: { T: number; everySteps: number }) {
  const steps = Array.from({ length: T / everySteps }, (_, i) => (i + 1) * everySteps);
  const stored = steps.flatMap((step) =>
    [0.05, 0.1].map((sigma) => ({ step, gamma: powerGamma(sigma) }))
  );
  const weights = mixingWeights(stored, { step: T, gamma: powerGamma(sigmaRel) });
  const mixed = new Array<number>(T).fill(0);
  stored.forEach(({ gamma, step: t }, k) =>
    profile(gamma, { t, T }).forEach((p, i) => mixed[i] += weights[k] * p)
  );
  return { weights, mixed };
}

const length = fc.double({ min: 0.03, max: 0.28, noNaN: true });

Deno.test("powerGamma() has the paper's exponents and inverts the formula for any length", () => {
  assert.ok(Math.abs(powerGamma(0.05) - 16.97) < 0.005);
  assert.ok(Math.abs(powerGamma(0.1) - 6.94) < 0.005);
  assert.ok(powerGamma(Math.sqrt(1 / 12)) < 1e-6); // the uniform average
  fc.assert(fc.property(fc.double({ min: 1e-4, max: 0.2886, noNaN: true }), (sigmaRel) => {
    const gamma = powerGamma(sigmaRel);
    const back = Math.sqrt((gamma + 1) / (gamma + 3)) / (gamma + 2);
    assert.ok(gamma >= 0 && Math.abs(back / sigmaRel - 1) < 1e-9);
  }));
  for (const wrong of [0, -1, 0.29, NaN]) assert.throws(() => powerGamma(wrong), /sigmaRel is/);
});

Deno.test("powerDecay() makes an average of the exact profile, whose spread is sigmaRel of its length", () => {
  fc.assert(fc.property(length, (sigmaRel) => {
    const gamma = powerGamma(sigmaRel), T = 400;
    const weights: number[] = [];
    for (let step = 1; step <= T; step++) {
      const decay = powerDecay({ gamma, step });
      weights.forEach((w, i) => weights[i] = w * decay);
      weights.push(1 - decay);
    }
    const exact = profile(gamma, { t: T, T });
    weights.forEach((w, i) => assert.ok(Math.abs(w - exact[i]) < 1e-12));
    const mean = exact.reduce((sum, p, i) => sum + p * (i + 0.5), 0);
    const spread = Math.sqrt(exact.reduce((sum, p, i) => sum + p * (i + 0.5 - mean) ** 2, 0));
    assert.ok(Math.abs(spread / T / sigmaRel - 1) < 0.01);
  }));
});

Deno.test("mixingWeights() come near the exact profile of any length, nearer the more is stored", () => {
  fc.assert(fc.property(length, (sigmaRel) => {
    const T = 600, exact = profile(powerGamma(sigmaRel), { t: T, T });
    const errors = [100, 30, 10].map((everySteps) => {
      const { weights, mixed } = mixture(sigmaRel, { T, everySteps });
      assert.ok(Math.abs(weights.reduce((a, b) => a + b, 0) - 1) < 1e-9);
      return mixed.reduce((sum, p, i) => sum + Math.abs(p - exact[i]), 0);
    });
    assert.ok(errors[2] < errors[1] + 1e-9 && errors[1] < errors[0] + 1e-9, `${errors}`);
    const usual = sigmaRel >= 0.045 && sigmaRel <= 0.2; // the lengths in the paper's figures
    assert.ok(errors[1] < (usual ? 0.03 : 0.12), `${sigmaRel}: ${errors}`);
  }));
  for (const sigmaRel of [0.05, 0.1]) { // the last of those that are stored, alone
    const { weights } = mixture(sigmaRel, { T: 600, everySteps: 30 });
    assert.ok(Math.abs(weights.at(sigmaRel === 0.05 ? -2 : -1)! - 1) < 1e-9);
  }
});

const toy = (dir: string, change: Partial<TrainOptions<ToyParams>> = {}) => ({
  model: toyModel(),
  size: [2, 3] as const,
  batchAt: toyBatches(),
  steps: 120,
  optimiser: { lr: 0.02 },
  save: { dir: join(dir, "checkpoints"), everySeconds: 1e9 }, // averages are stored beside it
  postHocEma: { everySteps: 6 },
  ...change,
});

Deno.test("reconstructEma() gives the exact average of a run's parameters, of any length and to any step", () =>
  inFolder(async (dir) => {
    const run = await openTraining(toy(dir));
    const trajectory: Record<string, number[]>[] = [];
    for await (const _ of run.steps()) {
      const now: Record<string, number[]> = {};
      for (const [path, leaf] of treeEntries(run.state.params)) now[path] = [...await leaf.data()];
      trajectory.push(now);
    }
    const cases: [number, number][] = [[0.05, 120], [0.07, 120], [0.1, 72], [0.15, 120], [0.2, 90]];
    for (const [sigmaRel, step] of cases) {
      const { tensors, parts, config } = await reconstructEma(join(dir, "ema"), { sigmaRel, step });
      assert.ok(parts.every((part) => part.step <= step));
      assert.equal(parts.length, 2 * step / 6);
      assert.deepEqual((config as { model: unknown }).model, toyModel().config);
      const exact = profile(powerGamma(sigmaRel), { t: step, T: step });
      for (const [path, { data }] of tensors) {
        Array.from(data as Float32Array).forEach((value, k) => {
          const series = trajectory.slice(0, step).map((at) => at[path][k]);
          const wanted = series.reduce((sum, x, i) => sum + exact[i] * x, 0);
          const range = Math.max(...series) - Math.min(...series);
          assert.ok(
            Math.abs(value - wanted) <= 0.004 * range + 1e-6,
            `${path}[${k}] at ${sigmaRel}: ${value}, exactly ${wanted}, of a range of ${range}`,
          );
        });
      }
    }
    // A stored average comes back as it is, and a tree of parameters from it
    const { tensors } = await reconstructEma(join(dir, "ema"), { sigmaRel: 0.1 });
    const params = restoreTree(run.state.params, tensors);
    assert.deepEqual(params.level.freqs.dataSync(), run.state.params.level.freqs.dataSync());
    const [wanted, got] = [run.state.powerEma[1]["mix.weight"], params.mix.weight];
    assert.ok(tf.max(tf.abs(tf.sub(wanted, got))).dataSync()[0] < 1e-6);
    run.dispose();
  }));

Deno.test("openTraining() stores the same averages however often it is stopped, its last step's too", () =>
  inFolder(async (dir) => {
    const bytesOf = async (folder: string) => {
      const stored = await listEmaSnapshots(folder);
      return await Promise.all(
        stored.map(async ({ path, ...at }) => [at, await Deno.readFile(path)]),
      );
    };
    const options = (name: string) =>
      toy(join(dir, name), {
        steps: 20,
        postHocEma: { everySteps: 8, sigmaRels: [0.03, 0.12, 0.2] },
      });
    const whole = await openTraining(options("whole"));
    for await (const _ of whole.steps());
    whole.dispose();
    for (const stop of [3, 9, 16, 20]) {
      const run = await openTraining(options("stopped"));
      for await (const { step } of run.steps()) if (step === stop) break;
      run.dispose();
    }
    const wanted = await bytesOf(join(dir, "whole", "ema"));
    assert.deepEqual(
      wanted.map(([at]) => at),
      [8, 16, 20].flatMap((step) => [0.03, 0.12, 0.2].map((sigmaRel) => ({ step, sigmaRel }))),
    );
    assert.deepEqual(await bytesOf(join(dir, "stopped", "ema")), wanted);
  }));

Deno.test("reconstructEma() and openTraining() say what is wrong", () =>
  inFolder(async (dir) => {
    const elsewhere = join(dir, "averages");
    const postHocEma = { everySteps: 2, dir: elsewhere };
    for (const seed of [1, 2]) { // two runs into one folder
      const run = await openTraining(
        toy(join(dir, `${seed}`), { steps: 6 - 2 * seed, seed, postHocEma }),
      );
      for await (const _ of run.steps());
      run.dispose();
    }
    const fails = (step: number, message: RegExp) =>
      assert.rejects(reconstructEma(elsewhere, { sigmaRel: 0.1, step }), message);
    await fails(1, /no average is stored by step 1: there are 4 in all/);
    await fails(4, /is of another run/);
    const refuse = (change: Partial<TrainOptions<ToyParams>>, message: RegExp) => {
      const { save: _, ...unsaved } = toy(dir);
      return assert.rejects(openTraining({ ...unsaved, ...change }), message);
    };
    await refuse({}, /neither dir nor save is given/);
    await refuse({ postHocEma: { everySteps: 0, dir } }, /everySteps is 0/);
    await refuse({ postHocEma: { everySteps: 1, dir, sigmaRels: [0.5] } }, /sigmaRel is 0\.5/);
    await refuse({ postHocEma: { everySteps: 1, dir, sigmaRels: [] } }, /at least one/);
  }));
