/**
 * Axial attention (Ho et al. 2019, "Axial Attention in Multidimensional Transformers"): even layers attend along rows,
 * odd layers along columns, so that two layers connect every pair of tokens.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type Attention, softmaxAttention } from "./attention.ts";
import type { AttentionKind, Grid } from "./attention_kind.ts";

/** Tokens see their row in even layers and their column in odd ones; a level should have an even depth. */
export type AxialAttentionSpec = { kind: "axial"; dHead: number };

/** From [B, h, w, heads, d] to lines of tokens, [B, lines, heads, tokens of a line, d], and back. */
const ROWS = { there: [0, 1, 3, 2, 4], back: [0, 1, 3, 2, 4] };
const COLUMNS = { there: [0, 2, 3, 1, 4], back: [0, 3, 1, 2, 4] };

/** Attention along the rows (even layers) or columns (odd layers) of an h × w grid. */
export function axialAttention({ h, w }: Grid): Attention {
  return {
    attend(q, k, v, layer) {
      const { there, back } = layer % 2 === 0 ? ROWS : COLUMNS;
      const [B, , heads, d] = q.shape as [number, number, number, number];
      const lines = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [B, h, w, heads, d]), there);
      const y = softmaxAttention(lines(q), lines(k), lines(v));
      return tf.reshape(tf.transpose(y, back), q.shape);
    },
  };
}

/** n w pairs in even layers, n h in odd ones; no border; everything is seen after two layers. */
export const axialKind: AttentionKind<AxialAttentionSpec> = {
  kind: "axial",
  local: false,
  check: () => {},
  pairs: (_, { h, w, layer }) => h * w * (layer % 2 === 0 ? w : h),
  attention: (_, grid) => axialAttention(grid),
};
