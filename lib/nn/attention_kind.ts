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
 * One file defines a kind and one line of `attention_kinds.ts` adds it to all models; README.md does so step by step.
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
  /** For models that are exported with any size; a kind without it can only be exported for one. */
  anySize?: AnySizeAttention<S>;
};

/** Attention without tables that are made for one grid: its operations, recorded at one size, hold at others. */
export type AnySizeAttention<S> = {
  /** What the sides of the grid must be multiples of; 1 by default. */
  multipleOf?(spec: S): number;
  /** The attention of the layers of one level; the grid's sides are multiples of `multiples`, whatever they are. */
  attention(spec: S, at: { grid: Grid; heads: number; multiples: Grid }): Attention;
};
