/**
 * The fixed additive position table of rows A to C of the paper's Table 1 (that of MAE and DiT): for cell (y, x) of
 * the grid, [sin x ω, cos x ω, sin y ω, cos y ω] with ω_j = 10000^(−j / (width/4)).
 *
 * Returns [h·w, width], row by row. Throws a RangeError unless width is a multiple of 4.
 */
export function sincosPositions(
  { h, w, width }: { h: number; w: number; width: number },
): Float32Array {
  if (!(Number.isInteger(width) && width > 0 && width % 4 === 0)) {
    throw new RangeError(
      `Cannot make a sin-cos position table as the width must be a multiple of 4: width is ${width}`,
    );
  }
  const n = width / 4;
  const table = new Float32Array(h * w * width);
  for (let cell = 0; cell < h * w; cell++) {
    for (let j = 0; j < n; j++) {
      const omega = 10000 ** (-j / n);
      const x = (cell % w) * omega, y = Math.floor(cell / w) * omega;
      const at = cell * width + j;
      table[at] = Math.sin(x);
      table[at + n] = Math.cos(x);
      table[at + 2 * n] = Math.sin(y);
      table[at + 3 * n] = Math.cos(y);
    }
  }
  return table;
}
