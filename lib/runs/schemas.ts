/**
 * The forms of a configuration's parts that other rooms define as types: optimisers, schedules, noise, samplers.
 *
 * @module
 */
import { z } from "zod";
import type { Density } from "../diffusion/densities.ts";
import type { Sampler } from "../diffusion/samplers/sampler.ts";
import type { Weighting } from "../diffusion/weightings.ts";
import type { FeatureSpec } from "../metrics/open_features.ts";
import type { LrSchedule } from "../training/lr_schedules.ts";

/** A whole number of at least `least`. */
export const whole = (least: number) => z.int().min(least);
/** A number above 0. */
export const positive = z.number().positive();
/** A share, 0 to 1. */
export const share = z.number().min(0).max(1);

const gamma = positive.exactOptional();

/** How much each noise level counts. */
export const weightingSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("karras") }),
  z.strictObject({ kind: z.literal("snr") }),
  z.strictObject({ kind: z.literal("min-snr"), gamma: positive }),
  z.strictObject({ kind: z.literal("soft-min-snr"), gamma }),
  z.strictObject({ kind: z.literal("sigmoid"), bias: z.number() }),
  z.strictObject({ kind: z.literal("unit") }),
]);

const range = { minValue: z.number().min(0), maxValue: positive };
/** Which noise levels are trained. */
export const densitySchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("lognormal"), loc: z.number(), scale: positive }),
  z.strictObject({
    kind: z.literal("split-lognormal"),
    loc: z.number(),
    scale1: positive,
    scale2: positive,
  }),
  z.strictObject({ kind: z.literal("loglogistic"), loc: z.number(), scale: positive, ...range }),
  z.strictObject({ kind: z.literal("loguniform"), ...range }),
  z.strictObject({ kind: z.literal("uniform"), ...range }),
  z.strictObject({ kind: z.literal("v-diffusion"), sigmaData: positive, ...range }),
  z.strictObject({
    kind: z.literal("cosine-interpolated"),
    sigmaData: positive,
    imageD: positive,
    noiseDLow: positive,
    noiseDHigh: positive,
    ...range,
  }),
]);

const betas = z.tuple([share, share]).exactOptional();
const adam = {
  lr: positive,
  betas,
  eps: positive.exactOptional(),
  weightDecay: z.number().min(0).exactOptional(),
};
/** What follows the gradient; what is left out is the paper's. */
export const optimiserSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("adamw"), ...adam }),
  z.strictObject({ kind: z.literal("adam"), ...adam }),
  z.strictObject({
    kind: z.literal("sgd"),
    lr: positive,
    momentum: share.exactOptional(),
    nesterov: z.boolean().exactOptional(),
    weightDecay: z.number().min(0).exactOptional(),
  }),
  z.strictObject({
    kind: z.literal("muon"),
    ...adam,
    momentum: share.exactOptional(),
  }),
]);

const warmup = { warmup: share.exactOptional(), warmupSteps: whole(0).exactOptional() };
const minLr = z.number().min(0).exactOptional();
/** The learning rate over optimiser steps. */
export const lrScheduleSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("constant"), ...warmup }),
  z.strictObject({
    kind: z.literal("inverse"),
    invGamma: positive.exactOptional(),
    power: positive.exactOptional(),
    minLr,
    ...warmup,
  }),
  z.strictObject({
    kind: z.literal("exponential"),
    numSteps: positive,
    decay: positive.exactOptional(),
    minLr,
    ...warmup,
  }),
  z.strictObject({ kind: z.literal("cosine"), numSteps: positive, minLr, ...warmup }),
]);

/** The decay of the average of the parameters over optimiser steps. */
export const emaSchema = z.strictObject({
  power: positive.exactOptional(),
  invGamma: positive.exactOptional(),
  minValue: share.exactOptional(),
  maxValue: share.exactOptional(),
  startAt: whole(0).exactOptional(),
});

const weights = z.string().min(1).meta({ description: "A file of trained weights" });
/** What Fréchet distances are taken on. */
export const featureSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("random") }),
  z.strictObject({
    kind: z.literal("inception"),
    weights,
    preprocessing: z.enum(["pytorch-fid", "k-diffusion"]).exactOptional(),
  }),
  z.strictObject({
    kind: z.literal("dinov2"),
    weights,
    preprocessing: z.enum(["dgm-eval", "dgm-eval-clean", "k-diffusion", "short-224", "short-256"])
      .exactOptional(),
    positions: z.enum(["torch.hub", "transformers"]).exactOptional(),
  }),
]);

const eta = { eta: z.number().min(0).exactOptional(), sNoise: z.number().min(0).exactOptional() };
const churn = {
  sChurn: z.number().min(0).exactOptional(),
  sTmin: z.number().min(0).exactOptional(),
  sTmax: positive.exactOptional(),
  sNoise: z.number().min(0).exactOptional(),
};
/** How images are drawn. */
export const samplerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("euler"), ...churn }),
  z.strictObject({ kind: z.literal("heun"), ...churn }),
  z.strictObject({ kind: z.literal("dpm-2"), ...churn }),
  z.strictObject({ kind: z.literal("euler-ancestral"), ...eta }),
  z.strictObject({ kind: z.literal("dpm-2-ancestral"), ...eta }),
  z.strictObject({ kind: z.literal("lms"), order: whole(1).exactOptional() }),
  z.strictObject({ kind: z.literal("dpm-fast"), ...eta }),
  z.strictObject({ kind: z.literal("dpm-adaptive"), ...eta }),
  z.strictObject({ kind: z.literal("dpmpp-2s-ancestral"), ...eta }),
  z.strictObject({ kind: z.literal("dpmpp-sde"), r: positive.exactOptional(), ...eta }),
  z.strictObject({ kind: z.literal("dpmpp-2m") }),
  z.strictObject({
    kind: z.literal("dpmpp-2m-sde"),
    solver: z.enum(["midpoint", "heun"]).exactOptional(),
    ...eta,
  }),
  z.strictObject({
    kind: z.literal("dpmpp-3m-sde"),
    curvature: z.enum(["reference", "exact"]).exactOptional(),
    ...eta,
  }),
]);

type Kinds<T extends { kind: string }> = T["kind"];
/** Compile-time checks that no kind is forgotten: each line fails where a type has a kind that its schema lacks. */
type Forgotten =
  | Exclude<Kinds<Weighting>, Kinds<z.output<typeof weightingSchema>>>
  | Exclude<Kinds<Density>, Kinds<z.output<typeof densitySchema>>>
  | Exclude<Kinds<LrSchedule>, Kinds<z.output<typeof lrScheduleSchema>>>
  | Exclude<Kinds<Sampler>, Kinds<z.output<typeof samplerSchema>>>
  | Exclude<Kinds<FeatureSpec>, Kinds<z.output<typeof featureSchema>>>;
const none: [Forgotten] extends [never] ? true : Forgotten = true;
void none;
