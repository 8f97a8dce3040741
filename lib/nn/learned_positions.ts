/**
 * A learned additive position table, as in ViT: made for one grid, and interpolated for others.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Grid } from "./attention_kind.ts";
import type { Inits } from "./init.ts";

/** A vector for each cell of the grid that the table is made for. */
export type LearnedPositionsParams = { weight: tf.Tensor }; // […grid, width]

/** A table of N(0, 0.02²) numbers (ViT's). */
export function initLearnedPositions(
  { grid, width }: { grid: Grid; width: number },
): Inits<LearnedPositionsParams> {
  return { weight: { shape: [...grid, width], start: { kind: "normal", std: 0.02 } } };
}

/** The table on a grid, […grid, width]: linear interpolation between cell centres, constant beyond the outer ones. */
export function learnedPositions({ weight }: LearnedPositionsParams, grid: Grid): tf.Tensor {
  if (grid.every((side, axis) => side === weight.shape[axis])) return weight;
  const axes = grid.map((_, axis) => axis);
  const nextFirst = [...axes.slice(1), 0, grid.length]; // after all axes, the order is the first one again
  return grid.reduce((x, side) => tf.transpose(resizeFirstAxis(x, side), nextFirst), weight);
}

/** x along its first axis, as a product with a constant matrix, which every engine can differentiate. */
function resizeFirstAxis(x: tf.Tensor, to: number): tf.Tensor {
  const [from, ...rest] = x.shape as [number, ...number[]];
  if (from === to) return x;
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const at = Math.min(Math.max((i + 0.5) * from / to - 0.5, 0), from - 1);
    const below = Math.floor(at), share = at - below;
    matrix[i * from + below] += 1 - share;
    matrix[i * from + Math.min(below + 1, from - 1)] += share;
  }
  const rows = tf.matMul(tf.tensor(matrix, [to, from]), tf.reshape(x, [from, -1]));
  return tf.reshape(rows, [to, ...rest]);
}
