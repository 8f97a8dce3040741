/**
 * The arms of the ablation: each is a difference from one base, so the table shows what changes.
 *
 * @module
 */
import { nearest } from "../lib/nearest.ts";
import type { AttentionSpec, HditSpec } from "../lib/models/spec.ts";

/** What an arm changes in the base; absent keys stay as they are. */
export type Difference = {
  position?: HditSpec["position"];
  skip?: HditSpec["skip"];
  /** The attention of every level that has neighborhood attention in the base. */
  attention?: "global" | "shifted-window";
};

export type Axis = "position" | "skip" | "attention";

export type Arm = {
  /** A word for files and tables, such as "skip-add". */
  name: string;
  /** A phrase for charts. */
  title: string;
  /** The axis on which it is compared with the base. */
  axis: Axis;
  difference: Difference;
};

/** The arm that the others are compared with; it stands on every axis. */
export const BASE = { name: "base", title: "HDiT (RoPE, lerp, neighborhood)" } as const;

/** Paper, Table 1 (rows C to D, B1 and B2, A) and Table 2. */
export const arms: readonly Arm[] = [
  {
    name: "position-additive",
    title: "additive positions",
    axis: "position",
    difference: { position: { kind: "sincos" } },
  },
  { name: "skip-add", title: "add skips", axis: "skip", difference: { skip: { kind: "add" } } },
  {
    name: "skip-concat",
    title: "concat skips",
    axis: "skip",
    difference: { skip: { kind: "concat" } },
  },
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
];

/** Paper, Table 1, row B1: the window of the shifted-window arm. */
const WINDOW_SIZE = 8;

/** The base's specification with an arm's difference applied. */
export function applyDifference(base: HditSpec, difference: Difference): HditSpec {
  const { position, skip, attention } = difference;
  const replace = (spec: AttentionSpec): AttentionSpec => {
    if (attention === undefined || spec.kind !== "neighborhood") return spec;
    const { dHead } = spec;
    return attention === "global"
      ? { kind: "global", dHead }
      : { kind: "shifted-window", dHead, windowSize: WINDOW_SIZE };
  };
  return {
    ...base,
    ...(position && { position }),
    ...(skip && { skip }),
    levels: base.levels.map((level) => ({ ...level, attention: replace(level.attention) })),
  };
}

/** The arms on the axes named; `resolution` is an evaluation of the position arms, with no arm of its own. */
export function armsOn(axes: readonly (Axis | "resolution")[]): Arm[] {
  const wanted = new Set<string>(axes);
  if (wanted.has("resolution")) wanted.add("position");
  return arms.filter(({ axis }) => wanted.has(axis));
}

/** The arm of that name. */
export function armNamed(name: string): Arm {
  const arm = arms.find((arm) => arm.name === name);
  if (!arm) {
    const near = nearest(name, arms.map(({ name }) => name));
    throw new RangeError(
      `Cannot find the arm "${name}"` + (near ? `: did you mean "${near}"?` : ""),
    );
  }
  return arm;
}
