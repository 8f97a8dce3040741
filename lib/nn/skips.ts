import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** How a skip joins the upsampled stream (paper, Table 2), or that there is none. */
export type SkipKind = "lerp" | "add" | "concat" | "none";
/** The scalar of a lerp skip, or the projection of a concat skip; nothing for the others. */
export type SkipParams = { fac?: tf.Tensor; skip_proj?: LinearParams };

/** The parameters that a kind of skip needs, for streams of `features` channels. */
export function initSkip(
  { kind, features }: { kind: SkipKind; features: number },
): Inits<SkipParams> {
  switch (kind) {
    case "lerp":
      return { fac: { shape: [1], start: { kind: "fill", value: 0.5 } } };
    case "add":
    case "none":
      return {};
    case "concat":
      return { skip_proj: initLinear({ inFeatures: 2 * features, outFeatures: features }) };
  }
}

/** Joins `skip` and `up`, tensors of one shape, as the parameters say. */
export function joinSkip(
  p: SkipParams,
  { kind, skip, up }: { kind: SkipKind; skip: tf.Tensor; up: tf.Tensor },
): tf.Tensor {
  switch (kind) {
    case "lerp":
      return lerpSkip(p as { fac: tf.Tensor }, skip, up);
    case "add":
      return tf.add(skip, up);
    case "none":
      return up;
    case "concat": {
      // a projection of both, written as the sum of two: nothing is concatenated
      const [wSkip, wUp] = tf.split(p.skip_proj!.weight, 2, 1);
      return tf.add(linear({ weight: wSkip }, skip), linear({ weight: wUp }, up));
    }
  }
}

/**
 * skip + fac (up − skip): learned interpolation, fac starting at ½ (paper, Eq. 2, where fac weighs the skip;
 * the reference weighs the upsampled stream, as here).
 */
export function lerpSkip({ fac }: { fac: tf.Tensor }, skip: tf.Tensor, up: tf.Tensor): tf.Tensor {
  return applyWithAdjoint([skip, up, fac], (skip, up, fac) => {
    const difference = tf.sub(up, skip);
    return {
      value: tf.add(skip, tf.mul(difference, fac)),
      save: [difference, fac],
      adjoint: (dy, [difference, fac]) => {
        const dUp = tf.mul(dy, fac);
        const dFac = tf.sum(tf.mul(dy, difference));
        return [tf.sub(dy, dUp), dUp, tf.reshape(dFac, fac.shape)];
      },
    };
  });
}
