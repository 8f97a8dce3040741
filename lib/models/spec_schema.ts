/**
 * The form of a model's spec in files, for checks and for editors; see `spec.ts` for what the fields mean.
 *
 * @module
 */
import { z } from "zod";
import * as attentionKinds from "../nn/attention_kinds.ts";
import type { HditSpec } from "./spec.ts";

const whole = (least: number) => z.int().min(least);
const rate = z.number().min(0).lt(1);
const grid = z.array(whole(1)).min(1).max(3);
const kinds = Object.values(attentionKinds).map(({ kind }) => kind);

/** Kinds differ in their other keys, which they check themselves: a new kind needs no line here. */
const attention = z.looseObject({ kind: z.enum(kinds), dHead: whole(1).exactOptional() });

const norm = z.strictObject({
  kind: z.enum(["ada-rms-norm", "ada-layer-norm"]),
  shift: z.boolean().exactOptional(),
  gate: z.boolean().exactOptional(),
});

const feedForward = z.strictObject({ kind: z.enum(["geglu", "gelu"]) });

const rope = {
  kind: z.literal("rope"),
  frequencies: z.tuple([z.number().positive(), z.number().positive()]).exactOptional(),
};
const position = z.union([
  z.strictObject({ ...rope, positions: z.literal("rescaled").exactOptional() }),
  z.strictObject({ ...rope, positions: z.literal("training-pitch"), trainingGrid: grid }),
  z.strictObject({ kind: z.literal("sincos") }),
  z.strictObject({ kind: z.literal("learned"), grid }),
  z.strictObject({ kind: z.literal("none") }),
]);

const level = z.strictObject({
  depth: whole(0).meta({ description: "Layers on each pass" }),
  width: whole(1).meta({ description: "Channels, a multiple of dHead" }),
  dFf: whole(1).meta({
    description: "Hidden width of the feed-forward block; 3 x width in the paper",
  }),
  attention,
  crossAttention: z.strictObject({ dHead: whole(1) }).exactOptional(),
  dropout: rate.default(0),
});

/** A whole spec: every key of `HditSpec`. */
export const specSchema = z.strictObject({
  inChannels: whole(1),
  outChannels: whole(1),
  patchSize: grid,
  levels: z.array(level).min(1).meta({ description: "Finest level first; the last is the middle" }),
  mapping: z.strictObject({
    depth: whole(0),
    width: whole(2),
    dFf: whole(1),
    dropout: rate.default(0),
    feedForward: feedForward.exactOptional(),
  }),
  numClasses: whole(0).meta({ description: "Classes without the null class; 0: unconditional" }),
  mappingCondDim: whole(0).default(0),
  position: position.default({ kind: "rope" }),
  skip: z.strictObject({ kind: z.enum(["lerp", "add", "concat", "none"]) }).default({
    kind: "lerp",
  }),
  feedForward: feedForward.default({ kind: "geglu" }),
  norm: norm.exactOptional(),
  outNorm: norm.exactOptional(),
  similarity: z.enum(["cosine", "dot-product"]).exactOptional(),
  patchBottleneck: whole(1).exactOptional(),
  inContext: z.strictObject({ tokens: whole(1), from: whole(0) }).exactOptional(),
  crossCondDim: whole(0).exactOptional(),
  selfConditioning: z.boolean().exactOptional(),
});

/** A checked spec as the library's own type; numbers that depend on each other are `checkSpec`'s matter. */
export function asSpec(value: z.output<typeof specSchema>): HditSpec {
  // absent keys are left out, not undefined, which is all that differs
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined),
  ) as unknown as HditSpec;
}
