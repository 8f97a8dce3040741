/**
 * Neighborhood attention (paper, §4.2; NATTEN's semantics): a query sees the k × k window centred on it, moved
 * inwards at the borders so that it always holds exactly k² keys. With dilation, this holds within every residue class:
 * among the tokens whose row and column leave the same remainders as the query's.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Attention } from "./attention.ts";
import { type AttentionKind, tokensOf } from "./attention_kind.ts";
import {
  groupedAttention,
  groupedAttentionWeights,
  type Groups,
  planGroups,
} from "./grouped_attention.ts";
import { anySizeWindowAttention } from "./any_size_windows.ts";
import { chooseTile, type Tile, type WindowedGrid, windowGroups } from "./window_groups.ts";

export { chooseTile, type Tile } from "./window_groups.ts";

/** Every token sees the kernelSize × kernelSize tokens around it (× kernelSize on three axes). */
export type NeighborhoodAttentionSpec = {
  kind: "neighborhood";
  dHead: number;
  /** Odd; times the dilation at most the grid's smaller side. */
  kernelSize: number;
  /** Step between the tokens of a window; 1 by default. */
  dilation?: number;
};
/** A grid, the side of a window and its dilation. */
export type Neighborhoods = WindowedGrid;

/** First row (or column) of the window of position i: clamp(i − (k >> 1), 0, length − k). */
export function windowStart(
  i: number,
  { length, kernelSize }: { length: number; kernelSize: number },
): number {
  return Math.min(Math.max(i - (kernelSize >> 1), 0), length - kernelSize);
}

/** Throws a RangeError unless the kernel is odd and fits the grid, dilated. */
export function checkNeighborhood({ grid, kernelSize, dilation = 1 }: Neighborhoods): void {
  if (!(Number.isInteger(kernelSize) && kernelSize >= 1 && kernelSize % 2 === 1)) {
    throw new RangeError(
      `Cannot attend to neighborhoods as kernelSize must be odd and at least 1: kernelSize is ${kernelSize}`,
    );
  }
  if (!(Number.isInteger(dilation) && dilation >= 1)) {
    throw new RangeError(
      `Cannot attend to neighborhoods as dilation must be a whole number >= 1: dilation is ${dilation}`,
    );
  }
  const extent = kernelSize * dilation;
  if (!grid.every((side) => extent <= side)) {
    const [times, and] = dilation > 1 ? [" times dilation", `, dilation is ${dilation}`] : ["", ""];
    throw new RangeError(
      `Cannot attend to neighborhoods as kernelSize${times} must not exceed the grid: kernelSize is ${kernelSize}${and}, grid is ${
        grid.join(" × ")
      }`,
    );
  }
}

/** Neighborhood attention on a grid; `tile` is chosen where it is not given. */
export function neighborhoodAttention(
  { heads, tile, ...windows }: Neighborhoods & { heads: number; tile?: Tile },
): Attention {
  const plan = planGroups(neighborhoodGroups(windows, tile), { heads });
  return { attend: (q, k, v) => groupedAttention(plan, { q, k, v }) };
}

/** n k² pairs; the window moves inwards at the border; a layer widens what is seen by (k − 1) · dilation. */
export const neighborhoodKind: AttentionKind<NeighborhoodAttentionSpec> = {
  kind: "neighborhood",
  local: true,
  check: ({ kernelSize, dilation = 1 }, grid) => checkNeighborhood({ grid, kernelSize, dilation }),
  pairs: ({ kernelSize }, { grid }) => tokensOf(grid) * kernelSize ** grid.length,
  attention: ({ kernelSize, dilation = 1 }, at) =>
    neighborhoodAttention({ ...at, kernelSize, dilation }),
  anySize: {
    multipleOf: ({ dilation = 1 }) => dilation,
    attention: ({ kernelSize, dilation = 1 }, at) =>
      anySizeWindowAttention({ kernelSize, dilation, moved: true }, at),
  },
};

/** The tiles of a grid with their halos, as groups. */
export function neighborhoodGroups(windows: Neighborhoods, tile?: Tile): Groups {
  checkNeighborhood(windows);
  const rule = (i: number, axis: { length: number; kernelSize: number }) => {
    const from = windowStart(i, axis);
    return { from, to: from + axis.kernelSize };
  };
  return windowGroups(windows, { rule, tile: tile ?? chooseTile(windows) });
}

/**
 * The attention weights of every query over its window: [B, h, w, heads, k, k] for q and k of [B, h, w, heads, d],
 * with scale 1. Entry (i, j) belongs to row `windowStart(y) + i` and column `windowStart(x) + j`, counted within the
 * residue class where there is dilation.
 */
export function neighborhoodAttentionWeights(
  q: tf.Tensor,
  k: tf.Tensor,
  { kernelSize, dilation = 1 }: { kernelSize: number; dilation?: number },
): tf.Tensor {
  return tf.tidy(() => {
    const [B, h, w, heads, d] = q.shape as [number, number, number, number, number];
    const groups = neighborhoodGroups({ grid: [h, w], kernelSize, dilation });
    const flat = (x: tf.Tensor) => tf.reshape(x, [B, h * w, heads, d]);
    const plan = planGroups(groups, { heads });
    const P = groupedAttentionWeights(plan, { q: flat(q), k: flat(k) });
    const index = tf.tensor1d(weightPlaces(groups, { heads, window: kernelSize ** 2 }), "int32");
    const weights = tf.gather(tf.reshape(P, [B, -1]), index, 1);
    return tf.reshape(weights, [B, h, w, heads, kernelSize, kernelSize]);
  });
}

/** Where, in [groups, heads, M, K], the weights of each token and head over its window are. */
function weightPlaces(
  { tokens, groups, queries, keys, sees }: Groups,
  { heads, window }: { heads: number; window: number },
): Int32Array {
  const M = queries.length / groups, K = keys.length / groups;
  const places = new Int32Array(tokens * heads * window);
  queries.forEach((token, query) => {
    if (token < 0) return;
    const group = Math.floor(query / M), i = query % M;
    for (let head = 0; head < heads; head++) {
      let at = (token * heads + head) * window;
      for (let j = 0; j < K; j++) {
        if (sees[query * K + j]) places[at++] = ((group * heads + head) * M + i) * K + j;
      }
    }
  });
  return places;
}
