import * as tf from "@tensorflow/tfjs";
import { logLikelihood } from "../../lib/diffusion/log_likelihood.ts";
import {
  ancestralStep,
  type NoiseSource,
  type StepInfo,
} from "../../lib/diffusion/samplers/common.ts";
import { sampleDpm2, sampleDpm2Ancestral } from "../../lib/diffusion/samplers/dpm_2.ts";
import { type AdaptiveInfo, sampleDpmAdaptive } from "../../lib/diffusion/samplers/dpm_adaptive.ts";
import { sampleDpmFast } from "../../lib/diffusion/samplers/dpm_fast.ts";
import { sampleDpmpp2m } from "../../lib/diffusion/samplers/dpmpp_2m.ts";
import { sampleDpmpp2mSde } from "../../lib/diffusion/samplers/dpmpp_2m_sde.ts";
import { sampleDpmpp2sAncestral } from "../../lib/diffusion/samplers/dpmpp_2s_ancestral.ts";
import { sampleDpmpp3mSde } from "../../lib/diffusion/samplers/dpmpp_3m_sde.ts";
import { sampleDpmppSde } from "../../lib/diffusion/samplers/dpmpp_sde.ts";
import { sampleEuler, sampleEulerAncestral } from "../../lib/diffusion/samplers/euler.ts";
import { sampleHeun } from "../../lib/diffusion/samplers/heun.ts";
import { lmsWeights, sampleLms } from "../../lib/diffusion/samplers/lms.ts";
import {
  exponentialSchedule,
  karrasSchedule,
  polyexponentialSchedule,
  vpSchedule,
} from "../../lib/diffusion/schedules.ts";
import type { Denoiser } from "../../lib/diffusion/types.ts";
import { compile } from "../../lib/engine/compile.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import {
  type CaseResult,
  caseTensors,
  compareTensors,
  errorOf,
  type Fixture,
  type Handler,
  type Json,
  result,
  toleranceOf,
  toTensor,
} from "./run.ts";

const siblingOf = (fixture: Fixture, name: string): Fixture => {
  const sibling = fixture.sibling(name);
  if (!sibling) throw new RangeError(`Cannot find ${name} beside ${fixture.label}`);
  return sibling;
};
const scheduleOf = (fixture: Fixture, name: string): number[] =>
  Array.from(siblingOf(fixture, "schedules").tensors().get(name)!.data as Float32Array);

/** The stored toy problem: a Gaussian, or a mixture of two, whose denoisers are known. */
function toyDenoiser(fixture: Fixture, toy: string) {
  const { json, tensors } = siblingOf(fixture, "common");
  const mu = toTensor(tensors().get("mu")!), s2 = json.s ** 2, a = json.a;
  return (x: tf.Tensor, sigma: tf.Tensor1D): tf.Tensor => {
    const v = sigma.square().reshape([-1, ...new Array(x.rank - 1).fill(1)]);
    const total = v.add(s2);
    const centre = toy === "gaussian" ? mu : x.mul(a).div(total).tanh().mul(a);
    return x.mul(s2).add(v.mul(centre)).div(total);
  };
}

/** Calls the library's sampler of the reference's name, with the reference's arguments. */
async function callSampler(
  { sampler, kwargs, args }: Json,
  { denoiser, x, ...common }: {
    denoiser: Denoiser<tf.Rank>;
    x: tf.Tensor;
    sigmas: number[];
    noise: NoiseSource<tf.Rank>;
    callback: (info: StepInfo<tf.Rank>) => Promise<void>;
  },
): Promise<{ x: tf.Tensor; info?: AdaptiveInfo }> {
  const names: Record<string, string> = {
    s_churn: "sChurn",
    s_tmin: "sTmin",
    s_tmax: "sTmax",
    s_noise: "sNoise",
    solver_type: "solver",
    h_init: "hInit",
    accept_safety: "acceptSafety",
  };
  const given = Object.fromEntries(
    Object.entries(kwargs as Record<string, Json>).filter(([k]) => k !== "return_info")
      .map(([k, v]) => [names[k] ?? k, v === "inf" ? Infinity : v]),
  );
  const options = { ...common, ...given };
  const range = () => ({ sigmaMin: args[0], sigmaMax: args[1] });
  switch (sampler) {
    case "sample_euler":
      return { x: await sampleEuler(denoiser, x, options) };
    case "sample_heun":
      return { x: await sampleHeun(denoiser, x, options) };
    case "sample_dpm_2":
      return { x: await sampleDpm2(denoiser, x, options) };
    case "sample_euler_ancestral":
      return { x: await sampleEulerAncestral(denoiser, x, options) };
    case "sample_dpm_2_ancestral":
      return { x: await sampleDpm2Ancestral(denoiser, x, options) };
    case "sample_lms":
      return { x: await sampleLms(denoiser, x, options) };
    case "sample_dpm_fast":
      return { x: await sampleDpmFast(denoiser, x, { ...options, ...range(), calls: args[2] }) };
    case "sample_dpm_adaptive":
      return await sampleDpmAdaptive(denoiser, x, { ...options, ...range() });
    case "sample_dpmpp_2s_ancestral":
      return { x: await sampleDpmpp2sAncestral(denoiser, x, options) };
    case "sample_dpmpp_sde":
      return { x: await sampleDpmppSde(denoiser, x, options) };
    case "sample_dpmpp_2m":
      return { x: await sampleDpmpp2m(denoiser, x, options) };
    case "sample_dpmpp_2m_sde":
      return { x: await sampleDpmpp2mSde(denoiser, x, options) };
    case "sample_dpmpp_3m_sde":
      return { x: await sampleDpmpp3mSde(denoiser, x, options) };
    default:
      throw new RangeError(`Cannot sample by ${sampler}`);
  }
}

async function* samplers(fixture: Fixture): AsyncIterable<CaseResult> {
  const common = siblingOf(fixture, "common").tensors();
  const unit = toTensor(common.get("x_unit")!), noises = toTensor(common.get("noises")!);
  for (const [index, c] of fixture.json.cases.entries()) {
    const label = `${fixture.label}[${index}]`;
    const tolerance = { ...toleranceOf(fixture, index) };
    // README of the fixtures: dpm_fast to 2e-4, dpm_adaptive to 3e-3 with equal counts.
    if (c.sampler === "sample_dpm_fast") tolerance.value = Math.max(tolerance.value, 2e-4);
    if (c.sampler === "sample_dpm_adaptive") tolerance.value = Math.max(tolerance.value, 3e-3);
    const sigmas = c.schedule ? scheduleOf(fixture, c.schedule) : [c.args[1]];
    const toy = toyDenoiser(fixture, c.toy);
    const step = compile(({ x, sigma }: { x: tf.Tensor; sigma: tf.Tensor1D }) => toy(x, sigma));
    const seen: Record<string, number[]> = {
      model_sigmas: [],
      traj_x: [],
      traj_denoised: [],
      traj_sigma: [],
      traj_sigma_hat: [],
    };
    const scales: number[] = [];
    let noiseArguments = 0; // largest error in the interval that noise is asked for
    const { x, info } = await callSampler(c, {
      denoiser: async (x, sigma) => {
        seen.model_sigmas.push((await sigma.data())[0]);
        return await step({ x, sigma });
      },
      x: unit.mul(sigmas[0]),
      sigmas,
      noise: ({ call, sigma, sigmaNext }) => {
        const want = c.noise_call_args?.[call] ?? [sigma, sigmaNext];
        const error = errorOf([sigma, sigmaNext], want, "max_rel");
        if (!(error <= noiseArguments)) noiseArguments = error;
        return tf.squeeze(noises.slice([call], [1]), [0]);
      },
      callback: async (at) => {
        scales.push(...new Array(at.x.size).fill(at.sigmaHat));
        seen.traj_x.push(...await at.x.data());
        seen.traj_denoised.push(...await at.denoised.data());
        seen.traj_sigma.push(at.sigma);
        seen.traj_sigma_hat.push(at.sigmaHat);
      },
    });
    const expected: Record<string, SafetensorsTensor | number[]> = Object.fromEntries(
      caseTensors(fixture, index),
    );
    const actual: Record<string, tf.Tensor | number[]> = { ...seen, out: x };
    // Levels, and images at a level, are as large as the level: their error counts relative to it.
    for (const name of ["traj_x", "traj_sigma", "traj_sigma_hat", "model_sigmas"]) {
      if (!(name in expected)) continue;
      const want = Array.from((expected[name] as SafetensorsTensor).data as Float32Array);
      const scale = (i: number) => Math.max(1, name === "traj_x" ? scales[i] : want[i]);
      expected[name] = want.map((value, i) => value / scale(i));
      actual[name] = seen[name].map((value, i) => value / scale(i));
    }
    const out = await compareTensors(label, { actual, expected, tolerance });
    const counts = c.info && info &&
      [info.steps, info.calls, info.accepted, info.rejected].join() !==
        [c.info.steps, c.info.nfe, c.info.n_accept, c.info.n_reject].join();
    if (counts) yield { ...out, ok: false, note: `counts are ${JSON.stringify(info)}` };
    else if (!(noiseArguments <= tolerance.value)) {
      yield { ...out, error: noiseArguments, ok: false, note: "interval of the noise" };
    } else yield out;
    step.dispose();
    x.dispose();
  }
}

async function* schedules(fixture: Fixture): AsyncIterable<CaseResult> {
  const { sigma_min: sigmaMin, sigma_max: sigmaMax } = fixture.json;
  const actual: Record<string, number[]> = {}, expected = Object.fromEntries(fixture.tensors());
  for (const [name, { data, shape }] of Object.entries(expected)) {
    const n = shape[0] - 1;
    const [, kind, rho, own] = /^([a-z]+?)(?:_rho([\d.]+))?(?:_(\d+))?$/.exec(name) ?? [];
    // `karras_50` is over a range of its own, seen at its ends.
    const range = own
      ? { sigmaMax: Number(data[0]), sigmaMin: Number(data[n - 1]) }
      : { sigmaMin, sigmaMax };
    const all = { ...range, ...(rho ? { rho: Number(rho) } : {}) };
    if (kind === "karras") actual[name] = karrasSchedule(n, all);
    if (kind === "exponential") actual[name] = exponentialSchedule(n, range);
    if (kind === "polyexponential") actual[name] = polyexponentialSchedule(n, all);
    if (kind === "vp") actual[name] = vpSchedule(n);
  }
  const tolerance = toleranceOf(fixture);
  yield await compareTensors(fixture.label, { actual, expected, tolerance });
}

async function* ancestral(fixture: Fixture): AsyncIterable<CaseResult> {
  const rows: number[][] = fixture.json.rows;
  const steps = rows.map(([eta, sigma, next]) => ancestralStep(sigma, next, eta));
  yield await compareTensors(fixture.label, {
    actual: { sigma_down: steps.map((s) => s.down), sigma_up: steps.map((s) => s.up) },
    expected: { sigma_down: rows.map((r) => r[3]), sigma_up: rows.map((r) => r[4]) },
    tolerance: toleranceOf(fixture),
  });
}

async function* lmsCoefficients(fixture: Fixture): AsyncIterable<CaseResult> {
  const sigmas = scheduleOf(fixture, "karras");
  const name = ({ order, i }: Json) => `order ${order}, step ${i}`;
  yield await compareTensors(fixture.label, {
    actual: Object.fromEntries(
      fixture.json.rows.map((r: Json) => [name(r), lmsWeights(sigmas, r.i, r.order)]),
    ),
    expected: Object.fromEntries(fixture.json.rows.map((r: Json) => [name(r), r.coeffs])),
    tolerance: toleranceOf(fixture),
  });
}

async function* likelihood(fixture: Fixture): AsyncIterable<CaseResult> {
  const { sigma_min: sigmaMin, sigma_max: sigmaMax } = fixture.json;
  const tolerance = toleranceOf(fixture);
  for (const { j, toy } of fixture.json.cases) {
    const t = caseTensors(fixture, j);
    const x = toTensor(t.get("x")!), v = toTensor(t.get("v")!);
    const found = await logLikelihood(toyDenoiser(fixture, toy), x, { sigmaMin, sigmaMax, v });
    const expected = [...t].filter(([name]) => name.startsWith("ll_"));
    const errors = expected.map(([, { data }]) =>
      errorOf(found.logLikelihood, data as Float32Array, tolerance.metric)
    );
    const error = Math.max(...errors);
    yield result(`${fixture.label}[${j}]`, { error, tolerance: tolerance.value });
  }
}

/** Schedules, samplers and the likelihood, on toy problems. */
export const handlers: Handler[] = [
  { room: "sampler", stem: "common", partOf: "samplers" },
  { room: "sampler", stem: "samplers", run: samplers },
  { room: "sampler", stem: "schedules", run: schedules },
  { room: "sampler", stem: "ancestral_step", run: ancestral },
  { room: "sampler", stem: "lms_coeffs", run: lmsCoefficients },
  { room: "sampler", stem: "log_likelihood", run: likelihood },
];
