import type * as tf from "@tensorflow/tfjs";
import { tokensOf } from "./attention_kind.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";
import { type Patch, unpatchify } from "./token_merge.ts";

/** Weights of a split: [rows·columns·out, in]. */
export type TokenSplitWithoutSkipParams = { proj: LinearParams };

/** A split from `inFeatures` to `outFeatures` channels. */
export function initTokenSplitWithoutSkip(
  { inFeatures, outFeatures, patchSize, zero = false }: {
    inFeatures: number;
    outFeatures: number;
    patchSize: Patch;
    zero?: boolean;
  },
): Inits<TokenSplitWithoutSkipParams> {
  return { proj: initLinear({ inFeatures, outFeatures: outFeatures * tokensOf(patchSize), zero }) };
}

/** Projects each token to a patch of tokens: [B, h, w, C] to [B, h·p, w·q, out]. */
export function tokenSplitWithoutSkip(
  { proj }: TokenSplitWithoutSkipParams,
  x: tf.Tensor,
  { patchSize = [2, 2] as Patch } = {},
): tf.Tensor {
  return unpatchify(linear(proj, x), patchSize);
}
