/**
 * Learning rate over steps; `warmup` w multiplies it by 1 - w^(step + 1).
 *
 * - `constant`: the base rate;
 * - `inverse`: base (1 + step / invGamma)^(-power), at least minLr;
 * - `exponential`: base decay^(step / numSteps), at least minLr.
 */
export type LrSchedule =
  | { kind: "constant"; warmup?: number }
  | { kind: "inverse"; invGamma?: number; power?: number; warmup?: number; minLr?: number }
  | { kind: "exponential"; numSteps: number; decay?: number; warmup?: number; minLr?: number };

/**
 * The learning rate of optimiser step `step`, counted from 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(learningRate({ kind: "constant", warmup: 0.5 }, { base: 1, step: 1 }), 0.75);
 * ```
 */
export function learningRate(
  schedule: LrSchedule,
  { base, step }: { base: number; step: number },
): number {
  const warmup = schedule.warmup ?? 0;
  if (!(warmup >= 0 && warmup < 1)) {
    throw new RangeError(
      `Cannot set the learning rate as warmup must be in [0, 1): warmup is ${warmup}`,
    );
  }
  const ramp = 1 - warmup ** (step + 1);
  switch (schedule.kind) {
    case "constant":
      return ramp * base;
    case "inverse": {
      const { invGamma = 1, power = 1, minLr = 0 } = schedule;
      return ramp * Math.max(minLr, base * (1 + step / invGamma) ** -power);
    }
    case "exponential": {
      const { numSteps, decay = 0.5, minLr = 0 } = schedule;
      return ramp * Math.max(minLr, base * decay ** (step / numSteps));
    }
  }
}
