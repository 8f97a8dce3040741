/**
 * Windows as groups of dense products (see `grouped_attention.ts`) whose tables are computed by operations on the sides
 * of the grid, not made for one: what is recorded at one size computes at another. For graphs to be run elsewhere;
 * tables that are made once are faster.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { MASKED } from "./attention.ts";
import type { GroupPlan } from "./grouped_attention.ts";

/** As `Groups`, in int32 tensors; every place holds a token, or nothing sees it. */
export type AnySizeGroups = {
  tokens: number;
  groups: number;
  /** Queries and keys of a group. */
  M: number;
  K: number;
  queries: tf.Tensor; // [groups, M]
  keys: tf.Tensor; // [groups, K]
  sees: tf.Tensor; // bool [groups, M, K]
  /** The group of each token as a query, and its place there: [tokens]. */
  group: tf.Tensor;
  place: tf.Tensor;
};

/** A number that may depend on a side: a scalar tensor, which export computes anew. */
export const int = (value: number) => tf.scalar(value, "int32");
/** 0 to n − 1. */
export const range = (n: number) => tf.range(0, n, 1, "int32");
export const column = (x: tf.Tensor) => tf.reshape(x, [-1, 1]);

/** a · n + b for all pairs of two vectors: [a's length, b's length]. */
export function pairs(a: tf.Tensor, b: tf.Tensor, n: number): tf.Tensor {
  return tf.add(tf.mul(column(a), int(n)), tf.reshape(b, [1, -1]));
}

/** The groups of a grid from those of its axes, `slow` the slower one, as `crossGroups` makes them. */
export function crossAnySizeGroups(slow: AnySizeGroups, fast: AnySizeGroups): AnySizeGroups {
  const groups = slow.groups * fast.groups;
  const M = slow.M * fast.M, K = slow.K * fast.K;
  /** a [A, m] · n + b [B, k] as [A · B, m · k]. */
  const cross = (a: tf.Tensor, b: tf.Tensor, [m, k]: [number, number]) =>
    tf.reshape(
      tf.add(
        tf.mul(tf.reshape(a, [slow.groups, 1, m, 1]), int(fast.tokens)),
        tf.reshape(b, [1, fast.groups, 1, k]),
      ),
      [groups, m * k],
    );
  const sees = tf.logicalAnd(
    tf.reshape(slow.sees, [slow.groups, 1, slow.M, 1, slow.K, 1]),
    tf.reshape(fast.sees, [1, fast.groups, 1, fast.M, 1, fast.K]),
  );
  const tokens = slow.tokens * fast.tokens;
  return {
    tokens,
    groups,
    M,
    K,
    queries: cross(slow.queries, fast.queries, [slow.M, fast.M]),
    keys: cross(slow.keys, fast.keys, [slow.K, fast.K]),
    sees: tf.reshape(sees, [groups, M, K]),
    group: tf.reshape(pairs(slow.group, fast.group, fast.groups), [tokens]),
    place: tf.reshape(pairs(slow.place, fast.place, fast.M), [tokens]),
  };
}

/** The tables of a grouping for a number of heads, for the forward pass alone. */
export function planAnySizeGroups(
  { tokens, groups, M, K, queries, keys, sees, group, place }: AnySizeGroups,
  { heads }: { heads: number },
): GroupPlan {
  const rows = (members: tf.Tensor, n: number) =>
    tf.reshape(
      tf.add(
        tf.mul(tf.reshape(members, [groups, 1, n]), int(heads)),
        tf.reshape(range(heads), [1, heads, 1]),
      ),
      [groups * heads * n],
    );
  const places = tf.add(tf.mul(pairs(group, range(heads), heads), int(M)), column(place)); // [tokens, heads]
  return {
    groups,
    heads,
    M,
    K,
    queryRows: rows(queries, M),
    keyRows: rows(keys, K),
    queryPlaces: tf.reshape(places, [tokens * heads]),
    keyPlaces: [],
    mask: tf.reshape(tf.where(sees, tf.scalar(0), tf.scalar(MASKED)), [1, groups, 1, M, K]),
    real: undefined,
  };
}
