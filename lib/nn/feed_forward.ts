import * as tf from "@tensorflow/tfjs";
import { adaNorm, type AdaNormParams, addGated, initAdaNorm, type NormSpec } from "./ada_norm.ts";
import { dropout, type DropoutSource } from "./dropout.ts";
import { linearGEGLU, linearGELU } from "./geglu.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** GEGLU (paper, row C on) or plain GELU (rows A and B). */
export type FeedForwardKind = "geglu" | "gelu";
/** Weights of the two linear maps; up_proj is [2·dFf, width] for GEGLU, [dFf, width] for GELU. */
export type UpDownParams = { up_proj: LinearParams; down_proj: LinearParams };
/** A feed-forward block: conditioned norm and the two linear maps. */
export type FeedForwardParams = { norm: AdaNormParams } & UpDownParams;

/** The two linear maps; down_proj starts at zero, unless a gate does. */
export function initUpDown(
  { width, dFf, kind, zero = true }: {
    width: number;
    dFf: number;
    kind: FeedForwardKind;
    zero?: boolean;
  },
): Inits<UpDownParams> {
  const outFeatures = kind === "geglu" ? 2 * dFf : dFf;
  return {
    up_proj: initLinear({ inFeatures: width, outFeatures }),
    down_proj: initLinear({ inFeatures: dFf, outFeatures: width, zero }),
  };
}

/** A feed-forward block that adds nothing at first. */
export function initFeedForward(
  { norm, condFeatures, ...options }: {
    width: number;
    dFf: number;
    condFeatures: number;
    kind: FeedForwardKind;
    norm?: NormSpec | undefined;
  },
): Inits<FeedForwardParams> {
  return {
    norm: initAdaNorm({ features: options.width, condFeatures, norm }),
    ...initUpDown({ ...options, zero: !norm?.gate }),
  };
}

/** W_down dropout(act(W_up x)). */
export function upDown(
  { up_proj, down_proj }: UpDownParams,
  x: tf.Tensor,
  { kind, ...drop }: {
    kind: FeedForwardKind;
    source?: DropoutSource | undefined;
    site: string;
    rate: number;
  },
): tf.Tensor {
  switch (kind) {
    case "geglu":
      return linear(down_proj, dropout(linearGEGLU(up_proj, x), drop));
    case "gelu": {
      const weight = tf.mul(down_proj.weight, Math.SQRT1_2); // see linearGELU
      return linear({ weight }, dropout(linearGELU(up_proj, x), drop));
    }
  }
}

/** x + gate · W_down dropout(act(W_up norm(x, cond))), AdaRMSNorm without a gate by default. */
export function feedForward(
  p: FeedForwardParams,
  x: tf.Tensor,
  { cond, norm, ...options }:
    & { cond: tf.Tensor; norm?: NormSpec | undefined }
    & Parameters<
      typeof upDown
    >[2],
): tf.Tensor {
  const { y, gate } = adaNorm(p.norm, x, { cond, norm });
  return addGated(x, { y: upDown(p, y, options), gate });
}
