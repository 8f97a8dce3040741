import { treeEntries } from "../../lib/engine/tree.ts";
import * as tf from "@tensorflow/tfjs";
import { averagedParams, emaDecay, emaLerp } from "../../lib/training/ema.ts";
import { learningRate } from "../../lib/training/lr_schedules.ts";
import {
  initNoiseScale,
  runningAverage,
  updateNoiseScale,
} from "../../lib/training/noise_scale.ts";
import { roundToPowerOfTwo } from "../../lib/training/round_to_power_of_two.ts";
import {
  type CaseResult,
  compareTensors,
  type Fixture,
  type Handler,
  type Json,
  toleranceOf,
  toTensor,
} from "./run.ts";
import { lrScheduleOf } from "./train.ts";

/** Compares lists of numbers by name. */
function compareNumbers(
  fixture: Fixture,
  part: string,
  pairs: Record<string, [actual: number[], expected: number[]]>,
): Promise<CaseResult> {
  return compareTensors(`${fixture.label}[${part}]`, {
    actual: Object.fromEntries(Object.entries(pairs).map(([k, [a]]) => [k, a])),
    expected: Object.fromEntries(Object.entries(pairs).map(([k, [, b]]) => [k, b])),
    tolerance: toleranceOf(fixture),
  });
}

async function* schedules(fixture: Fixture): AsyncIterable<CaseResult> {
  const { json } = fixture;
  for (const [i, c] of (json.ema_warmup ?? []).entries()) {
    const { inv_gamma, power, min_value, max_value, start_at } = c.kwargs;
    const given = {
      invGamma: inv_gamma,
      power,
      minValue: min_value,
      maxValue: max_value,
      startAt: start_at,
    };
    const schedule = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
    yield await compareNumbers(fixture, `ema_warmup ${i}`, {
      value: [c.last_epoch.map((t: number) => emaDecay(schedule, t)), c.value],
      stepwise: [
        c.first_12_with_step.map((_: number, t: number) => emaDecay(schedule, t)),
        c.first_12_with_step,
      ],
    });
  }
  for (const [i, c] of (json.lr ?? []).entries()) {
    const kinds: Record<string, string> = {
      InverseLR: "inverse",
      ExponentialLR: "exponential",
      ConstantLRWithWarmup: "constant",
    };
    const schedule = lrScheduleOf({ type: kinds[c.cls], ...c.kwargs });
    const rows = c.lr_used_at_step as number[][];
    const actual = rows.map((_, step) =>
      c.base_lrs.map((base: number) => learningRate(schedule, { base, step }))
    );
    yield await compareNumbers(fixture, `lr ${i} ${c.cls}`, { lr: [actual.flat(), rows.flat()] });
  }
  if (json.ema_update_dict) {
    const { updates, decay, values } = json.ema_update_dict;
    let average: number | undefined;
    const actual = updates.map((u: number) => average = runningAverage(average, u, decay));
    yield await compareNumbers(fixture, "ema_update_dict", { values: [actual, values] });
  }
  if (json.gradient_noise_scale) {
    const { beta, rows } = json.gradient_noise_scale;
    let state = initNoiseScale();
    const actual = rows.map((row: Json) => {
      const measured = updateNoiseScale(state, {
        sqSmall: row.sq_small,
        sqLarge: row.sq_large,
        nSmall: row.n_small,
        nLarge: row.n_large,
        beta,
      });
      state = measured.state;
      return [measured.noiseScale, measured.signal, measured.noise];
    });
    const expected = rows.map((row: Json) => [row.gns, ...row.stats]);
    yield await compareNumbers(fixture, "gradient_noise_scale", {
      rows: [actual.flat(), expected.flat()],
    });
  }
  if (json.round_to_power_of_two) {
    const rows: Json[] = json.round_to_power_of_two;
    yield await compareNumbers(fixture, "round_to_power_of_two", {
      y: [rows.map(({ x, tol }) => roundToPowerOfTwo(x, tol)), rows.map(({ y }) => y)],
    });
  }
}

async function* emaUpdate(fixture: Fixture): AsyncIterable<CaseResult> {
  const under = (prefix: string) =>
    Object.fromEntries(
      [...fixture.tensors()].filter(([name]) => name.startsWith(`${prefix}.`))
        .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
    );
  const trees = (prefix: string) =>
    Object.fromEntries(Object.entries(under(prefix)).map(([k, t]) => [k, toTensor(t)]));
  for (const [i, d] of (fixture.json.decays as number[]).entries()) {
    const model = trees(`model${i}`), before = trees(`avg${i}`);
    const weights = { decay: tf.scalar(d), rate: tf.scalar(1 - d) };
    // Buffers have no average of their own: the averaged tree takes the model's.
    const averages = Object.fromEntries(
      treeEntries(before).filter(([path]) => !path.startsWith("buf"))
        .map(([path, leaf]) => [path, emaLerp(leaf, model[path], weights)]),
    );
    yield await compareTensors(`${fixture.label}[${i}]`, {
      actual: averagedParams(model, averages),
      expected: under(`avg${i + 1}`),
      tolerance: toleranceOf(fixture),
    });
  }
}

/** Schedules of the learning rate and of the average, and what is logged. */
export const handlers: Handler[] = [
  { room: "util", stem: "schedules", run: schedules },
  { room: "util", stem: "ema_update", run: emaUpdate },
];
