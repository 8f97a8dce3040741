/**
 * Positions on a grid computed by operations on its sides: what is recorded at one size holds at others.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Grid } from "./attention_kind.ts";
import { sincosFrequencies } from "./sincos_positions.ts";

/** A number that may depend on a side, as a tensor. */
const number = (value: number) => tf.scalar(value);

/**
 * As `axialPositions`, [tokens, axes]: cell i of n is at (2 i + 1 − n) / longest side. With `trainingGrid`, as
 * `positionsAtPitch`, over its longest side. Coarser levels have the centres of their own, coarser cells.
 */
export function anySizePositions(
  grid: Grid,
  { trainingGrid }: { trainingGrid?: Grid } = {},
): tf.Tensor {
  const longest = trainingGrid
    ? number(Math.max(...trainingGrid))
    : grid.map(number).reduce((a, b) => tf.maximum(a, b));
  const places = grid.map((n) => {
    const doubled = tf.sub(tf.mul(tf.range(0, n), number(2)), number(n - 1));
    return tf.reshape(tf.div(doubled, longest), [n, 1]);
  });
  return overGrid(places, grid);
}

/** As `sincosPositions`: [tokens, width]. */
export function anySizeSincosPositions({ grid, width }: { grid: Grid; width: number }): tf.Tensor {
  const frequencies = tf.tensor2d(sincosFrequencies(width / (2 * grid.length)), [
    1,
    width / (2 * grid.length),
  ]);
  const tables = grid.map((n) => {
    const angle = tf.mul(tf.reshape(tf.range(0, n), [n, 1]), frequencies);
    return tf.concat([tf.sin(angle), tf.cos(angle)], 1);
  });
  return overGrid(tables, grid, { fastestFirst: true });
}

/** As `learnedPositions`, […grid, width]: row i of the matrix along an axis weighs cell j of the table by 1 − |at_i − j|. */
export function anySizeLearnedPositions(weight: tf.Tensor, grid: Grid): tf.Tensor {
  const nextFirst = [...grid.map((_, axis) => axis).slice(1), 0, grid.length];
  return grid.reduce((table, to, axis) => {
    const from = weight.shape[axis], rest = table.shape.slice(1);
    const centre = tf.mul(tf.add(tf.range(0, to), 0.5), tf.div(number(from), number(to)));
    const at = tf.clipByValue(tf.sub(centre, 0.5), 0, from - 1);
    const away = tf.abs(tf.sub(tf.reshape(at, [to, 1]), tf.range(0, from)));
    const matrix = tf.relu(tf.sub(1, away)); // [to, from]
    const rows = tf.matMul(matrix, tf.reshape(table, [from, -1]));
    return tf.transpose(tf.reshape(rows, [to, ...rest]), nextFirst);
  }, weight);
}

/** Tables of the axes [side, n], each over the whole grid, side by side: [tokens, axes · n]. */
function overGrid(
  tables: tf.Tensor[],
  grid: Grid,
  { fastestFirst = false } = {},
): tf.Tensor {
  const spread = tables.map((table, axis) => {
    const n = table.shape[1]!;
    const ones = grid.map((side, i) => i === axis ? side : 1);
    return tf.broadcastTo(tf.reshape(table, [...ones, n]), [...grid, n]);
  });
  const tokens = grid.reduce((a, b) => a * b, 1);
  const all = tf.concat(fastestFirst ? spread.reverse() : spread, grid.length);
  return tf.reshape(all, [tokens, all.shape[grid.length]!]);
}
