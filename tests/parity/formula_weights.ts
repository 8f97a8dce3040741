/**
 * Weights and images that fixtures give by a formula, since they would be too large to store.
 *
 * @module
 */

/**
 * Element i of tensor `name`, in row-major order: u in [-1, 1), a hash of the name and of i.
 *
 * x = i · 2654435761 + FNV-1a(name), both mod 2³², then MurmurHash3's finaliser, then x / 2³¹ − 1.
 * Where a fixture has a salt, it stands before the name.
 */
export function formulaUniform(name: string, n: number): Float64Array {
  const start = fnv1a(name);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = (Math.imul(i, 2654435761) + start) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    out[i] = ((x ^ (x >>> 16)) >>> 0) / 2 ** 32 * 2 - 1;
  }
  return out;
}

/** FNV-1a of a name's UTF-8 bytes, 32 bits. */
function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * Image `k`, [height, width, 3] in row-major order, values in [0, 1] as float32:
 * ½ + ½ sin(0.1 x (c + 1) + 0.07 y + k) cos(0.05 (x + y) + 1.3 k).
 */
export function formulaImage(
  k: number,
  { height, width }: { height: number; width: number },
): Float32Array {
  return Float32Array.from({ length: height * width * 3 }, (_, i) => {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    const wave = Math.sin(0.1 * x * (c + 1) + 0.07 * y + k) * Math.cos(0.05 * (x + y) + 1.3 * k);
    return 0.5 + 0.5 * wave;
  });
}
