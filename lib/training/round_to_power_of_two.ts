/**
 * `x` rounded to a multiple of the largest power of two that keeps the relative error within
 * `tolerance`; the nearest whole number when none does. The reference rounds hidden widths so.
 */
export function roundToPowerOfTwo(x: number, tolerance: number): number {
  if (!(x >= 1 && x < Infinity)) {
    throw new RangeError(`Cannot round as x must be a finite number >= 1: x is ${x}`);
  }
  for (let unit = 2 ** (Math.ceil(Math.log2(x)) - 1); unit >= 1; unit /= 2) {
    const rounded = Math.round(x / unit) * unit;
    if (Math.abs(rounded - x) <= tolerance * x) return rounded;
  }
  return Math.round(x);
}
