import * as tf from "@tensorflow/tfjs";
import { sigmaAt } from "../../lib/diffusion/densities.ts";
import { densityFromConfig } from "../../lib/diffusion/density_config.ts";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { guidedDenoise } from "../../lib/diffusion/guidance.ts";
import { denoisingLoss } from "../../lib/diffusion/loss.ts";
import { preconditioned } from "../../lib/diffusion/preconditioning.ts";
import { sampleDpmpp2mSde } from "../../lib/diffusion/samplers/dpmpp_2m_sde.ts";
import { sampleHeun } from "../../lib/diffusion/samplers/heun.ts";
import type { Denoiser } from "../../lib/diffusion/types.ts";
import type { Weighting } from "../../lib/diffusion/weightings.ts";
import { compile } from "../../lib/engine/compile.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import { type HditParams, hditParamsFromStateDict } from "../../lib/models/hdit.ts";
import { averagedParams, emaDecay, type EmaSchedule } from "../../lib/training/ema.ts";
import { learningRate, type LrSchedule } from "../../lib/training/lr_schedules.ts";
import {
  initTrainState,
  type LeafRules,
  makeTrainStep,
  stepScalars,
} from "../../lib/training/train_step.ts";
import {
  type CaseResult,
  compareTensors,
  errorOf,
  type Fixture,
  type Handler,
  type Json,
  result,
  toleranceOf,
  toTensor,
} from "./run.ts";

type Numbers = Record<string, Float32Array>;

/** A learning-rate schedule from the reference's configuration. */
export function lrScheduleOf(config: Json): LrSchedule {
  const { type: kind, warmup = 0, inv_gamma, power, num_steps, decay, min_lr } = config;
  const all = { kind, warmup, invGamma: inv_gamma, power, numSteps: num_steps, decay };
  const given = { ...all, minLr: min_lr };
  return Object.fromEntries(
    Object.entries(given).filter(([, v]) => v !== undefined),
  ) as unknown as LrSchedule;
}

/** The optimiser of the reference's configuration. */
function optimiserOf({ optimizer: { lr, betas, eps, weight_decay: weightDecay } }: Json) {
  return { kind: "adamw", lr, betas, eps, weightDecay } as const;
}

/** An average's schedule from the reference's configuration. */
function emaScheduleOf(config: Json): EmaSchedule {
  const { power, max_value: maxValue, inv_gamma: invGamma, min_value: minValue } = config;
  const given = { power, maxValue, invGamma, minValue, startAt: config.start_at };
  return Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
}

const siblingOf = (fixture: Fixture, name: string): Fixture => {
  const sibling = fixture.sibling(name);
  if (!sibling) throw new RangeError(`Cannot find ${name} beside ${fixture.label}`);
  return sibling;
};

function load(fixture: Fixture): { params: HditParams; config: Json } {
  const config = siblingOf(fixture, "steps").json.config_loaded;
  const dict = Object.fromEntries(
    [...siblingOf(fixture, "checkpoint_init").tensors()].map(([k, t]) => [k, toTensor(t)]),
  );
  return { params: hditParamsFromStateDict(dict, specFromKDiffusion(config)), config };
}

async function numbersOf(params: unknown): Promise<Numbers> {
  const out: Numbers = {};
  for (const [path, leaf] of treeEntries(params)) {
    out[path] = Float32Array.from(await leaf.data() as Float32Array);
  }
  return out;
}

/** What the library's own steps give, from the stored images, noise and levels. */
type Run = {
  contradiction: string | undefined;
  losses: number[];
  gradNorms: number[];
  lrs: number[];
  decays: number[];
  init: Numbers;
  afterStep1: Numbers;
  final: Numbers;
  ema: Numbers;
};
const runs = new WeakMap<Fixture, Promise<Run>>();

/** The run of a folder, done once for all the files that it is compared with. */
function runOf(fixture: Fixture): Promise<Run> {
  const steps = siblingOf(fixture, "steps");
  const known = runs.get(steps) ?? trainSteps(steps);
  runs.set(steps, known);
  return known;
}

/**
 * The parameter groups that the stored run was made with.
 *
 * The reference, and the open fixture's own JSON (`param_groups`, `lr_per_group_used`), have four groups,
 * with a third of the learning rate and no decay for some. The tensors of that fixture contradict it:
 * after one step, where Adam moves nearly every number by its group's learning rate, all have moved by
 * the whole rate, and over the run none has decayed (regression on the initial weights: 5e-6 a unit of
 * learning rate, where 1e-2 is due). A trajectory can only be compared under the optimiser that made it, so
 * one group is taken where the first step shows it, and the results say so. The library's own groups
 * are compared with the JSON in a case of their own.
 */
function rulesAsStored(fixture: Fixture, model: LeafRules) {
  const after = fixture.sibling("after_step1")?.tensors() ?? new Map();
  const init = siblingOf(fixture, "checkpoint_init").tensors();
  const lr = Math.max(...fixture.json.lr_per_group_used[0]);
  const slow: number[] = []; // median moves of tensors that should take less than the whole rate
  for (const [path, { data }] of after) {
    if (model.isBuffer(path) || model.paramGroup(path).lrScale === 1) continue;
    const before = init.get(path)!.data as Float32Array;
    const moves = Array.from(data as Float32Array, (x, i) => Math.abs(x - before[i]));
    slow.push(moves.toSorted((a, b) => a - b)[moves.length >> 1] / lr);
  }
  if (!(slow.length > 0 && slow.every((move) => Math.abs(move - 1) < 0.05))) {
    return { rules: model, contradiction: undefined };
  }
  const rules: LeafRules = {
    isBuffer: model.isBuffer,
    paramGroup: () => ({ lrScale: 1, weightDecay: false }),
  };
  return {
    rules,
    contradiction: "stored run used one group, against its own JSON: compared under that",
  };
}

async function trainSteps(fixture: Fixture): Promise<Run> {
  const { params, config } = load(fixture);
  const model = hditModel(specFromKDiffusion(config));
  const { rules, contradiction } = rulesAsStored(fixture, model);
  const t = fixture.tensors(), { sigma_data: sigmaData, loss_weighting } = config.model;
  const steps = t.get("reals")!.shape[0];
  type Batch =
    & Record<"images" | "noise", tf.Tensor4D>
    & Record<"sigma" | "classes", tf.Tensor1D>
    & {
      aug: tf.Tensor2D;
    };
  const step = compile(makeTrainStep<HditParams, Batch>({
    loss: (params, { images, noise, sigma, classes, aug }) =>
      denoisingLoss(
        (x, sigma, cond) => model.apply(params, { x, sigma, cond }),
        {
          images,
          noise,
          sigma,
          cond: { augCond: aug, ...(model.numClasses > 0 ? { classCond: classes } : {}) },
        },
        {
          sigmaData,
          weighting: { kind: loss_weighting } as Weighting,
          scales: config.model.loss_scales,
        },
      ),
    rules,
    optimiser: optimiserOf(config),
  }));
  const at = (name: string, i: number) =>
    tf.squeeze(toTensor(t.get(name)!).slice([i], [1]), [0]) as tf.Tensor;
  const images = (name: string, i: number) => at(name, i).transpose([0, 2, 3, 1]) as tf.Tensor4D;
  let state = initTrainState(params, rules);
  const init = await numbersOf(params);
  const run: Omit<Run, "final" | "ema" | "afterStep1"> & Partial<Run> = {
    contradiction,
    losses: [],
    gradNorms: [],
    lrs: [],
    decays: [],
    init,
  };
  for (let i = 0; i < steps; i++) {
    const lr = learningRate(lrScheduleOf(config.lr_sched), { base: config.optimizer.lr, step: i });
    const decay = emaDecay(emaScheduleOf(config.ema_sched), i);
    const scalars = stepScalars(params, {
      rules,
      optimiser: { ...optimiserOf(config), lr },
      step: i,
      emaDecay: decay,
    });
    const batch: Batch = {
      images: images("reals", i),
      noise: images("noise", i),
      sigma: at("sigma", i) as tf.Tensor1D,
      classes: at("class_cond", i) as tf.Tensor1D,
      aug: at("aug_cond", i) as tf.Tensor2D,
    };
    const out = await step({ state, batch, scalars });
    run.losses.push(...await out.losses.data());
    run.gradNorms.push((await out.gradNorm.data())[0]);
    run.lrs.push(lr);
    run.decays.push(decay);
    state = out.state;
    if (i === 0) run.afterStep1 = await numbersOf(state.params);
  }
  step.dispose();
  const ema = await numbersOf(averagedParams(state.params, state.ema));
  return { ...run, final: await numbersOf(state.params), ema } as Run;
}

async function* steps(fixture: Fixture): AsyncIterable<CaseResult> {
  const run = await runOf(fixture), { json } = fixture, tolerance = toleranceOf(fixture);
  yield await compareTensors(`${fixture.label}[losses and gradient norms]`, {
    actual: { losses: run.losses, gradNorm: run.gradNorms },
    expected: { losses: fixture.tensors().get("losses")!, gradNorm: json.grad_norm_before_clip },
    tolerance,
  }).then((r) => withNote(r, run.contradiction));
  // The noise levels belong to the density, whose float32 reference is good to 1e-4.
  const { model } = json.config_loaded;
  const density = densityFromConfig(model.sigma_sample_density, {
    sigmaData: model.sigma_data,
    sigmaMin: model.sigma_min,
    sigmaMax: model.sigma_max,
    size: model.input_size,
  });
  const u = fixture.tensors().get("u")!.data as Float32Array;
  yield await compareTensors(`${fixture.label}[noise levels]`, {
    actual: { sigma: Array.from(u, (p) => sigmaAt(density, p)) },
    expected: { sigma: fixture.tensors().get("sigma")! },
    tolerance,
  });
  const scales = json.param_groups.map((g: Json) => g.lr / json.config_loaded.optimizer.lr);
  yield await compareTensors(`${fixture.label}[schedules]`, {
    actual: {
      lr: run.lrs.flatMap((lr) => scales.map((s: number) => lr * s)),
      emaDecay: run.decays,
    },
    expected: { lr: json.lr_per_group_used.flat(), emaDecay: json.ema_decay_used },
    tolerance,
  });
  const rules: LeafRules = hditModel(specFromKDiffusion(json.config_loaded));
  const wrong = json.param_groups.flatMap((group: Json, i: number) =>
    group.names.filter((name: string) => {
      const { lrScale, weightDecay } = rules.paramGroup(name);
      return rules.isBuffer(name) || Math.abs(lrScale - scales[i]) > 1e-9 ||
        weightDecay !== (group.weight_decay !== 0);
    })
  );
  yield result(`${fixture.label}[parameter groups]`, {
    error: wrong.length,
    tolerance: 0,
    ...(wrong.length ? { note: wrong.join(", ") } : {}),
  });
}

function withNote(r: CaseResult, note: string | undefined): CaseResult {
  return note ? { ...r, note: [r.note, note].filter(Boolean).join("; ") } : r;
}

/** Compares updates (after - init) of the stored tensors. */
function updates(of: "afterStep1" | "final" | "ema") {
  return async function* (fixture: Fixture): AsyncIterable<CaseResult> {
    const run = await runOf(fixture), { metric, value } = toleranceOf(fixture);
    let worst = { error: 0, note: "" };
    for (const [name, { data }] of fixture.tensors()) {
      const init = run.init[name], after = run[of][name];
      if (!after) {
        worst = { error: NaN, note: `${name} was not computed` };
        break;
      }
      const difference = (from: ArrayLike<number>) => Array.from(from, (x, i) => x - init[i]);
      const error = errorOf(difference(after), difference(data as Float32Array), metric);
      if (!(error <= worst.error)) worst = { error, note: name };
    }
    yield withNote(result(fixture.label, { ...worst, tolerance: value }), run.contradiction);
  };
}

async function* checkpoint(fixture: Fixture): AsyncIterable<CaseResult> {
  const { params } = load(fixture);
  yield await compareTensors(fixture.label, {
    actual: Object.fromEntries(treeEntries(params)),
    expected: Object.fromEntries(fixture.tensors()),
    tolerance: { metric: "exact", value: 0 },
  });
}

async function* sampling(fixture: Fixture): AsyncIterable<CaseResult> {
  const { params, config } = load(fixture);
  const model = hditModel(specFromKDiffusion(config));
  const denoise = preconditioned((x, sigma, cond) => model.apply(params, { x, sigma, cond }), {
    kind: "edm",
    sigmaData: config.model.sigma_data,
  });
  const t = fixture.tensors(), tolerance = toleranceOf(fixture);
  const labels = toTensor(t.get("class_cond")!) as tf.Tensor1D;
  const sigmas = Array.from(t.get("sigmas")!.data as Float32Array);
  const start = toTensor(t.get("x_T")!).transpose([0, 2, 3, 1]) as tf.Tensor4D;
  const plain = compile(({ x, sigma }: { x: tf.Tensor4D; sigma: tf.Tensor1D }) =>
    denoise(x, sigma, { classCond: labels })
  );
  const guided = compile(
    ({ x, sigma, scale }: { x: tf.Tensor4D; sigma: tf.Tensor1D; scale: tf.Scalar }) =>
      guidedDenoise(denoise, { x, sigma, labels, nullClass: model.numClasses, scale }),
  );
  for (const [name, tensor] of t) {
    const [, w, sampler] = /^out_(?:cfg([\d.]+)_)?(.+)$/.exec(name) ?? [];
    const level = /^denoised_at_sigma([\d.]+)$/.exec(name)?.[1];
    let x: tf.Tensor4D;
    if (level) {
      // The stored start over its level, taken as an image at this level
      const at = start.mul(Number(level) / sigmas[0]) as tf.Tensor4D;
      x = await plain({ x: at, sigma: tf.fill([labels.size], Number(level)) as tf.Tensor1D });
    } else if (sampler) {
      const denoiser: Denoiser = (x, sigma) =>
        w ? guided({ x, sigma, scale: tf.scalar(Number(w)) }) : plain({ x, sigma });
      x = sampler === "heun"
        ? await sampleHeun(denoiser, start, { sigmas })
        : await sampleDpmpp2mSde(denoiser, start, { sigmas, eta: 0, solver: "heun" });
    } else {
      continue; // an input
    }
    yield await compareTensors(`${fixture.label}[${name}]`, {
      actual: { [name]: x.transpose([0, 3, 1, 2]) },
      expected: { [name]: tensor },
      tolerance,
    });
  }
  plain.dispose();
  guided.dispose();
}

/** Training steps in the reference's order, and sampling from its checkpoint. */
export const handlers: Handler[] = [
  { room: "train", stem: "checkpoint_init", run: checkpoint },
  { room: "train", stem: "steps", run: steps },
  { room: "train", stem: "after_step1", run: updates("afterStep1") },
  { room: "train", stem: "final", run: updates("final") },
  { room: "train", stem: "ema_final", run: updates("ema") },
  { room: "train", stem: "sampling", run: sampling },
];
