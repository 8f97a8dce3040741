/**
 * Windows around every token, as groups of dense products: the grid is cut into tiles; a tile's queries attend to the
 * keys of the tile and of a halo of k >> 1 around it, and a mask leaves every query its own window. Time and memory
 * grow with the number of tokens.
 *
 * @module
 */
import type { Grid } from "./attention_kind.ts";
import { crossGroups, type Groups } from "./grouped_attention.ts";

/** A grid, the side of a window, and the step between the tokens of a window (1 by default). */
export type WindowedGrid = { grid: Grid; kernelSize: number; dilation?: number };
/** Sides of a tile, one an axis. */
export type Tile = readonly number[];
/** The window of position i on an axis: its first position, and the one after its last. */
export type WindowRule = (
  i: number,
  axis: { length: number; kernelSize: number },
) => { from: number; to: number };

/**
 * The tiles of a grid with their halos, as groups; `rule` is applied to each axis.
 *
 * With dilation, tokens whose coordinates leave the same remainders form a grid of their own, as in NATTEN: each
 * residue class is cut into tiles apart.
 */
export function windowGroups(
  { grid, kernelSize, dilation = 1 }: WindowedGrid,
  { rule, tile }: { rule: WindowRule; tile: Tile },
): Groups {
  return grid
    .map((length, axis) => axisGroups({ length, kernelSize, dilation, rule, t: tile[axis] }))
    .reduce(crossGroups);
}

/** One axis cut into tiles of t, with a halo on both sides, for each residue class. */
function axisGroups(
  { length, kernelSize, dilation, t, rule }: {
    length: number;
    kernelSize: number;
    dilation: number;
    t: number;
    rule: WindowRule;
  },
): Groups {
  const half = kernelSize >> 1;
  const classLength = (residue: number) => Math.ceil((length - residue) / dilation);
  const n = Math.ceil(classLength(0) / t), last = classLength(dilation - 1) - (n - 1) * t;
  if (!(n === 1 || t > half && last > half)) {
    throw new RangeError(
      `Cannot cut the grid into tiles as each must hold more than ${half} rows: tiles are ${t}, the last is ${last}`,
    );
  }
  const halo = n > 1 ? half : 0, K = t + 2 * halo, groups = n * dilation;
  const queries = new Int32Array(groups * t), keys = new Int32Array(groups * K);
  const sees = new Uint8Array(groups * t * K);
  for (let group = 0; group < groups; group++) {
    const residue = Math.floor(group / n), own = classLength(residue), start = group % n * t;
    const token = (i: number) => i < 0 || i >= own ? -1 : i * dilation + residue;
    for (let j = 0; j < K; j++) keys[group * K + j] = token(start - halo + j);
    for (let i = 0; i < t; i++) {
      queries[group * t + i] = token(start + i);
      // an empty place takes the window of the last position: nothing comes of it, but it stays finite
      const { from, to } = rule(Math.min(start + i, own - 1), { length: own, kernelSize });
      const row = (group * t + i) * K - (start - halo);
      sees.fill(1, row + from, row + to);
    }
  }
  return { tokens: length, groups, queries, keys, sees };
}

/**
 * The tile sides with the smallest estimated cost.
 *
 * An axis of one tile needs no halo. With more, every tile needs (k >> 1) + 1 real rows, so that windows that were moved
 * inwards stay within tile and halo.
 */
export function chooseTile({ grid, kernelSize, dilation = 1 }: WindowedGrid): Tile {
  const half = kernelSize >> 1;
  const longest = grid.map((length) => Math.ceil(length / dilation)); // of the residue classes
  const sides = grid.map((length, axis) => {
    const [most, least] = [longest[axis], Math.floor(length / dilation)];
    const shorter = Array.from({ length: Math.min(most - 1, MAX_TILE) }, (_, i) => i + 1);
    const last = (t: number) => least - (Math.ceil(most / t) - 1) * t;
    return [most, ...shorter.filter((t) => t > half && last(t) > half)];
  });
  const product = (of: (t: number, length: number) => number) => (tile: Tile) =>
    tile.reduce((n, t, axis) => n * of(t, longest[axis]), 1);
  const queriesOf = product((t) => t);
  const keysOf = product((t, length) => t < length ? t + 2 * half : length);
  const padded = product((t, length) => Math.ceil(length / t) * t / length);
  let best: Tile = longest, least = Infinity;
  for (
    const tile of sides.reduce<Tile[]>((all, ts) => all.flatMap((a) => ts.map((t) => [...a, t])), [
      [],
    ])
  ) {
    const queries = queriesOf(tile), keys = keysOf(tile);
    // per query and channel: products (slower where tiles are small), and rows copied
    const cost = padded(tile) * (keys * (1 + SMALL / queries) + COPY * keys / queries);
    if (cost < least) [best, least] = [tile, cost];
  }
  return best;
}

/** No tile side is tried above this, but for one tile that is the whole axis. */
const MAX_TILE = 32;
/** Queries in a tile at which a product runs at half its rate (measured on ONNX Runtime, d = 64). */
const SMALL = 40;
/** Cost of a copied key and value, in keys that a query is multiplied with (measured likewise). */
const COPY = 20;
