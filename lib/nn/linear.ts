import * as tf from "@tensorflow/tfjs";
import type { Inits } from "./init.ts";

/** Weights of a linear map, stored `[out, in]` as in the reference. */
export type LinearParams = { weight: tf.Tensor; bias?: tf.Tensor };

/** A linear map without bias; U(±1/√in) at the start, or zeros. */
export function initLinear(
  { inFeatures, outFeatures, zero = false }: {
    inFeatures: number;
    outFeatures: number;
    zero?: boolean;
  },
): Inits<LinearParams> {
  const shape = [outFeatures, inFeatures];
  if (zero) return { weight: { shape, start: { kind: "fill", value: 0 } } };
  return { weight: { shape, start: { kind: "uniform", bound: 1 / Math.sqrt(inFeatures) } } };
}

/**
 * y = x Wᵀ (+ b) over the last axis.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { linear } from "./linear.ts";
 *
 * const weight = tf.tensor2d([[1, 2], [3, 4], [5, 6]]); // [out, in]
 * assert.deepEqual(Array.from(linear({ weight }, tf.tensor([[1, 10]])).dataSync()), [21, 43, 65]);
 * ```
 */
export function linear({ weight, bias }: LinearParams, x: tf.Tensor): tf.Tensor {
  const [outFeatures, inFeatures] = weight.shape;
  const rows = tf.reshape(x, [-1, inFeatures]);
  const y = tf.matMul(rows, weight, false, true); // [rows, out]
  const biased = bias ? tf.add(y, bias) : y;
  return tf.reshape(biased, [...x.shape.slice(0, -1), outFeatures]);
}
