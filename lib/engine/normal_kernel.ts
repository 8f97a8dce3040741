/**
 * The inner loops of `normals` as a WebAssembly module with SIMD: the words of Philox, and the ziggurat's
 * usual case. JavaScript takes 13 ns a number, this 5.5 to 6.5, the rare cases included: a sampler of a small model, which draws
 * as many numbers in a step as its images have, spends a twentieth of its time on them in place of a ninth.
 *
 * The module is assembled here from WebAssembly's instructions, so that what runs can be read.
 *
 * @module
 */

/** A key and three of the four words of a counter; the first one counts blocks of four words. */
export type Address = { key: [number, number]; counter: [number, number, number] };

// Places in the module's memory, in bytes: the tables, then a chunk of words, numbers, and rejected indices.
const CHUNK = 2048; // numbers at a time: all stays in the nearest cache
const RATIOS = 0, EDGES = 1024, WORDS = 4096;
const NUMBERS = WORDS + 4 * CHUNK, REJECTED = NUMBERS + 4 * CHUNK, END = REJECTED + 4 * CHUNK;
const PAGE = 65536;

type Code = readonly number[];
const I32 = 0x7f, F64 = 0x7c, V128 = 0x7b, EMPTY = 0x40;

/** A whole number in LEB128. */
function unsigned(n: number): Code {
  return n < 128 ? [n] : [n & 127 | 128, ...unsigned(n >>> 7)];
}
function signed(n: number): Code {
  return n >= -64 && n < 64 ? [n & 127] : [n & 127 | 128, ...signed(n >> 7)];
}
const i32 = (n: number): Code => [0x41, ...signed(n | 0)];
const f64 = (x: number): Code => [0x44, ...new Uint8Array(Float64Array.of(x).buffer)];
const simd = (op: number, ...operands: number[]): Code => [0xfd, ...unsigned(op), ...operands];
const load = { i32: 0x28, f64: 0x2b }, save = { i32: 0x36, f32: 0x38 };
const at = (op: number, place: number): Code => [op, 2, ...unsigned(place)]; // aligned to 4 bytes
const add = 0x6a, and = 0x71, shl = 0x74, shrS = 0x75, shrU = 0x76, ltU = 0x49;
const f64Lt = 0x63, f64Abs = 0x99, f64Add = 0xa0, f64Mul = 0xa2, toF64 = 0xb7, toF32 = 0xb6;
const loop: Code = [0x03, EMPTY], end = 0x0b, back: Code = [0x0d, 0];
const splat = simd(17), addLanes = simd(174), xor = simd(81);
/** Products of 32-bit lanes as 64-bit ones, of the lower two lanes and of the upper two. */
const lowProducts = simd(222), highProducts = simd(223);
/** Four 32-bit lanes out of the eight of two vectors. */
const lanes = (...chosen: number[]): Code =>
  simd(13, ...chosen.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)));
const lowHalves = lanes(0, 2, 4, 6), highHalves = lanes(1, 3, 5, 7);

type Locals = { get: (name: string) => Code; set: (name: string) => Code };

/** A function body; parameters are 32-bit whole numbers. */
function body(
  params: readonly string[],
  locals: Readonly<Record<string, number>>,
  write: (locals: Locals) => Code,
): Code {
  const names = [...params, ...Object.keys(locals)];
  const types = Object.values(locals).flatMap((type) => [1, type]);
  const code = [
    ...unsigned(types.length / 2),
    ...types,
    ...write({
      get: (name) => [0x20, names.indexOf(name)],
      set: (name) => [0x21, names.indexOf(name)],
    }),
    end,
  ];
  return [...unsigned(code.length), ...code];
}

/** Philox 4×32-10 of four blocks at once: the words of `bytes` / 16 blocks from number `first`. */
const WORD_PARAMS = ["bytes", "first", "k0", "k1", "n1", "n2", "n3"];
const vectors = ["c0", "c1", "c2", "c3", "key0", "key1", "p", "q", "r", "s", "m0", "m1"];
const wordsBody = body(
  WORD_PARAMS,
  { i: I32, ...Object.fromEntries(vectors.map((name) => [name, V128])) },
  ({ get, set }) => {
    const spread = (from: Code, to: string) => [...from, ...splat, ...set(to)];
    const product = (c: string, m: string, low: string, high: string) => [
      ...[...get(c), ...get(m), ...lowProducts, ...set(low)],
      ...[...get(c), ...get(m), ...highProducts, ...set(high)],
    ];
    const bump = (key: string, by: number) => [
      ...[...get(key), ...i32(by), ...splat, ...addLanes, ...set(key)],
    ];
    const mix = (low: string, high: string, c: string, key: string) => [
      ...[...get(low), ...get(high), ...highHalves],
      ...[...get(c), ...xor, ...get(key), ...xor],
    ];
    const round = [
      ...product("c0", "m0", "p", "q"),
      ...product("c2", "m1", "r", "s"),
      ...[...mix("r", "s", "c1", "key0"), ...set("c0")],
      ...[...get("r"), ...get("s"), ...lowHalves, ...set("c1")],
      ...[...mix("p", "q", "c3", "key1"), ...set("c2")],
      ...[...get("p"), ...get("q"), ...lowHalves, ...set("c3")],
      ...[...bump("key0", 0x9e3779b9), ...bump("key1", 0xbb67ae85)],
    ];
    const pair = (a: string, b: string, chosen: Code, to: string) => [
      ...[...get(a), ...get(b), ...chosen, ...set(to)],
    ];
    const store = (a: string, b: string, chosen: Code, offset: number) => [
      ...[
        ...get("i"),
        ...get(a),
        ...get(b),
        ...chosen,
        ...simd(11, 2, ...unsigned(WORDS + offset)),
      ],
    ];
    const lower = lanes(0, 4, 1, 5), upper = lanes(2, 6, 3, 7);
    return [
      ...spread(i32(0xd2511f53), "m0"),
      ...spread(i32(0xcd9e8d57), "m1"),
      ...loop,
      // the first word of the counter is the block's number
      ...[...get("first"), ...get("i"), ...i32(4), shrU, add, ...splat],
      ...[
        ...simd(12, ...[0, 1, 2, 3].flatMap((lane) => [lane, 0, 0, 0])),
        ...addLanes,
        ...set("c0"),
      ],
      ...[...spread(get("n1"), "c1"), ...spread(get("n2"), "c2"), ...spread(get("n3"), "c3")],
      ...[...spread(get("k0"), "key0"), ...spread(get("k1"), "key1")],
      ...Array(10).fill(round).flat(),
      // from a vector a word to a vector a block
      ...[...pair("c0", "c1", lower, "p"), ...pair("c2", "c3", lower, "q")],
      ...[...pair("c0", "c1", upper, "r"), ...pair("c2", "c3", upper, "s")],
      ...[...store("p", "q", lanes(0, 1, 4, 5), 0), ...store("p", "q", lanes(2, 3, 6, 7), 16)],
      ...[...store("r", "s", lanes(0, 1, 4, 5), 32), ...store("r", "s", lanes(2, 3, 6, 7), 48)],
      ...[...get("i"), ...i32(64), add, ...set("i"), ...get("i"), ...get("bytes"), ltU, ...back],
      end,
    ];
  },
);

/** The ziggurat's usual case for words 0 to `bytes` / 4; returns how many fall outside, and lists them. */
const zigguratBody = body(
  ["bytes"],
  { i: I32, word: I32, layer: I32, rejected: I32, u: F64 },
  ({ get, set }) => [
    ...loop,
    ...[...get("i"), ...at(load.i32, WORDS), ...set("word")],
    ...[...get("word"), ...i32(127), and, ...i32(3), shl, ...set("layer")], // bytes into the tables
    // u = (word >> 7 + 0.5) 2^-24
    ...[...get("word"), ...i32(7), shrS, toF64, ...f64(0.5), f64Add, ...f64(2 ** -24), f64Mul],
    ...set("u"),
    ...[...get("u"), f64Abs, ...get("layer"), ...at(load.f64, RATIOS), f64Lt, 0x04, EMPTY],
    ...[...get("i"), ...get("u"), ...get("layer"), ...at(load.f64, EDGES), f64Mul, toF32],
    ...[...at(save.f32, NUMBERS), 0x05], // else
    ...[
      ...get("rejected"),
      ...i32(2),
      shl,
      ...get("i"),
      ...i32(2),
      shrU,
      ...at(save.i32, REJECTED),
    ],
    ...[...get("rejected"), ...i32(1), add, ...set("rejected"), end],
    ...[...get("i"), ...i32(4), add, ...set("i"), ...get("i"), ...get("bytes"), ltU, ...back],
    end,
    ...get("rejected"),
  ],
);

function assemble(): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: Code) => [id, ...unsigned(content.length), ...content];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const type = (params: readonly string[], results: Code) => [
    ...[0x60, params.length, ...params.map(() => I32), results.length, ...results],
  ];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, ...type(WORD_PARAMS, []), ...type(["bytes"], [I32])]),
    ...section(3, [2, 0, 1]), // functions, by type
    ...section(5, [1, 0, Math.ceil(END / PAGE)]),
    ...section(7, [3, ...name("memory"), 2, 0, ...name("words"), 0, 0, ...name("ziggurat"), 0, 1]),
    ...section(10, [2, ...wordsBody, ...zigguratBody]),
  ]);
}

type Exports = {
  memory: WebAssembly.Memory;
  words(...params: number[]): void;
  ziggurat(bytes: number): number;
};

/**
 * Makes the function that fills an array with normal numbers from the words of an address, by the ziggurat with
 * these layers; `rare(word, i)` is asked for number i where its word falls outside of its layer's usual case.
 */
export function normalKernel({ edges, ratios }: { edges: Float64Array; ratios: Float64Array }) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble()));
  const { memory: { buffer }, words, ziggurat } = exports as Exports;
  new Float64Array(buffer, RATIOS, 128).set(ratios.subarray(0, 128));
  new Float64Array(buffer, EDGES, 128).set(edges.subarray(0, 128));
  const word = new Int32Array(buffer, WORDS, CHUNK);
  const number = new Float32Array(buffer, NUMBERS, CHUNK);
  const rejected = new Int32Array(buffer, REJECTED, CHUNK);
  return (
    out: Float32Array,
    { key, counter }: Address,
    rare: (word: number, i: number) => number,
  ): void => {
    for (let from = 0; from < out.length; from += CHUNK) {
      const n = Math.min(CHUNK, out.length - from);
      words(4 * n, from / 4, ...key, ...counter);
      const count = ziggurat(4 * n);
      out.set(number.subarray(0, n), from);
      for (let r = 0; r < count; r++) {
        const i = rejected[r];
        out[from + i] = rare(word[i], from + i);
      }
    }
  };
}
