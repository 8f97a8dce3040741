import type { Attention } from "./attention.ts";

/** Sides of a grid of tokens, slowest axis first: [h, w] of an image, [frames] of sound, [frames, h, w] of a video. */
export type Grid = readonly number[];

/** Number of tokens of a grid. */
export function tokensOf(grid: Grid): number {
  return grid.reduce((n, side) => n * side, 1);
}

/**
 * A kind of attention: what a model's spec says of it, and how it is checked, counted and computed.
 *
 * One file defines a kind and one line of `attention_kinds.ts` adds it to all models; docs/adding_an_attention_kind.md
 * does so step by step.
 */
export type AttentionKind<S extends { kind: string }> = {
  kind: S["kind"];
  /** Whether the number of keys that a query sees stays the same as the grid grows. */
  local: boolean;
  /** Throws a RangeError unless the spec fits the grid. */
  check(spec: S, grid: Grid): void;
  /**
   * Pairs of a query and a key in one layer, for each head: the cost is 2 · width multiply-adds a pair (paper's
   * rule). `layer` is the layer's number in its level, as in {@link Attention}.
   */
  pairs(spec: S, at: { grid: Grid; layer: number }): number;
  /** The attention of the layers of one level. */
  attention(spec: S, at: { grid: Grid; heads: number }): Attention;
};
