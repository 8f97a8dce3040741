/**
 * Windows around every token, as groups of dense products: the grid is cut into tiles; a tile's queries attend to the
 * keys of the tile and of a halo of k >> 1 around it, and a mask leaves every query its own window. Time and memory
 * grow with the number of tokens.
 *
 * @module
 */
import type { Groups } from "./grouped_attention.ts";

/** A grid, the side of a window, and the step between the tokens of a window (1 by default). */
export type WindowedGrid = { h: number; w: number; kernelSize: number; dilation?: number };
/** Sides of a tile. */
export type Tile = { ty: number; tx: number };
/** The window of position i on an axis: from its first position to the one after its last, at most k >> 1 from i or shifted inwards. */
export type WindowRule = (
  i: number,
  axis: { length: number; kernelSize: number },
) => { from: number; to: number };

/**
 * The tiles of a grid with their halos, as groups; `rule` is applied to rows and columns.
 *
 * With dilation, tokens whose row and column leave the same remainders form a grid of their own, as in NATTEN: each
 * residue class is cut into tiles apart.
 */
export function windowGroups(
  { h, w, kernelSize, dilation = 1 }: WindowedGrid,
  { rule, tile: { ty, tx } }: { rule: WindowRule; tile: Tile },
): Groups {
  const axis = (length: number, t: number) =>
    Array.from({ length: dilation }, (_, residue) => {
      const [own, longest] = [length - residue, length].map((n) => Math.ceil(n / dilation));
      return axisTiles({ length: own, longest, t, kernelSize, rule });
    });
  const [allRows, allColumns] = [axis(h, ty), axis(w, tx)];
  const [{ n: ny, side: sy }, { n: nx, side: sx }] = [allRows[0], allColumns[0]];
  const M = ty * tx, K = sy * sx, groups = ny * nx * dilation ** 2;
  const queries = new Int32Array(groups * M), keys = new Int32Array(groups * K);
  const sees = new Uint8Array(groups * M * K);
  let group = 0;
  for (const [ry, rows] of allRows.entries()) {
    for (const [rx, columns] of allColumns.entries()) {
      const token = (y: number, x: number) =>
        y < 0 || y >= rows.length || x < 0 || x >= columns.length
          ? -1
          : (y * dilation + ry) * w + x * dilation + rx;
      for (let tileY = 0; tileY < ny; tileY++) {
        for (let tileX = 0; tileX < nx; tileX++, group++) {
          for (let j = 0; j < K; j++) {
            const y = tileY * ty - rows.halo + Math.floor(j / sx);
            const x = tileX * tx - columns.halo + j % sx;
            keys[group * K + j] = token(y, x);
          }
          for (let i = 0; i < M; i++) {
            const y = tileY * ty + Math.floor(i / tx), x = tileX * tx + i % tx;
            queries[group * M + i] = token(y, x);
            for (let a = rows.from[y]; a < rows.to[y]; a++) {
              const row = (group * M + i) * K + a * sx;
              sees.fill(1, row + columns.from[x], row + columns.to[x]);
            }
          }
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
export function chooseTile({ h, w, kernelSize, dilation = 1 }: WindowedGrid): Tile {
  const half = kernelSize >> 1;
  const [rows, columns] = [h, w].map((length) => ({
    longest: Math.ceil(length / dilation), // of the residue classes
    shortest: Math.floor(length / dilation),
  }));
  const sides = ({ longest, shortest }: typeof rows) => {
    const shorter = Array.from({ length: Math.min(longest - 1, MAX_TILE) }, (_, i) => i + 1);
    const last = (t: number) => shortest - (Math.ceil(longest / t) - 1) * t;
    return [longest, ...shorter.filter((t) => t > half && last(t) > half)];
  };
  const [ny, nx] = [rows.longest, columns.longest];
  let best = { ty: ny, tx: nx }, least = Infinity;
  for (const ty of sides(rows)) {
    for (const tx of sides(columns)) {
      const wy = ty < ny ? ty + 2 * half : ny, wx = tx < nx ? tx + 2 * half : nx;
      const padded = Math.ceil(ny / ty) * ty * Math.ceil(nx / tx) * tx / (ny * nx);
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

/** One axis cut into n tiles of t, with a halo on both sides. */
type AxisTiles = {
  length: number;
  n: number;
  halo: number;
  /** Keys along the axis: the tile and its halo. */
  side: number;
  /** The window of each position, counted from the tile's first key. */
  from: Int32Array;
  to: Int32Array;
};

/** An axis of `length` tokens in as many tiles as the longest of the residue classes needs. */
function axisTiles(
  { length, longest, t, kernelSize, rule }: {
    length: number;
    longest: number;
    t: number;
    kernelSize: number;
    rule: WindowRule;
  },
): AxisTiles {
  const n = Math.ceil(longest / t), half = kernelSize >> 1;
  const last = length - (n - 1) * t;
  if (!(n === 1 || t > half && last > half)) {
    throw new RangeError(
      `Cannot cut the grid into tiles as each must hold more than ${half} rows: tiles are ${t}, the last is ${last}`,
    );
  }
  const halo = n > 1 ? half : 0;
  const from = new Int32Array(n * t), to = new Int32Array(n * t);
  for (let i = 0; i < n * t; i++) {
    // an empty place takes the window of the last position: nothing comes of it, but it stays finite
    const window = rule(Math.min(i, length - 1), { length, kernelSize });
    const first = Math.floor(i / t) * t - halo;
    from[i] = window.from - first;
    to[i] = window.to - first;
  }
  return { length, n, halo, side: t + 2 * halo, from, to };
}
