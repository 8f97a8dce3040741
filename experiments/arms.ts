/**
 * The arms of the ablation: each is a difference from one base, so the table shows what changes.
 *
 * @module
 */
import type { Weighting } from "../lib/diffusion/weightings.ts";
import { presets } from "../lib/models/presets.ts";
import type { AttentionSpec, HditSpec } from "../lib/models/spec.ts";

/** What an arm changes in the base; absent keys stay as they are. */
export type Difference = {
  position?: HditSpec["position"];
  skip?: HditSpec["skip"];
  /** The attention of every level that has neighborhood attention in the base. */
  attention?: "global" | "shifted-window";
  /** GELU has a hidden width of 4 × the level's in place of GEGLU's 3 ×, as in the paper. */
  feedForward?: HditSpec["feedForward"];
  weighting?: Weighting;
  /** Another model altogether, by the name of its preset. */
  model?: keyof typeof presets;
};

/** What is compared; `resolution` evaluates the position arms at larger sizes and has no arm of its own. */
export const axisNames = [
  "position",
  "skip",
  "attention",
  "resolution",
  "feed-forward",
  "weighting",
  "backbone",
] as const;
export type Axis = (typeof axisNames)[number];

export type Arm = {
  /** A word for files and tables, such as "skip-add". */
  name: string;
  /** A phrase for charts. */
  title: string;
  /** The axis on which it is compared with the base. */
  axis: Exclude<Axis, "resolution">;
  difference: Difference;
};

/** The arm that the others are compared with; it stands on every axis. */
export const BASE = { name: "base", title: "HDiT (RoPE, lerp, neighborhood)" } as const;

const position: Arm = {
  name: "position-additive",
  title: "additive positions",
  axis: "position",
  difference: { position: { kind: "sincos" } },
};
const skips: Arm[] = [
  { name: "skip-add", title: "add skips", axis: "skip", difference: { skip: { kind: "add" } } },
  {
    name: "skip-concat",
    title: "concat skips",
    axis: "skip",
    difference: { skip: { kind: "concat" } },
  },
];

/** One change at a time from the base. */
export const oneAtATime: readonly Arm[] = [
  position,
  ...skips,
  {
    name: "attention-shifted-window",
    title: "shifted-window attention",
    axis: "attention",
    difference: { attention: "shifted-window" },
  },
  {
    name: "attention-global",
    title: "global attention",
    axis: "attention",
    difference: { attention: "global" },
  },
  {
    name: "feed-forward-gelu",
    title: "GELU feed-forward",
    axis: "feed-forward",
    difference: { feedForward: { kind: "gelu" } },
  },
  {
    name: "weighting-snr",
    title: "SNR weighting",
    axis: "weighting",
    difference: { weighting: { kind: "snr" } },
  },
  {
    name: "weighting-min-snr",
    title: "min-SNR weighting",
    axis: "weighting",
    difference: { weighting: { kind: "min-snr", gamma: 5 } },
  },
  {
    name: "weighting-karras",
    title: "EDM weighting",
    axis: "weighting",
    difference: { weighting: { kind: "karras" } },
  },
];

const snr = { weighting: { kind: "snr" } } as const;
const additive = { ...snr, position: { kind: "sincos" } } as const;
const gelu = { ...additive, feedForward: { kind: "gelu" } } as const;

/**
 * The rows of the paper's Tables 1, 2 and 5 as differences from row E. The paper adds its changes one
 * after another, so each row carries those of the rows below it. R1 and R2 need DiT's own blocks.
 */
export const paperRows: readonly Arm[] = [
  {
    name: "R3",
    title: "R3: HDiT's blocks, one level",
    axis: "backbone",
    difference: { model: "imagenet-128/R3", ...snr },
  },
  {
    name: "R4",
    title: "R4: R3 + soft-min-SNR",
    axis: "backbone",
    difference: { model: "imagenet-128/R3" },
  },
  {
    name: "A",
    title: "A: global attention",
    axis: "attention",
    difference: { ...gelu, attention: "global" },
  },
  {
    name: "B1",
    title: "B1: shifted windows",
    axis: "attention",
    difference: { ...gelu, attention: "shifted-window" },
  },
  { name: "B2", title: "B2: neighborhoods", axis: "feed-forward", difference: gelu },
  { name: "C", title: "C: B2 + GEGLU", axis: "position", difference: additive },
  { name: "D", title: "D: C + RoPE", axis: "weighting", difference: snr },
  {
    name: "E2",
    title: "E2: D + min-SNR 5",
    axis: "weighting",
    difference: { weighting: { kind: "min-snr", gamma: 5 } },
  },
  {
    name: "E3",
    title: "E3: D + min-SNR 4",
    axis: "weighting",
    difference: { weighting: { kind: "min-snr", gamma: 4 } },
  },
  { ...skips[1], name: "F1", title: "F1: E + concat skips" },
  { ...skips[0], name: "F2", title: "F2: E + add skips" },
];

/** Paper, Table 1, row B1: the window of the shifted-window arm. */
const WINDOW_SIZE = 8;

/** The base's specification with an arm's difference applied. */
export function applyDifference(base: HditSpec, difference: Difference): HditSpec {
  const { position, skip, attention, feedForward, model } = difference;
  const from = model === undefined ? base : { ...presets[model], numClasses: base.numClasses };
  const replace = (spec: AttentionSpec): AttentionSpec => {
    if (attention === undefined || spec.kind !== "neighborhood") return spec;
    const { dHead } = spec;
    return attention === "global"
      ? { kind: "global", dHead }
      : { kind: "shifted-window", dHead, windowSize: WINDOW_SIZE };
  };
  const widen = (dFf: number) =>
    feedForward && feedForward.kind !== from.feedForward.kind
      ? Math.round(feedForward.kind === "gelu" ? dFf * 4 / 3 : dFf * 3 / 4)
      : dFf;
  return {
    ...from,
    ...(position && { position }),
    ...(skip && { skip }),
    ...(feedForward && { feedForward }),
    levels: from.levels.map((level) => ({
      ...level,
      dFf: widen(level.dFf),
      attention: replace(level.attention),
    })),
    // the mapping network keeps its activation, as in the paper's rows
    mapping: feedForward && feedForward.kind !== from.feedForward.kind
      ? { ...from.mapping, feedForward: from.mapping.feedForward ?? from.feedForward }
      : from.mapping,
  };
}

/** The arms on the axes named; `resolution` needs those of `position`. */
export function armsOn(arms: readonly Arm[], axes: readonly Axis[]): Arm[] {
  const wanted = new Set(axes);
  if (wanted.has("resolution")) wanted.add("position");
  return arms.filter(({ axis }) => wanted.has(axis));
}
