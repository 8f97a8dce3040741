/**
 * Attention of groups: the tokens are dealt out to groups of queries and groups of keys, each group is one dense
 * product, all groups are one batched product. Tiles with their halo and shifted windows are groups.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import { attentionAdjoint, attentionWeights, MASKED } from "./attention.ts";

/** Which tokens make up each group, and which keys each query sees. */
export type Groups = {
  /** Number of tokens. */
  tokens: number;
  /** Number of groups. */
  groups: number;
  /** The token of each query, [groups, M], −1 for an empty place; each token is a query exactly once. */
  queries: Int32Array;
  /** The token of each key, [groups, K], −1 for an empty place; a token may be a key of several groups. */
  keys: Int32Array;
  /** 1 where a query sees a key, [groups, M, K]; nothing sees an empty key. */
  sees: Uint8Array;
};

/**
 * The groups of a grid from those of its axes, `slow` the slower one: a group for each pair of groups, where a query
 * sees a key that it sees on both axes.
 */
export function crossGroups(slow: Groups, fast: Groups): Groups {
  const groups = slow.groups * fast.groups;
  const members = (a: Int32Array, b: Int32Array) => {
    const m = a.length / slow.groups, n = b.length / fast.groups;
    return Int32Array.from({ length: a.length * b.length }, (_, place) => {
      const group = Math.floor(place / (m * n)), i = Math.floor(place / n) % m;
      const x = a[Math.floor(group / fast.groups) * m + i];
      const y = b[group % fast.groups * n + place % n];
      return x < 0 || y < 0 ? -1 : x * fast.tokens + y;
    });
  };
  const [K, k] = [slow, fast].map(({ keys, groups }) => keys.length / groups);
  const [M, m] = [slow, fast].map(({ queries, groups }) => queries.length / groups);
  const sees = new Uint8Array(groups * M * m * K * k);
  for (let row = 0, group = 0; group < groups; group++) {
    const a = Math.floor(group / fast.groups) * M, b = group % fast.groups * m;
    for (let query = 0; query < M * m; query++) {
      const seenFast = (b + query % m) * k, seenSlow = (a + Math.floor(query / m)) * K;
      for (let key = 0; key < K; key++, row++) {
        if (!slow.sees[seenSlow + key]) continue;
        sees.set(fast.sees.subarray(seenFast, seenFast + k), row * k);
      }
    }
  }
  return {
    tokens: slow.tokens * fast.tokens,
    groups,
    queries: members(slow.queries, fast.queries),
    keys: members(slow.keys, fast.keys),
    sees,
  };
}

/** Groups as constants for a number of heads; a row is token · heads + head. */
export type GroupPlan = {
  groups: number;
  heads: number;
  M: number;
  K: number;
  /** The row at each place (group, head, i); an empty place holds any row. [groups · heads · M] and [… · K] */
  queryRows: tf.Tensor;
  keyRows: tf.Tensor;
  /** The place of each row's query, [tokens · heads]. */
  queryPlaces: tf.Tensor;
  /** The place of each row as a key: one table for the first time, one for the second … */
  keyPlaces: tf.Tensor[];
  /** 0 or MASKED, [1, groups, 1, M, K]; none where all is seen. */
  mask: tf.Tensor | undefined;
  /** 0 at empty queries, else 1, [1, groups, 1, M, 1]; none where no query is empty. */
  real: tf.Tensor | undefined;
};

/** The tables of a grouping; made once and shared by all layers of a level. */
export function planGroups(
  { tokens, groups, queries, keys, sees }: Groups,
  { heads }: { heads: number },
): GroupPlan {
  const M = queries.length / groups, K = keys.length / groups;
  const queryRows = rowsByPlace(queries, { groups, heads });
  const keyRows = rowsByPlace(keys, { groups, heads });
  const queryPlaces = placesByRow(queryRows, tokens * heads);
  const keyPlaces = placesByRow(keyRows, tokens * heads);
  const times = keyPlaces.reduce((most, places) => Math.max(most, places.length), 0);
  const unseen = keyRows.indexOf(-1); // the gradient there is exactly 0
  if (unseen < 0 && keyPlaces.some((places) => places.length < times)) {
    throw new RangeError(
      "Cannot plan the groups as there must be an empty key where tokens are keys of unequal numbers of groups",
    );
  }
  const table = (data: Int32Array) => tf.tensor1d(data, "int32");
  return {
    groups,
    heads,
    M,
    K,
    queryRows: table(queryRows.map((row) => Math.max(row, 0))),
    keyRows: table(keyRows.map((row) => Math.max(row, 0))),
    queryPlaces: table(Int32Array.from(queryPlaces, ([place]) => place)),
    keyPlaces: Array.from(
      { length: times },
      (_, time) => table(Int32Array.from(keyPlaces, (places) => places[time] ?? unseen)),
    ),
    mask: sees.includes(0) ? tf.tensor(maskFrom(sees), [1, groups, 1, M, K]) : undefined,
    real: queries.includes(-1)
      ? tf.tensor(Float32Array.from(queries, (token) => token < 0 ? 0 : 1), [1, groups, 1, M, 1])
      : undefined,
  };
}

/**
 * Attention within groups; q, k, v and the result are [B, tokens, heads, d].
 *
 * The rows of all groups are copied by index, which also brings each head's rows together. Backward, a row's gradient
 * is the sum over the places where it was a key, read through tables: nothing is scattered.
 */
export function groupedAttention(
  { groups, heads, M, K, queryRows, keyRows, queryPlaces, keyPlaces, mask, real }: GroupPlan,
  { q, k, v }: { q: tf.Tensor; k: tf.Tensor; v: tf.Tensor },
): tf.Tensor {
  const [B, , , d] = q.shape as [number, number, number, number];
  const deal = (x: tf.Tensor, rows: tf.Tensor, n: number) =>
    tf.reshape(pick(x, rows), [B, groups, heads, n, d]);
  const collect = (x: tf.Tensor, places: tf.Tensor) => tf.reshape(pick(x, places), q.shape);
  return applyWithAdjoint([q, k, v], (qRows, kRows, vRows) => {
    const q = deal(qRows, queryRows, M), k = deal(kRows, keyRows, K), v = deal(vRows, keyRows, K);
    const P = attentionWeights(q, k, mask); // [B, groups, heads, M, K]
    const y = tf.matMul(P, v); // [B, groups, heads, M, d]
    return {
      value: collect(y, queryPlaces),
      save: [q, k, v, P, y, queryRows, queryPlaces, ...keyPlaces, ...(real ? [real] : [])],
      adjoint: (dyRows, [q, k, v, P, y, queryRows, queryPlaces, ...rest]) => {
        const keyTables = rest.slice(0, keyPlaces.length), real = rest[keyPlaces.length];
        const dy = deal(dyRows, queryRows, M);
        const { dq, dk, dv } = attentionAdjoint(real ? tf.mul(dy, real) : dy, { q, k, v, P, y });
        const sum = (x: tf.Tensor) =>
          keyTables.map((places) => collect(x, places)).reduce((a, b) => tf.add(a, b));
        return [collect(dq, queryPlaces), sum(dk), sum(dv)];
      },
    };
  });
}

/** The attention weights of every group: [B, groups, heads, M, K]. */
export function groupedAttentionWeights(
  { groups, heads, M, K, queryRows, keyRows, mask }: GroupPlan,
  { q, k }: { q: tf.Tensor; k: tf.Tensor },
): tf.Tensor {
  const [B, , , d] = q.shape as [number, number, number, number];
  return attentionWeights(
    tf.reshape(pick(q, queryRows), [B, groups, heads, M, d]),
    tf.reshape(pick(k, keyRows), [B, groups, heads, K, d]),
    mask,
  );
}

/** Rows of [B, …, d] by index: [B, indices, d]. */
function pick(x: tf.Tensor, index: tf.Tensor): tf.Tensor {
  const B = x.shape[0], d = x.shape[x.rank - 1];
  return tf.gather(tf.reshape(x, [B, -1, d]), index as tf.Tensor1D, 1);
}

/** 0 where a key is seen, MASKED elsewhere. */
function maskFrom(sees: Uint8Array): Float32Array {
  const mask = new Float32Array(sees.length);
  for (let i = 0; i < sees.length; i++) if (!sees[i]) mask[i] = MASKED;
  return mask;
}

/** From members [groups, n] to the row of each place (group, head, i), −1 at empty places. */
function rowsByPlace(
  members: Int32Array,
  { groups, heads }: { groups: number; heads: number },
): Int32Array {
  const n = members.length / groups;
  const rows = new Int32Array(members.length * heads);
  let place = 0;
  for (let group = 0; group < groups; group++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < n; i++) {
        const token = members[group * n + i];
        rows[place++] = token < 0 ? -1 : token * heads + head;
      }
    }
  }
  return rows;
}

/** The places that hold each row. */
function placesByRow(rowOfPlace: Int32Array, rows: number): number[][] {
  const places: number[][] = Array.from({ length: rows }, () => []);
  rowOfPlace.forEach((row, place) => row >= 0 && places[row].push(place));
  return places;
}
