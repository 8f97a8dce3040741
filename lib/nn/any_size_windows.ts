/**
 * Windows and tiles of one axis with tables that are computed by operations (see `any_size_groups.ts`), and attention
 * of them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  type AnySizeGroups,
  column,
  crossAnySizeGroups,
  int,
  pairs,
  planAnySizeGroups,
  range,
} from "./any_size_groups.ts";
import type { Attention } from "./attention.ts";
import type { Grid } from "./attention_kind.ts";
import { groupedAttention } from "./grouped_attention.ts";

/** Tiles are no larger, where sides have so many divisors. */
const MAX_TILE = 8;

/** Neighborhoods or sliding windows: tiles of the largest side up to 8 that divides all grids. */
export function anySizeWindowAttention(
  { kernelSize, dilation = 1, moved }: { kernelSize: number; dilation?: number; moved: boolean },
  { grid, heads, multiples }: { grid: Grid; heads: number; multiples: Grid },
): Attention {
  const groups = grid.map((length, axis) => {
    const t = largestDivisor(multiples[axis] / dilation, MAX_TILE);
    return anySizeTiles({ length, kernelSize, dilation, t, moved });
  }).reduce(crossAnySizeGroups);
  const plan = planAnySizeGroups(groups, { heads });
  return { attend: (q, k, v) => groupedAttention(plan, { q, k, v }) };
}

/** Shifted windows. */
export function anySizeShiftedWindowAttention(
  { windowSize: size }: { windowSize: number },
  { grid, heads }: { grid: Grid; heads: number },
): Attention {
  const plans = [0, size >> 1].map((shift) => {
    const groups = grid.map((length) => anySizeWindows({ length, size, shift }));
    return planAnySizeGroups(groups.reduce(crossAnySizeGroups), { heads });
  });
  return { attend: (q, k, v, layer) => groupedAttention(plans[layer % 2], { q, k, v }) };
}

/**
 * Tiles of t along an axis whose length is a multiple of t · dilation, with the keys of a halo of k >> 1.
 *
 * A tile's first key is clamp(start − (k >> 1), 0, length − K), so that no key is outside: windows that were moved
 * inwards stay among them. Where the axis is shorter than K, the first keys would be negative: nothing sees them.
 * `moved`: windows are moved inwards at the borders (neighborhoods); else cut off.
 */
export function anySizeTiles(
  { length, kernelSize: k, dilation = 1, t, moved }: {
    length: number;
    kernelSize: number;
    dilation?: number;
    t: number;
    moved: boolean;
  },
): AnySizeGroups {
  const half = k >> 1, K = t + k - 1, own = length / dilation, n = own / t; // of a residue class
  const within = (x: tf.Tensor, most: number) => tf.minimum(tf.maximum(x, int(0)), int(most));
  const first = tf.sub(tf.mul(range(n), int(t)), int(half));
  const queries = pairs(range(n), range(t), t); // [n, t]
  const keys = tf.add(column(within(first, own - K)), range(K)); // [n, K]
  const centre = tf.sub(queries, int(half));
  const from = moved ? within(centre, own - k) : tf.maximum(centre, int(0));
  const to = moved ? tf.add(from, int(k)) : tf.add(centre, int(k));
  const key = tf.reshape(keys, [n, 1, K]), bound = (x: tf.Tensor) => tf.reshape(x, [n, t, 1]);
  const sees = tf.logicalAnd(tf.greaterEqual(key, bound(from)), tf.less(key, bound(to)));
  // residue classes one after the other: token i · dilation + r of class r
  const spread = (x: tf.Tensor, m: number) =>
    tf.reshape(
      tf.add(
        tf.reshape(tf.mul(x, int(dilation)), [1, n, m]),
        tf.reshape(range(dilation), [-1, 1, 1]),
      ),
      [dilation * n, m],
    );
  const groupInClass = tf.reshape(tf.broadcastTo(column(range(n)), [n, t]), [own]);
  return {
    tokens: length,
    groups: dilation * n,
    M: t,
    K,
    queries: spread(queries, t),
    keys: spread(tf.maximum(keys, int(0)), K),
    sees: tf.tile(sees, [dilation, 1, 1]),
    group: tf.reshape(tf.transpose(pairs(range(dilation), groupInClass, n)), [length]),
    place: tf.reshape(
      tf.broadcastTo(tf.reshape(range(t), [1, t, 1]), [n, t, dilation]),
      [length],
    ),
  };
}

/** Windows of `size` along an axis, moved cyclically by `shift`; those with both of its ends do not mix them. */
export function anySizeWindows(
  { length, size, shift }: { length: number; size: number; shift: number },
): AnySizeGroups {
  const n = length / size;
  const turned = (x: tf.Tensor, by: number) =>
    by === 0 ? x : tf.concat([tf.slice(x, [by], [length - by]), tf.slice(x, [0], [by])]);
  const members = tf.reshape(turned(range(length), (length - shift) % length), [n, size]);
  const early = tf.less(range(size), int(shift)); // of the other end, in the first window
  const apart = tf.notEqual(tf.cast(column(early), "int32"), tf.cast(early, "int32"));
  const isFirst = tf.reshape(tf.equal(range(n), int(0)), [n, 1, 1]);
  const sees = tf.logicalNot(tf.logicalAnd(isFirst, tf.reshape(apart, [1, size, size])));
  const group = tf.reshape(tf.broadcastTo(column(range(n)), [n, size]), [length]);
  const place = tf.reshape(tf.broadcastTo(tf.reshape(range(size), [1, size]), [n, size]), [length]);
  return {
    tokens: length,
    groups: n,
    M: size,
    K: size,
    queries: members,
    keys: members,
    sees,
    group: turned(group, shift),
    place: turned(place, shift),
  };
}

function largestDivisor(n: number, most: number): number {
  let divisor = Math.min(n, most);
  while (n % divisor !== 0) divisor--;
  return divisor;
}
