/**
 * Random numbers from a counter: Philox 4×32-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", 2011). Number `i` of block `counter` of a stream is a pure function of
 * (seed, stream, counter, i), so every engine draws the same numbers, a run that was stopped
 * goes on with the right ones, and a sample does not depend on the batch it is drawn in.
 *
 * @module
 */

import { type Address, normalKernel } from "./normal_kernel.ts";

/** A named stream of random numbers; different names or seeds give independent streams. */
export type Stream = { readonly seed: number; readonly stream: string };

/** FNV-1a, 32 bits, over the UTF-16 units of a string. */
function hash(text: string, basis: number): number {
  let h = basis;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

function checkSeed(seed: number): void {
  if (!(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new RangeError(
      `Cannot draw random numbers as the seed must be a whole number >= 0: seed is ${seed}`,
    );
  }
}

/**
 * Fills `out` with Philox 4×32-10 under one key: words 4i to 4i+3 come from the 128-bit counter
 * (i, counter[0], counter[1], counter[2]), each a 32-bit word.
 */
export function philox(
  out: Uint32Array,
  { key, counter }: Address,
): void {
  for (let i = 0; i < out.length; i += 4) {
    let c0 = i >>> 2, c1 = counter[0], c2 = counter[1], c3 = counter[2];
    let k0 = key[0], k1 = key[1];
    for (let round = 0; round < 10; round++) {
      const high0 = highProduct(c0, 0xd251, 0x1f53), low0 = Math.imul(c0, 0xd2511f53);
      const high1 = highProduct(c2, 0xcd9e, 0x8d57), low1 = Math.imul(c2, 0xcd9e8d57);
      c0 = high1 ^ c1 ^ k0;
      c1 = low1;
      c2 = high0 ^ c3 ^ k1;
      c3 = low0;
      k0 = (k0 + 0x9e3779b9) | 0;
      k1 = (k1 + 0xbb67ae85) | 0;
    }
    out[i] = c0;
    if (i + 1 < out.length) out[i + 1] = c1;
    if (i + 2 < out.length) out[i + 2] = c2;
    if (i + 3 < out.length) out[i + 3] = c3;
  }
}

/** The upper word of a 32 × 32-bit product, by halves; the second factor is given by its halves. */
function highProduct(a: number, high: number, low: number): number {
  const a0 = a & 0xffff, a1 = a >>> 16;
  const p = (Math.imul(high, a0) + (Math.imul(low, a0) >>> 16)) | 0;
  const q = (Math.imul(low, a1) + (p & 0xffff)) | 0;
  return (Math.imul(high, a1) + (p >>> 16) + (q >>> 16)) | 0;
}

/** The `n` raw 32-bit words of block `counter` of a stream. */
export function randomWords(stream: Stream, counter: number, n: number): Uint32Array {
  const out = new Uint32Array(n);
  philox(out, addressOf(stream, counter, 0));
  return out;
}

/** The key of a stream and the counter of a block; `lane` 0 is the block itself. */
function addressOf(
  { seed, stream }: Stream,
  counter: number,
  lane: number,
): Address {
  checkSeed(seed);
  if (!(Number.isSafeInteger(counter) && counter >= 0)) {
    throw new RangeError(
      `Cannot draw random numbers as the counter must be a whole number >= 0: counter is ${counter}`,
    );
  }
  return {
    key: [
      (hash(stream, 0x811c9dc5) ^ seed) >>> 0,
      (hash(stream, 0x9747b28c) + Math.floor(seed / 2 ** 32)) >>> 0,
    ],
    counter: [counter >>> 0, Math.floor(counter / 2 ** 32), lane],
  };
}

/** `n` numbers uniform on [0, 1), with 24 bits each. */
export function uniforms(stream: Stream, counter: number, n: number): Float32Array {
  const bits = randomWords(stream, counter, n);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = (bits[i] >>> 8) * 2 ** -24;
  return out;
}

/**
 * `n` numbers from N(0, 1), by the ziggurat with 128 layers (Marsaglia & Tsang 2000, in Doornik's
 * form of 2005): 99 of 100 take one word, one comparison and one product.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { normals } from "./random.ts";
 *
 * const noise = { seed: 7, stream: "noise" };
 * assert.deepEqual(normals(noise, 0, 4), normals(noise, 0, 8).slice(0, 4));
 * ```
 */
export function normals(stream: Stream, counter: number, n: number): Float32Array {
  const out = new Float32Array(n);
  fillNormals(out, stream, counter);
  return out;
}

/** Fills `out` with the numbers that `normals` gives. */
export function fillNormals(out: Float32Array, stream: Stream, counter: number): void {
  const address = addressOf(stream, counter, 0), { key, counter: [low, high] } = address;
  const rare: Address = { key, counter: [low, high, 0] };
  drawNormals(out, address, (word, i) => {
    rare.counter[2] = i + 1;
    return unlikelyNormal(word, rare);
  });
}

const LAYERS = 128;
/** Where the tail begins, and the area of each layer, for 128 layers. */
const TAIL = 3.442619855899, AREA = 9.91256303526217e-3;

/** The right edges of the layers, the density there, and where below each edge every point lies under the density. */
const ziggurat = (() => {
  const edges = new Float64Array(LAYERS + 1), ratios = new Float64Array(LAYERS);
  const density = (x: number) => Math.exp(-x * x / 2);
  edges[0] = AREA / density(TAIL);
  edges[1] = TAIL;
  for (let i = 2; i < LAYERS; i++) {
    edges[i] = Math.sqrt(-2 * Math.log(AREA / edges[i - 1] + density(edges[i - 1])));
  }
  for (let i = 0; i < LAYERS; i++) ratios[i] = edges[i + 1] / edges[i];
  return { edges, ratios, densities: edges.map(density) };
})();

const drawNormals = normalKernel(ziggurat);

const firstWords = new Uint32Array(4); // nearly always enough, and faster than a new array

/**
 * The rest of the ziggurat: the wedges, the tail, and another try where a point lies outside. The uniform numbers that it
 * takes, in (0, 1), are those of an address that no block uses.
 */
function unlikelyNormal(word: number, address: Address): number {
  const { edges, ratios, densities } = ziggurat;
  let words = firstWords, next = 0;
  philox(words, address);
  const uniform = () => {
    if (next === words.length) {
      words = new Uint32Array(2 * words.length); // the same ones, and more
      philox(words, address);
    }
    return (words[next++] + 0.5) * 2 ** -32;
  };
  for (;;) {
    const layer = word & 127, u = ((word >> 7) + 0.5) * 2 ** -24;
    if (Math.abs(u) < ratios[layer]) return u * edges[layer];
    if (layer === 0) {
      for (;;) { // Marsaglia's tail
        const x = -Math.log(uniform()) / TAIL, y = -Math.log(uniform());
        if (2 * y > x * x) return Math.sign(u) * (TAIL + x);
      }
    }
    const x = u * edges[layer], outer = densities[layer], inner = densities[layer + 1];
    if (outer + uniform() * (inner - outer) < Math.exp(-x * x / 2)) return x;
    word = uniform() * 2 ** 32 | 0;
  }
}

/** `n` whole numbers uniform on [0, below), `below` at most 2^32 (bias under below / 2^32). */
export function integers(
  stream: Stream,
  counter: number,
  { n, below }: { n: number; below: number },
): Int32Array {
  if (!(Number.isInteger(below) && below >= 1 && below <= 2 ** 31)) {
    throw new RangeError(
      `Cannot draw integers as below must be a whole number from 1 to 2^31: below is ${below}`,
    );
  }
  return Int32Array.from(randomWords(stream, counter, n), (w) => Math.floor(w * 2 ** -32 * below));
}

/** A stream derived from another: the same seed, a longer name. */
export function substream({ seed, stream }: Stream, name: string | number): Stream {
  return { seed, stream: `${stream}/${name}` };
}
