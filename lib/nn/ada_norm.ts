/**
 * Norms steered by the condition, and the gate that some blocks put on their output.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";
import { adaRMSNorm } from "./rms_norm.ts";

/** Which norm a block starts with, and what of it the condition sets. */
export type NormSpec = {
  /** By the root mean square (HDiT), or by mean and variance (DiT). */
  kind: "ada-rms-norm" | "ada-layer-norm";
  /** Whether the condition adds to each channel too; only with the layer norm by default. */
  shift?: boolean;
  /** Whether the condition scales what the block adds, from 0 at first (DiT's adaLN-zero); no by default. */
  gate?: boolean;
};
/** HDiT's norm: scale alone. */
export const ADA_RMS_NORM: NormSpec = { kind: "ada-rms-norm" };
/** One linear map for scale, shift and gate, those that there are, in this order: [n·C, condition]. */
export type AdaNormParams = { linear: LinearParams };

const hasShift = ({ kind, shift = kind === "ada-layer-norm" }: NormSpec) => shift;

/** How many vectors of C numbers the condition sets: the rows of the linear map over C. */
export function adaNormOutputs(norm: NormSpec): number {
  return 1 + Number(hasShift(norm)) + Number(norm.gate ?? false);
}

/** A norm that scales by 1, adds nothing and lets nothing through its gate, whatever the condition (zero weights). */
export function initAdaNorm(
  { features, condFeatures, norm = ADA_RMS_NORM }: {
    features: number;
    condFeatures: number;
    norm?: NormSpec | undefined;
  },
): Inits<AdaNormParams> {
  const outFeatures = features * adaNormOutputs(norm);
  return { linear: initLinear({ inFeatures: condFeatures, outFeatures, zero: true }) };
}

/**
 * y = norm(x) · (1 + W_scale cond) (+ W_shift cond) with norm(x) = x / √(mean x² + 1e-6) or, for the layer norm, the
 * same of x − mean x; and the gate W_gate cond.
 *
 * x is [B, …, C] and cond is [B, condition]; the gate is [B, 1 …, C]. The paper's row G has the layer norm, row H the
 * gate too; DiT sends the condition through SiLU first, which the mapping network does not.
 */
export function adaNorm(
  p: AdaNormParams,
  x: tf.Tensor,
  { cond, norm = ADA_RMS_NORM }: { cond: tf.Tensor; norm?: NormSpec | undefined },
): { y: tf.Tensor; gate: tf.Tensor | undefined } {
  const B = x.shape[0], C = x.shape[x.rank - 1];
  const n = adaNormOutputs(norm);
  const [scale, ...others] = n === 1 ? [p.linear.weight] : tf.split(p.linear.weight, n, 0);
  const channels = (weight: tf.Tensor) =>
    tf.reshape(linear({ weight }, cond), [B, ...Array(x.rank - 2).fill(1), C]);
  const centred = norm.kind === "ada-layer-norm" ? tf.sub(x, tf.mean(x, -1, true)) : x;
  const scaled = adaRMSNorm({ linear: { weight: scale } }, centred, cond);
  const y = hasShift(norm) ? tf.add(scaled, channels(others.shift()!)) : scaled;
  return { y, gate: norm.gate ? channels(others.shift()!) : undefined };
}

/** x + gate · y, or x + y where there is no gate. */
export function addGated(
  x: tf.Tensor,
  { y, gate }: { y: tf.Tensor; gate: tf.Tensor | undefined },
): tf.Tensor {
  return tf.add(x, gate ? tf.mul(y, gate) : y);
}
