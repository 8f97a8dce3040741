import type * as tf from "@tensorflow/tfjs";
import type { Denoiser } from "../types.ts";
import type { AncestralOptions, ChurnOptions, SampleOptions } from "./common.ts";
import { type AdaptiveOptions, sampleDpmAdaptive } from "./dpm_adaptive.ts";
import { sampleDpmFast } from "./dpm_fast.ts";
import { sampleDpm2, sampleDpm2Ancestral } from "./dpm_2.ts";
import { sampleDpmpp2m } from "./dpmpp_2m.ts";
import { sampleDpmpp2mSde } from "./dpmpp_2m_sde.ts";
import { sampleDpmpp2sAncestral } from "./dpmpp_2s_ancestral.ts";
import { sampleDpmpp3mSde } from "./dpmpp_3m_sde.ts";
import { sampleDpmppSde } from "./dpmpp_sde.ts";
import { sampleEuler, sampleEulerAncestral } from "./euler.ts";
import { sampleHeun } from "./heun.ts";
import { sampleLms } from "./lms.ts";

/** A sampler and its settings, as data. */
export type Sampler =
  | { kind: "euler" } & ChurnOptions
  | { kind: "heun" } & ChurnOptions
  | { kind: "dpm-2" } & ChurnOptions
  | { kind: "euler-ancestral" } & AncestralOptions
  | { kind: "dpm-2-ancestral" } & AncestralOptions
  | { kind: "lms"; order?: number }
  | { kind: "dpm-fast" } & AncestralOptions
  | { kind: "dpm-adaptive" } & AncestralOptions & AdaptiveOptions
  | { kind: "dpmpp-2s-ancestral" } & AncestralOptions
  | { kind: "dpmpp-sde"; r?: number } & AncestralOptions
  | { kind: "dpmpp-2m" }
  | { kind: "dpmpp-2m-sde"; solver?: "midpoint" | "heun" } & AncestralOptions
  | { kind: "dpmpp-3m-sde"; curvature?: "reference" | "exact" } & AncestralOptions;

/** The names of the samplers. */
export const samplerKinds = [
  "euler",
  "heun",
  "dpm-2",
  "euler-ancestral",
  "dpm-2-ancestral",
  "lms",
  "dpm-fast",
  "dpm-adaptive",
  "dpmpp-2s-ancestral",
  "dpmpp-sde",
  "dpmpp-2m",
  "dpmpp-2m-sde",
  "dpmpp-3m-sde",
] as const satisfies readonly Sampler["kind"][];

/**
 * Samples by any of the samplers over a schedule of noise levels.
 *
 * `dpm-fast` and `dpm-adaptive` have no schedule: they go from the first level to the last positive
 * one, `dpm-fast` with as many calls as there are steps.
 */
export async function sampleWith<R extends tf.Rank>(
  denoiser: Denoiser<R>,
  x: tf.Tensor<R>,
  { sampler, ...options }: SampleOptions<R> & { sampler: Sampler },
): Promise<tf.Tensor<R>> {
  const positive = options.sigmas.filter((s) => s > 0);
  const range = { sigmaMax: positive[0], sigmaMin: positive.at(-1) ?? 0 };
  const { sigmas: _, ...unscheduled } = options;
  switch (sampler.kind) {
    case "euler":
      return await sampleEuler(denoiser, x, { ...sampler, ...options });
    case "heun":
      return await sampleHeun(denoiser, x, { ...sampler, ...options });
    case "dpm-2":
      return await sampleDpm2(denoiser, x, { ...sampler, ...options });
    case "euler-ancestral":
      return await sampleEulerAncestral(denoiser, x, { ...sampler, ...options });
    case "dpm-2-ancestral":
      return await sampleDpm2Ancestral(denoiser, x, { ...sampler, ...options });
    case "lms":
      return await sampleLms(denoiser, x, { ...sampler, ...options });
    case "dpm-fast": {
      const calls = options.sigmas.length - 1;
      return await sampleDpmFast(denoiser, x, { ...sampler, ...range, ...unscheduled, calls });
    }
    case "dpm-adaptive": {
      const all = { ...sampler, ...range, ...unscheduled };
      return (await sampleDpmAdaptive(denoiser, x, all)).x;
    }
    case "dpmpp-2s-ancestral":
      return await sampleDpmpp2sAncestral(denoiser, x, { ...sampler, ...options });
    case "dpmpp-sde":
      return await sampleDpmppSde(denoiser, x, { ...sampler, ...options });
    case "dpmpp-2m":
      return await sampleDpmpp2m(denoiser, x, { ...sampler, ...options });
    case "dpmpp-2m-sde":
      return await sampleDpmpp2mSde(denoiser, x, { ...sampler, ...options });
    case "dpmpp-3m-sde":
      return await sampleDpmpp3mSde(denoiser, x, { ...sampler, ...options });
  }
}

/** Whether a sampler adds noise as it goes; those that do not follow the probability-flow ODE. */
export function addsNoise(sampler: Sampler): boolean {
  switch (sampler.kind) {
    case "euler":
    case "heun":
    case "dpm-2":
      return (sampler.sChurn ?? 0) > 0;
    case "dpm-fast":
    case "dpm-adaptive":
      return (sampler.eta ?? 0) > 0;
    case "euler-ancestral":
    case "dpm-2-ancestral":
    case "dpmpp-2s-ancestral":
    case "dpmpp-sde":
    case "dpmpp-2m-sde":
    case "dpmpp-3m-sde":
      return (sampler.eta ?? 1) > 0;
    case "lms":
    case "dpmpp-2m":
      return false;
  }
}

/** How many times a sampler calls the denoiser over a schedule of `steps` that ends at 0. */
export function denoiserCalls({ kind }: Sampler, steps: number): number {
  switch (kind) {
    case "heun":
    case "dpm-2":
    case "dpm-2-ancestral":
    case "dpmpp-2s-ancestral":
    case "dpmpp-sde":
      return 2 * steps - 1; // the step to 0 takes one
    case "dpm-adaptive":
      return NaN; // found while sampling
    case "euler":
    case "euler-ancestral":
    case "lms":
    case "dpm-fast":
    case "dpmpp-2m":
    case "dpmpp-2m-sde":
    case "dpmpp-3m-sde":
      return steps;
  }
}
