/**
 * Learning rate over steps. `warmupSteps` n multiplies it by min(1, (step + 1) / n), `warmup` w, the reference's, by
 * 1 - w^(step + 1).
 *
 * - `constant`: the base rate;
 * - `inverse`: base (1 + step / invGamma)^(-power), at least minLr;
 * - `exponential`: base decay^(step / numSteps), at least minLr;
 * - `cosine`: from base after the linear warm-up to minLr at step numSteps, along half a cosine.
 */
export type LrSchedule =
  & { warmup?: number; warmupSteps?: number }
  & (
    | { kind: "constant" }
    | { kind: "inverse"; invGamma?: number; power?: number; minLr?: number }
    | { kind: "exponential"; numSteps: number; decay?: number; minLr?: number }
    | { kind: "cosine"; numSteps: number; minLr?: number }
  );

/**
 * The learning rate of optimiser step `step`, counted from 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(learningRate({ kind: "constant", warmup: 0.5 }, { base: 1, step: 1 }), 0.75);
 * assert.equal(learningRate({ kind: "constant", warmupSteps: 4 }, { base: 1, step: 1 }), 0.5);
 * ```
 */
export function learningRate(
  schedule: LrSchedule,
  { base, step }: { base: number; step: number },
): number {
  const { warmup = 0, warmupSteps = 0 } = schedule;
  checkWarmup({ warmup, warmupSteps });
  const linear = warmupSteps > 0 ? Math.min(1, (step + 1) / warmupSteps) : 1;
  const ramp = (1 - warmup ** (step + 1)) * linear;
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
    case "cosine": {
      const { numSteps, minLr = 0 } = schedule;
      if (!(numSteps > warmupSteps)) {
        throw new RangeError(
          `Cannot set the learning rate as numSteps must be more than warmupSteps: numSteps is ${numSteps}, warmupSteps is ${warmupSteps}`,
        );
      }
      const done = Math.max(0, Math.min(1, (step - warmupSteps) / (numSteps - warmupSteps)));
      return ramp * (minLr + (base - minLr) * (1 + Math.cos(Math.PI * done)) / 2);
    }
  }
}

function checkWarmup({ warmup, warmupSteps }: { warmup: number; warmupSteps: number }): void {
  if (!(warmup >= 0 && warmup < 1)) {
    throw new RangeError(
      `Cannot set the learning rate as warmup must be in [0, 1): warmup is ${warmup}`,
    );
  }
  if (!(warmupSteps >= 0 && warmupSteps < Infinity)) {
    throw new RangeError(
      `Cannot set the learning rate as warmupSteps must be a finite number >= 0: warmupSteps is ${warmupSteps}`,
    );
  }
}
