/**
 * Positions of grid cells as [tokens, axes] numbers, the slowest axis first: y then x, row by row.
 *
 * @module
 */
import { type Grid, tokensOf } from "./attention_kind.ts";

/** Positions on a grid: `data[axes · i + a]` is the position of cell i on axis a. */
export type AxialPositions = { grid: Grid; data: Float32Array };

/**
 * Centres of the cells of a grid; the longest side spans [−1, 1], the others as much less as they are shorter: with
 * aspect a = w / h, y stays within ±1/a where a > 1, x within ±a where a < 1.
 *
 * `pixelAspectRatio` is the height of a pixel over its width; `alignCorners` puts the first and last cell on the
 * ends instead of half a cell within. The model uses neither.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { axialPositions } from "./axial_positions.ts";
 *
 * assert.deepEqual(Array.from(axialPositions([1, 2]).data), [0, -0.5, 0, 0.5]);
 * ```
 */
export function axialPositions(
  grid: Grid,
  { pixelAspectRatio = 1, alignCorners = false } = {},
): AxialPositions {
  const rows = grid.length - 2;
  const lengths = grid.map((side, axis) => axis === rows ? side * pixelAspectRatio : side);
  const longest = Math.max(...lengths);
  const places = grid.map((side, axis) => spread(side, lengths[axis] / longest, alignCorners));
  const data = new Float32Array(tokensOf(grid) * grid.length);
  for (let i = 0; i < tokensOf(grid); i++) {
    cellOf(i, grid).forEach((at, axis) => data[i * grid.length + axis] = places[axis][at]);
  }
  return { grid, data };
}

/**
 * Centres of the cells of a grid at the pitch of a training grid: a larger grid goes beyond ±1 and tokens keep
 * the distances they were trained with, where {@link axialPositions} would put them closer together. The grids share
 * their centre; on the training grid both functions agree.
 */
export function positionsAtPitch(
  grid: Grid,
  { trainingGrid }: { trainingGrid: Grid },
): AxialPositions {
  const pitch = Math.max(...grid) / Math.max(...trainingGrid);
  return { grid, data: axialPositions(grid).data.map((v) => v * pitch) };
}

/** Mean position of each block of two cells an axis: the grid one level down. Throws a RangeError for odd sides. */
export function downscalePositions({ grid, data }: AxialPositions): AxialPositions {
  if (!grid.every((side) => side % 2 === 0)) {
    throw new RangeError(
      `Cannot halve the grid of positions as its sides must be even: grid is ${grid.join(" × ")}`,
    );
  }
  const axes = grid.length, coarse = grid.map((side) => side / 2);
  const sums = new Float64Array(data.length / 2 ** axes);
  for (let i = 0; i < tokensOf(grid); i++) {
    const block = cellOf(i, grid).reduce((n, at, axis) => n * coarse[axis] + (at >> 1), 0);
    for (let axis = 0; axis < axes; axis++) sums[block * axes + axis] += data[i * axes + axis];
  }
  return { grid: coarse, data: Float32Array.from(sums, (sum) => sum / 2 ** axes) };
}

/** Coordinates of cell i. */
function cellOf(i: number, grid: Grid): number[] {
  const cell = [...grid];
  for (let axis = grid.length - 1; axis >= 0; axis--) {
    cell[axis] = i % grid[axis];
    i = Math.floor(i / grid[axis]);
  }
  return cell;
}

function spread(n: number, span: number, alignCorners: boolean): number[] {
  return Array.from({ length: n }, (_, i) => {
    if (!alignCorners) return span * ((2 * i + 1) / n - 1);
    return n === 1 ? -span : span * (2 * i / (n - 1) - 1);
  });
}
