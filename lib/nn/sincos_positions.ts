import { type Grid, tokensOf } from "./attention_kind.ts";

/**
 * The fixed additive position table of rows R1 to C of the paper's Table 1 (that of MAE and DiT): for cell (y, x) of
 * the grid, [sin x ω, cos x ω, sin y ω, cos y ω] with ω_j = 10000^(−j / (width/4)); the fastest axis comes first, and
 * with one or three axes ω has width/2 or width/6 entries.
 *
 * Returns [tokens, width], row by row. Throws a RangeError unless width is a multiple of twice the number of axes.
 */
export function sincosPositions({ grid, width }: { grid: Grid; width: number }): Float32Array {
  const n = width / (2 * grid.length);
  if (!(Number.isInteger(n) && n > 0)) {
    throw new RangeError(
      `Cannot make a sin-cos position table as the width must be a multiple of ${
        2 * grid.length
      }: width is ${width}`,
    );
  }
  const frequencies = sincosFrequencies(n);
  const table = new Float32Array(tokensOf(grid) * width);
  for (let cell = 0; cell < tokensOf(grid); cell++) {
    let rest = cell, at = cell * width;
    for (const side of [...grid].reverse()) {
      for (let j = 0; j < n; j++) {
        const angle = (rest % side) * frequencies[j];
        table[at + j] = Math.sin(angle);
        table[at + n + j] = Math.cos(angle);
      }
      rest = Math.floor(rest / side);
      at += 2 * n;
    }
  }
  return table;
}

/** ω_j = 10000^(−j / n). */
export function sincosFrequencies(n: number): number[] {
  return Array.from({ length: n }, (_, j) => 10000 ** (-j / n));
}
