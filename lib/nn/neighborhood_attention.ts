/**
 * Neighborhood attention (paper, §4.2; NATTEN's semantics): a query sees the k × k window centred on it, moved
 * inwards at the borders so that it always holds exactly k² keys.
 *
 * The grid is cut into tiles. A tile's queries attend to the keys of the tile and of a halo of k >> 1 around it, as
 * one dense product for all tiles, and a mask leaves every query its own window. Time and memory grow with the
 * number of tokens.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Attention } from "./attention.ts";
import {
  groupedAttention,
  groupedAttentionWeights,
  type Groups,
  planGroups,
} from "./grouped_attention.ts";

/** A grid and the side of a window. */
export type Neighborhoods = { h: number; w: number; kernelSize: number };
/** Sides of a tile. */
export type Tile = { ty: number; tx: number };

/** First row (or column) of the window of position i: clamp(i − (k >> 1), 0, length − k). */
export function windowStart(
  i: number,
  { length, kernelSize }: { length: number; kernelSize: number },
): number {
  return Math.min(Math.max(i - (kernelSize >> 1), 0), length - kernelSize);
}

/** Throws a RangeError unless the kernel is odd and fits the grid. */
export function checkNeighborhood({ h, w, kernelSize }: Neighborhoods): void {
  if (!(Number.isInteger(kernelSize) && kernelSize >= 1 && kernelSize % 2 === 1)) {
    throw new RangeError(
      `Cannot attend to neighborhoods as kernelSize must be odd and at least 1: kernelSize is ${kernelSize}`,
    );
  }
  if (!(kernelSize <= h && kernelSize <= w)) {
    throw new RangeError(
      `Cannot attend to neighborhoods as kernelSize must not exceed the grid: kernelSize is ${kernelSize}, grid is ${h} × ${w}`,
    );
  }
}

/** Neighborhood attention on an h × w grid; `tile` is chosen where it is not given. */
export function neighborhoodAttention(
  { heads, tile, ...grid }: Neighborhoods & { heads: number; tile?: Tile },
): Attention {
  const plan = planGroups(neighborhoodGroups(grid, tile), { heads });
  return { attend: (q, k, v) => groupedAttention(plan, { q, k, v }) };
}

/**
 * The attention weights of every query over its window: [B, h, w, heads, k, k] for q and k of [B, h, w, heads, d],
 * with scale 1. Entry (i, j) belongs to row `windowStart(y) + i` and column `windowStart(x) + j`.
 */
export function neighborhoodAttentionWeights(
  q: tf.Tensor,
  k: tf.Tensor,
  { kernelSize }: { kernelSize: number },
): tf.Tensor {
  return tf.tidy(() => {
    const [B, h, w, heads, d] = q.shape as [number, number, number, number, number];
    const groups = neighborhoodGroups({ h, w, kernelSize });
    const flat = (x: tf.Tensor) => tf.reshape(x, [B, h * w, heads, d]);
    const plan = planGroups(groups, { heads });
    const P = groupedAttentionWeights(plan, { q: flat(q), k: flat(k) });
    const index = tf.tensor1d(weightPlaces(groups, { heads, window: kernelSize ** 2 }), "int32");
    const weights = tf.gather(tf.reshape(P, [B, -1]), index, 1);
    return tf.reshape(weights, [B, h, w, heads, kernelSize, kernelSize]);
  });
}

/** The tiles of a grid with their halos, as groups. */
export function neighborhoodGroups(grid: Neighborhoods, tile = chooseTile(grid)): Groups {
  checkNeighborhood(grid);
  const { h, w, kernelSize } = grid;
  const rows = axisTiles({ length: h, t: tile.ty, kernelSize });
  const columns = axisTiles({ length: w, t: tile.tx, kernelSize });
  const M = rows.t * columns.t, K = rows.side * columns.side;
  const groups = rows.n * columns.n;
  const token = (y: number, x: number) => y < 0 || y >= h || x < 0 || x >= w ? -1 : y * w + x;
  const queries = new Int32Array(groups * M), keys = new Int32Array(groups * K);
  const sees = new Uint8Array(groups * M * K);
  for (let group = 0; group < groups; group++) {
    const ty = Math.floor(group / columns.n), tx = group % columns.n;
    for (let j = 0; j < K; j++) {
      const y = ty * rows.t - rows.halo + Math.floor(j / columns.side);
      const x = tx * columns.t - columns.halo + j % columns.side;
      keys[group * K + j] = token(y, x);
    }
    for (let i = 0; i < M; i++) {
      const y = ty * rows.t + Math.floor(i / columns.t), x = tx * columns.t + i % columns.t;
      queries[group * M + i] = token(y, x);
      for (let a = 0; a < kernelSize; a++) {
        for (let b = 0; b < kernelSize; b++) {
          const key = (rows.starts[y] + a) * columns.side + columns.starts[x] + b;
          sees[(group * M + i) * K + key] = 1;
        }
      }
    }
  }
  return { tokens: h * w, groups, queries, keys, sees };
}

/**
 * The tile sides with the smallest estimated cost.
 *
 * An axis of one tile needs no halo. With more, every tile needs (k >> 1) + 1 real rows, so that windows that were moved
 * inwards stay within tile and halo.
 */
export function chooseTile({ h, w, kernelSize }: Neighborhoods): Tile {
  const half = kernelSize >> 1;
  const sides = (length: number) => {
    const shorter = Array.from({ length: Math.min(length - 1, MAX_TILE) }, (_, i) => i + 1);
    return [length, ...shorter.filter((t) => t > half && (length - 1) % t + 1 > half)];
  };
  let best = { ty: h, tx: w }, least = Infinity;
  for (const ty of sides(h)) {
    for (const tx of sides(w)) {
      const wy = ty < h ? ty + 2 * half : h, wx = tx < w ? tx + 2 * half : w;
      const padded = Math.ceil(h / ty) * ty * Math.ceil(w / tx) * tx / (h * w);
      // per query and channel: products (slower where tiles are small), and rows copied
      const cost = padded * (wy * wx * (1 + SMALL / (ty * tx)) + COPY * wy * wx / (ty * tx));
      if (cost < least) [best, least] = [{ ty, tx }, cost];
    }
  }
  return best;
}

/** No tile side is tried above this, but for one tile that is the whole axis. */
const MAX_TILE = 32;
/** Queries in a tile at which a product runs at half its rate (measured on ONNX Runtime, d = 64). */
const SMALL = 40;
/** Cost of a copied key and value, in keys that a query is multiplied with (measured likewise). */
const COPY = 20;

/** One axis cut into tiles of t. */
type AxisTiles = {
  n: number;
  t: number;
  halo: number;
  /** Keys along the axis: the tile and its halo. */
  side: number;
  /** First key of each position's window, counted from the tile's first key. */
  starts: Int32Array;
};

function axisTiles(
  { length, t, kernelSize }: { length: number; t: number; kernelSize: number },
): AxisTiles {
  const n = Math.ceil(length / t), half = kernelSize >> 1;
  const last = length - (n - 1) * t;
  if (!(n === 1 || t > half && last > half)) {
    throw new RangeError(
      `Cannot cut the grid into tiles as each must hold more than ${half} rows: tiles are ${t}, the last is ${last}`,
    );
  }
  const halo = n > 1 ? half : 0;
  const starts = Int32Array.from({ length: n * t }, (_, i) => {
    // an empty place takes the window of the last position: nothing comes of it, but it stays finite
    const tile = Math.floor(i / t), real = Math.min(i, length - 1);
    return windowStart(real, { length, kernelSize }) - (tile * t - halo);
  });
  return { n, t, halo, side: t + 2 * halo, starts };
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
