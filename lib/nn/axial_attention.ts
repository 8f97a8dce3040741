/**
 * Axial attention (Ho et al. 2019, "Axial Attention in Multidimensional Transformers"): even layers attend along rows,
 * odd layers along columns, so that two layers connect every pair of tokens. With more axes, layers take turns on all
 * of them, the fastest axis first.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type Attention, softmaxAttention } from "./attention.ts";
import { type AttentionKind, type Grid, tokensOf } from "./attention_kind.ts";

/** Tokens see their row in even layers and their column in odd ones; a level should have an even depth. */
export type AxialAttentionSpec = { kind: "axial"; dHead: number };

/** The axis that a layer attends along: 0 is the slowest. */
const axisOf = (layer: number, { length }: Grid) => length - 1 - layer % length;

/** Attention along the rows (even layers) or columns (odd layers) of a grid. */
export function axialAttention(grid: Grid): Attention {
  return {
    attend(q, k, v, layer) {
      const [B, , heads, d] = q.shape as [number, number, number, number];
      // [B, …grid, heads, d] to lines of tokens, [B, …other axes, heads, tokens of a line, d], and back
      const axis = 1 + axisOf(layer, grid), last = grid.length + 2;
      const others = Array.from({ length: last - 1 }, (_, i) => i + 1).filter((i) => i !== axis);
      const there = [0, ...others, axis, last], back = there.map((_, i) => there.indexOf(i));
      const lines = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [B, ...grid, heads, d]), there);
      const y = softmaxAttention(lines(q), lines(k), lines(v));
      return tf.reshape(tf.transpose(y, back), q.shape);
    },
  };
}

/** n w pairs in even layers, n h in odd ones; no border; everything is seen after as many layers as there are axes. */
export const axialKind: AttentionKind<AxialAttentionSpec> = {
  kind: "axial",
  local: false,
  check: () => {},
  pairs: (_, { grid, layer }) => tokensOf(grid) * grid[axisOf(layer, grid)],
  attention: (_, { grid }) => axialAttention(grid),
  anySize: { attention: (_, { grid }) => axialAttention(grid) },
};
