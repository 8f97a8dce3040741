import type { AdamWOptions } from "./adamw.ts";
import type { MuonOptions } from "./muon.ts";
import type { SgdOptions } from "./sgd.ts";

/** How parameters are moved along their gradients, in full. */
export type Optimiser =
  | { kind: "adamw" } & AdamWOptions
  | { kind: "adam" } & AdamWOptions
  | { kind: "sgd" } & SgdOptions
  | { kind: "muon" } & MuonOptions;

/** An optimiser with what differs from its defaults; without a kind it is AdamW. */
export type OptimiserOptions =
  | { kind?: "adamw" } & Partial<AdamWOptions>
  | { kind: "adam" } & Partial<AdamWOptions>
  | { kind: "sgd"; lr: number } & Partial<SgdOptions>
  | { kind: "muon"; adamw?: Partial<AdamWOptions> } & Partial<Omit<MuonOptions, "adamw">>;

/** The paper's AdamW (Table 7). */
export const paperOptimiser: { kind: "adamw" } & AdamWOptions = {
  kind: "adamw",
  lr: 5e-4,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 1e-2,
};

/**
 * Fills in the defaults: the paper's for AdamW, also where Muon uses it; the same without decay for Adam; Muon's
 * author's for Muon.
 *
 * Throws a RangeError when a setting is out of range.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const { lr, weightDecay } = resolveOptimiser({ lr: 1e-3 });
 * assert.deepEqual([lr, weightDecay], [1e-3, 1e-2]);
 * ```
 */
export function resolveOptimiser(options: OptimiserOptions = {}): Optimiser {
  const optimiser = withDefaults(options);
  check(optimiser);
  return optimiser;
}

function withDefaults(options: OptimiserOptions): Optimiser {
  if (options.kind === undefined || options.kind === "adamw") {
    return { ...paperOptimiser, ...options, kind: "adamw" };
  }
  const { kind: _, ...paper } = paperOptimiser;
  switch (options.kind) {
    case "adam":
      return { ...paper, weightDecay: 0, ...options };
    case "sgd":
      return { momentum: 0, nesterov: false, weightDecay: 0, ...options };
    case "muon": {
      const adamw = { ...paper, ...options.adamw };
      return { lr: 0.02, momentum: 0.95, weightDecay: 0, ...options, adamw };
    }
  }
}

function check({ kind, ...settings }: Optimiser): void {
  for (const [name, value] of numbersOf(settings)) {
    const below = /betas|momentum/.test(name) ? 1 : Infinity;
    if (!(value >= 0 && value < below)) {
      throw new RangeError(
        `Cannot train with ${kind} as ${name} must be in [0, ${below}): ${name} is ${value}`,
      );
    }
  }
  if ("nesterov" in settings && settings.nesterov && settings.momentum === 0) {
    throw new RangeError(
      "Cannot train with sgd as nesterov needs momentum: nesterov is true, momentum is 0",
    );
  }
}

/** The numbers in nested settings by their paths, `adamw.betas.0`. */
function numbersOf(settings: object): [path: string, value: number][] {
  return Object.entries(settings).flatMap(([key, value]) =>
    typeof value === "object"
      ? numbersOf(value).map(([path, n]): [string, number] => [`${key}.${path}`, n])
      : typeof value === "number"
      ? [[key, value]]
      : []
  );
}

/** The optimiser with each learning rate replaced. */
export function withRates(optimiser: Optimiser, rate: (base: number) => number): Optimiser {
  const lr = rate(optimiser.lr);
  return optimiser.kind === "muon"
    ? { ...optimiser, lr, adamw: { ...optimiser.adamw, lr: rate(optimiser.adamw.lr) } }
    : { ...optimiser, lr };
}
