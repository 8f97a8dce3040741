import * as tf from "@tensorflow/tfjs";
import { tokensOf } from "./attention_kind.ts";
import type { Inits } from "./init.ts";
import { initLinear, linear, type LinearParams } from "./linear.ts";

/** Weights of a merge: [out, rows·columns·in], or, with a bottleneck, [bottleneck, rows·columns·in] and [out, bottleneck]. */
export type TokenMergeParams = { proj: LinearParams; out_proj?: LinearParams };
/** Rows and columns of a patch. */
export type PatchSize = readonly [rows: number, columns: number];
/** Sides of a patch of a grid of any number of axes. */
export type Patch = readonly number[];

/** A merge from `inFeatures` to `outFeatures` channels, by way of `bottleneck` channels where given (JiT, §4.3). */
export function initTokenMerge(
  { inFeatures, outFeatures, patchSize, bottleneck }: {
    inFeatures: number;
    outFeatures: number;
    patchSize: Patch;
    bottleneck?: number | undefined;
  },
): Inits<TokenMergeParams> {
  const patch = inFeatures * tokensOf(patchSize);
  if (bottleneck === undefined) return { proj: initLinear({ inFeatures: patch, outFeatures }) };
  return {
    proj: initLinear({ inFeatures: patch, outFeatures: bottleneck }),
    out_proj: initLinear({ inFeatures: bottleneck, outFeatures }),
  } as Inits<TokenMergeParams>;
}

/**
 * Concatenates the tokens of every patch (row, column, channel), then projects: [B, h, w, C] to [B, h/p, w/q, out], and
 * likewise on grids of other numbers of axes.
 */
export function tokenMerge(
  { proj, out_proj }: TokenMergeParams,
  x: tf.Tensor,
  { patchSize = [2, 2] as Patch } = {},
): tf.Tensor {
  const merged = linear(proj, patchify(x, patchSize));
  return out_proj ? linear(out_proj, merged) : merged;
}

/**
 * [B, h, w, C] to [B, h/p, w/q, p·q·C], features in order (row in patch, column in patch, channel); likewise on grids of
 * other numbers of axes. Throws a RangeError where the patch does not divide the grid.
 */
export function patchify(x: tf.Tensor, patch: Patch): tf.Tensor {
  const B = x.shape[0], grid = x.shape.slice(1, -1), C = x.shape[x.rank - 1];
  if (!(grid.length === patch.length && grid.every((side, axis) => side % patch[axis] === 0))) {
    throw new RangeError(
      `Cannot merge tokens as the patch must divide the grid: patch is ${
        patch.join(" × ")
      }, grid is ${grid.join(" × ")}`,
    );
  }
  const coarse = grid.map((side, axis) => side / patch[axis]);
  const cut = tf.reshape(x, [B, ...cutSides(coarse, patch, C)]);
  return tf.reshape(tf.transpose(cut, apart(patch)), [B, ...coarse, tokensOf(patch) * C]);
}

/** The inverse of {@link patchify}: [B, h, w, p·q·C] to [B, h·p, w·q, C]. */
export function unpatchify(x: tf.Tensor, patch: Patch): tf.Tensor {
  const B = x.shape[0], grid = x.shape.slice(1, -1), features = x.shape[x.rank - 1];
  const n = tokensOf(patch);
  if (!(grid.length === patch.length && features % n === 0)) {
    throw new RangeError(
      `Cannot split tokens as the patch must divide their features: patch is ${
        patch.join(" × ")
      }, features is ${features}`,
    );
  }
  const C = features / n, last = patch.length - 1;
  const merged = patch.map((side, axis) => axis === last ? side * C : side); // the last side takes the channels along
  const cut = tf.transpose(tf.reshape(x, [B, ...grid, ...merged]), invert(apart(patch)));
  return tf.reshape(cut, [B, ...grid.map((side, axis) => side * patch[axis]), C]);
}

/** [h/p, p, w/q, q·C]: sides of the grid and of the patch by turns, the channels with the last. */
function cutSides(coarse: number[], patch: Patch, C: number): number[] {
  const sides = coarse.flatMap((side, axis) => [side, patch[axis]]);
  return [...sides.slice(0, -1), sides[sides.length - 1] * C];
}

/** The permutation that brings the grid's sides before the patch's: [0, 1, 3, …, 2, 4, …]. */
function apart({ length }: Patch): number[] {
  const odd = Array.from({ length }, (_, axis) => 2 * axis + 1);
  return [0, ...odd, ...odd.map((i) => i + 1)];
}

function invert(permutation: number[]): number[] {
  return permutation.map((_, i) => permutation.indexOf(i));
}
