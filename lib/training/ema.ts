import type * as tf from "@tensorflow/tfjs";
import { treeMap } from "../engine/tree.ts";

/** Warm-up of the average's decay: 1 - (1 + t / invGamma)^(-power), t = step - startAt, clipped. */
export type EmaSchedule = {
  power?: number; // 1
  invGamma?: number; // 1
  minValue?: number; // 0
  maxValue?: number; // 1
  startAt?: number; // 0
};

/**
 * Decay of the average after optimiser step `step`, counted from 0; 0 on the first step.
 *
 * The paper uses power 3/4 and maxValue 0.9999.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(emaDecay({ power: 1 }, 3), 0.75);
 * ```
 */
export function emaDecay(
  { power = 1, invGamma = 1, minValue = 0, maxValue = 1, startAt = 0 }: EmaSchedule,
  step: number,
): number {
  const t = Math.max(0, step - startAt);
  return Math.max(minValue, Math.min(maxValue, 1 - (1 + t / invGamma) ** -power));
}

/** decay average + (1 - decay) value; both weights are scalars, so that they may change between steps. */
export function emaLerp(
  average: tf.Tensor,
  value: tf.Tensor,
  { decay, rate }: { decay: tf.Scalar; rate: tf.Scalar },
): tf.Tensor {
  return average.mul(decay).add(value.mul(rate));
}

/**
 * The tree of averaged parameters: averages where there are any, the parameters' own tensors (buffers)
 * elsewhere. Nothing is copied: the tensors stay those of their owners.
 */
export function averagedParams<P>(params: P, averages: Record<string, tf.Tensor>): P {
  return treeMap(params, (leaf, path) => averages[path] ?? leaf);
}
