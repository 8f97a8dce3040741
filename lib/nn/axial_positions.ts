/**
 * Positions of grid cells as [h·w, 2] numbers, y then x, row by row.
 *
 * @module
 */

/** Positions on a grid: `data[2 i]` is y and `data[2 i + 1]` is x of cell i. */
export type AxialPositions = { h: number; w: number; data: Float32Array };

/**
 * Centres of the cells of an h × w grid; the longer side spans [−1, 1], the shorter as much less as it is
 * shorter: with aspect a = w / h, y stays within ±1/a where a > 1, x within ±a where a < 1.
 *
 * `pixelAspectRatio` is the height of a pixel over its width; `alignCorners` puts the first and last cell on the
 * ends instead of half a cell within. The model uses neither.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { axialPositions } from "./axial_positions.ts";
 *
 * assert.deepEqual(Array.from(axialPositions(1, 2).data), [0, -0.5, 0, 0.5]);
 * ```
 */
export function axialPositions(
  h: number,
  w: number,
  { pixelAspectRatio = 1, alignCorners = false } = {},
): AxialPositions {
  const aspect = w / (h * pixelAspectRatio);
  const spanY = aspect > 1 ? 1 / aspect : 1;
  const spanX = aspect > 1 ? 1 : aspect;
  const ys = spread(h, spanY, alignCorners), xs = spread(w, spanX, alignCorners);
  const data = new Float32Array(h * w * 2);
  for (let i = 0; i < h * w; i++) {
    data[2 * i] = ys[Math.floor(i / w)];
    data[2 * i + 1] = xs[i % w];
  }
  return { h, w, data };
}

/** Mean position of each 2 × 2 block: the grid one level down. Throws a RangeError for odd sides. */
export function downscalePositions({ h, w, data }: AxialPositions): AxialPositions {
  if (!(h % 2 === 0 && w % 2 === 0)) {
    throw new RangeError(
      `Cannot halve the grid of positions as its sides must be even: grid is ${h} × ${w}`,
    );
  }
  const out = new Float32Array(h * w / 2);
  for (let y = 0; y < h / 2; y++) {
    for (let x = 0; x < w / 2; x++) {
      for (const axis of [0, 1]) {
        const at = (dy: number, dx: number) => data[((2 * y + dy) * w + 2 * x + dx) * 2 + axis];
        out[(y * w / 2 + x) * 2 + axis] = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4;
      }
    }
  }
  return { h: h / 2, w: w / 2, data: out };
}

function spread(n: number, span: number, alignCorners: boolean): number[] {
  return Array.from({ length: n }, (_, i) => {
    if (!alignCorners) return span * ((2 * i + 1) / n - 1);
    return n === 1 ? -span : span * (2 * i / (n - 1) - 1);
  });
}
