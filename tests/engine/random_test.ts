import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  integers,
  normals,
  philox,
  randomWords,
  type Stream,
  substream,
  uniforms,
} from "../../lib/engine/random.ts";

/** 5 standard deviations of a mean: a seeded draw either passes for ever or is wrong. */
const SIGMAS = 5;
const N = 100_000;
const stream = { seed: 42, stream: "test" };

const mean = (xs: ArrayLike<number>) => Array.from(xs).reduce((a, b) => a + b, 0) / xs.length;
const moment = (xs: ArrayLike<number>, k: number) => mean(Array.from(xs, (x) => x ** k));

// known answers of Random123's kat_vectors, "philox4x32 10"; word 0 of the counter is the block's
// index within the call, so those with another first word are reached by asking for that block
Deno.test("philox() gives Random123's known answer for key 0 and counter 0", () => {
  const out = new Uint32Array(4);
  philox(out, { key: [0, 0], counter: [0, 0, 0] });
  assert.deepEqual([...out], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
});

/** Philox 4×32-10 as the paper has it, in whole numbers of any size: an oracle for the fast one. */
function philoxOracle(counter: number[], key: number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  const low = (x: bigint) => BigInt.asUintN(32, x);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0, p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, low(p1), (p0 >> 32n) ^ c3 ^ k1, low(p0)];
    k0 = low(k0 + 0x9e3779b9n);
    k1 = low(k1 + 0xbb67ae85n);
  }
  return [c0, c1, c2, c3].map(Number);
}

Deno.test("philox() agrees with the paper's formula, which has the other known answers", () => {
  assert.deepEqual(
    philoxOracle(Array(4).fill(0xffffffff), [0xffffffff, 0xffffffff]),
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  );
  assert.deepEqual(
    philoxOracle([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
  const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(fc.tuple(word, word), fc.tuple(word, word, word), fc.nat(50), (key, counter, i) => {
      const out = new Uint32Array(4 * i + 4);
      philox(out, { key, counter });
      assert.deepEqual([...out.slice(-4)], philoxOracle([i, ...counter], key));
    }),
    { numRuns: 200, seed: 1 },
  );
});

Deno.test("normals() are the words' own, by the ziggurat's usual case in 97 of 100, at any length", () => {
  const AREA = 9.91256303526217e-3, TAIL = 3.442619855899; // of 128 layers
  const density = (x: number) => Math.exp(-x * x / 2);
  const edges = [AREA / density(TAIL), TAIL];
  for (let i = 2; i < 128; i++) {
    edges.push(Math.sqrt(-2 * Math.log(AREA / edges[i - 1] + density(edges[i - 1]))));
  }
  edges.push(0);
  for (const n of [1, 15, 2048, 2049, 30_001]) {
    const words = randomWords(stream, n, n), found = normals(stream, n, n);
    let usual = 0;
    for (let i = 0; i < n; i++) {
      const word = words[i] | 0,
        layer = word & 127,
        x = ((word >> 7) + 0.5) * 2 ** -24 * edges[layer];
      if (Math.abs(x) >= edges[layer + 1]) continue;
      usual++;
      assert.equal(found[i], Math.fround(x));
    }
    if (n > 8000) assert.ok(usual / n > 0.96 && usual / n < 0.98, `${usual / n}`);
  }
});

Deno.test("normals() keep their numbers from version to version, rare ones and far seeds included", () => {
  // Taken when all of it was plain JavaScript; other numbers would make samples and resumed runs others.
  const digest = (s: Stream, counter: number, n: number) =>
    createHash("sha256").update(new Uint8Array(normals(s, counter, n).buffer)).digest("hex");
  assert.equal(
    digest({ seed: 1, stream: "golden" }, 5, 100_003),
    "1f088f75a2fe952b1fa2379624e997c4c7b2f0010130b3662a54047b9304d7c6",
  );
  assert.equal(
    digest({ seed: 2 ** 40 + 3, stream: "far" }, 2 ** 45, 50_001),
    "564e7b25e60e8742749869f5cf0ede5253057c6b3fc924f71805d55febc16ef1",
  );
});

Deno.test("randomWords() of n numbers is the beginning of that of more", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.nat(60), fc.nat(2 ** 40), (n, more, counter) => {
      const long = randomWords(stream, counter, n + more);
      assert.deepEqual(randomWords(stream, counter, n), long.slice(0, n));
      assert.deepEqual(
        normals(stream, counter, n),
        normals(stream, counter, n + more).slice(0, n),
      );
    }),
    { numRuns: 100, seed: 2 },
  );
});

Deno.test("randomWords() changes with the seed, the name and the counter, far ones included", () => {
  const first = (seed: number, name: string, counter: number) =>
    randomWords({ seed, stream: name }, counter, 4).join();
  const seen = [
    first(1, "a", 0),
    first(2, "a", 0),
    first(1 + 2 ** 32, "a", 0),
    first(1, "b", 0),
    first(1, "a", 1),
    first(1, "a", 2 ** 32),
    first(1, "a/b", 0),
    first(1, "", 0),
  ];
  assert.equal(new Set(seen).size, seen.length);
});

Deno.test("substream() lengthens the name", () => {
  assert.deepEqual(substream(substream(stream, "layer"), 3), { seed: 42, stream: "test/layer/3" });
});

Deno.test("uniforms() lie in [0, 1) with mean 1/2 and variance 1/12", () => {
  const u = uniforms(stream, 0, N);
  assert.ok(u.every((x) => x >= 0 && x < 1));
  assert.ok(Math.abs(mean(u) - 1 / 2) < SIGMAS * Math.sqrt(1 / 12 / N));
  assert.ok(Math.abs(moment(u, 2) - 1 / 3) < SIGMAS * Math.sqrt(4 / 45 / N));
});

Deno.test("normals() have the first four moments of N(0, 1)", () => {
  const x = normals(stream, 0, N);
  assert.ok(x.every(Number.isFinite));
  // variance of x^k is E x^2k - (E x^k)^2: 1, 2, 15, 96
  [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]].forEach(([k, expected, variance]) =>
    assert.ok(Math.abs(moment(x, k) - expected) < SIGMAS * Math.sqrt(variance / N), `moment ${k}`)
  );
});

Deno.test("normals() of two streams, two counters and two places are uncorrelated", () => {
  const a = normals(stream, 0, N);
  const others = [
    normals(substream(stream, "other"), 0, N),
    normals(stream, 1, N),
    normals({ ...stream, seed: 43 }, 0, N),
    a.map((_, i) => a[(i + 1) % N]),
  ];
  for (const b of others) {
    assert.ok(Math.abs(mean(a.map((x, i) => x * b[i]))) < SIGMAS / Math.sqrt(N));
  }
});

Deno.test("integers() take each value equally often, and reach 2^31", () => {
  const below = 7;
  const counts = new Array(below).fill(0);
  for (const x of integers(stream, 0, { n: N, below })) counts[x]++;
  const p = 1 / below;
  for (const count of counts) {
    assert.ok(Math.abs(count / N - p) < SIGMAS * Math.sqrt(p * (1 - p) / N));
  }
  assert.ok(integers(stream, 0, { n: 1000, below: 2 ** 31 }).every((x) => x >= 0));
  assert.deepEqual([...integers(stream, 3, { n: 2, below: 1 })], [0, 0]);
});

Deno.test("uniforms() and integers() refuse seeds, counters and bounds that are not theirs", () => {
  for (const bad of [-1, 0.5, NaN, 2 ** 60]) {
    assert.throws(() => uniforms({ seed: bad, stream: "" }, 0, 1), RangeError);
    assert.throws(() => uniforms(stream, bad, 1), RangeError);
    assert.throws(() => integers(stream, 0, { n: 1, below: bad }), RangeError);
  }
  assert.throws(() => integers(stream, 0, { n: 1, below: 0 }), /below is 0/);
});
