import * as tf from "@tensorflow/tfjs";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** Weights of a merge: [out, rows·columns·in]. */
export type TokenMergeParams = { proj: LinearParams };
/** Rows and columns of a patch. */
export type PatchSize = readonly [rows: number, columns: number];

/** A merge from `inFeatures` to `outFeatures` channels. */
export function initTokenMerge(
  { inFeatures, outFeatures, patchSize: [p, q] }: {
    inFeatures: number;
    outFeatures: number;
    patchSize: PatchSize;
  },
): Inits<TokenMergeParams> {
  return { proj: initLinear({ inFeatures: inFeatures * p * q, outFeatures }) };
}

/** Concatenates the tokens of every patch (row, column, channel), then projects: [B, h, w, C] to [B, h/p, w/q, out]. */
export function tokenMerge(
  { proj }: TokenMergeParams,
  x: tf.Tensor,
  { patchSize = [2, 2] as PatchSize } = {},
): tf.Tensor {
  return linear(proj, patchify(x, patchSize));
}

/**
 * [B, h, w, C] to [B, h/p, w/q, p·q·C], features in order (row in patch, column in patch, channel).
 * Throws a RangeError where the patch does not divide the grid.
 */
export function patchify(x: tf.Tensor, [p, q]: PatchSize): tf.Tensor {
  const [B, h, w, C] = x.shape as [number, number, number, number];
  if (!(h % p === 0 && w % q === 0)) {
    throw new RangeError(
      `Cannot merge tokens as the patch must divide the grid: patch is ${p} × ${q}, grid is ${h} × ${w}`,
    );
  }
  const cut = tf.reshape(x, [B, h / p, p, w / q, q * C]);
  return tf.reshape(tf.transpose(cut, [0, 1, 3, 2, 4]), [B, h / p, w / q, p * q * C]);
}

/** The inverse of {@link patchify}: [B, h, w, p·q·C] to [B, h·p, w·q, C]. */
export function unpatchify(x: tf.Tensor, [p, q]: PatchSize): tf.Tensor {
  const [B, h, w, features] = x.shape as [number, number, number, number];
  if (!(features % (p * q) === 0)) {
    throw new RangeError(
      `Cannot split tokens as the patch must divide their features: patch is ${p} × ${q}, features is ${features}`,
    );
  }
  const C = features / (p * q);
  const cut = tf.reshape(x, [B, h, w, p, q * C]);
  return tf.reshape(tf.transpose(cut, [0, 1, 3, 2, 4]), [B, h * p, w * q, C]);
}
