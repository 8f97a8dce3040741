import assert from "node:assert/strict";
import fc from "fast-check";
import {
  encodeSafetensors,
  floatToHalf,
  halfToFloat,
  parseSafetensors,
} from "../../lib/io/safetensors.ts";

/** Builds a file by hand, so that the reader is not only tested against our own writer. */
function file(header: unknown, data: number[] = [], length?: number): Uint8Array {
  const json = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const out = new Uint8Array(8 + json.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  out.set(json, 8);
  out.set(data, 8 + json.length);
  return out;
}

Deno.test("parseSafetensors() reads every type from hand-made bytes, aligned or not", () => {
  const b = file({
    __metadata__: { a: "b" },
    flag: { dtype: "BOOL", shape: [1], data_offsets: [0, 1] },
    half: { dtype: "F16", shape: [2], data_offsets: [1, 5] },
    brain: { dtype: "BF16", shape: [], data_offsets: [5, 7] },
    single: { dtype: "F32", shape: [1, 1], data_offsets: [7, 11] },
    long: { dtype: "I64", shape: [1], data_offsets: [11, 19] },
    int: { dtype: "I32", shape: [1], data_offsets: [19, 23] },
    double: { dtype: "F64", shape: [1], data_offsets: [23, 31] },
    empty: { dtype: "U8", shape: [3, 0], data_offsets: [31, 31] },
  }, [
    ...[1],
    ...[0x00, 0x3c, 0x01, 0x80], // 1, -2^-24
    ...[0x40, 0xc0], // -3
    ...[0, 0, 0xc0, 0x3f], // 1.5
    ...[255, 255, 255, 255, 255, 255, 255, 255],
    ...[254, 255, 255, 255],
    ...[0, 0, 0, 0, 0, 0, 0xe0, 0x3f], // 0.5
  ]);
  // A view that starts at an odd byte of its buffer, as a slice of a larger read would.
  const shifted = new Uint8Array(b.length + 1);
  shifted.set(b, 1);
  const { metadata, tensors } = parseSafetensors(shifted.subarray(1));
  assert.deepEqual(metadata, { a: "b" });
  const plain = Object.fromEntries([...tensors].map(([k, t]) => [k, [...t.data]]));
  assert.deepEqual(plain, {
    flag: [1],
    half: [1, -(2 ** -24)],
    brain: [-3],
    single: [1.5],
    long: [-1n],
    int: [-2],
    double: [0.5],
    empty: [],
  });
});

Deno.test("parseSafetensors() refuses truncated, overlapping and lying headers by name", () => {
  const t = (from: number, to: number, shape = [1], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(7), /truncated: 7 bytes/],
    [file({}, [], 1e6), /header does not fit/],
    [file("{", []), /not JSON/],
    [file("[]", []), /not a JSON object/],
    [file({ w: t(0, 4) }, [0, 0, 0]), /tensor w as it reaches outside/],
    [file({ w: t(0, 4, [2]) }, [0, 0, 0, 0]), /needs 8/],
    [file({ w: t(0, 4), v: t(2, 6) }, [0, 0, 0, 0, 0, 0]), /overlap: v/],
    [file({ w: t(0, 4), v: t(6, 10) }, Array(10).fill(0)), /bytes 4 to 6 belong/],
    [file({ w: t(0, 4) }, Array(5).fill(0)), /do not fill/],
    [file({ w: t(0, 4, [1], "F8") }, Array(4).fill(0)), /dtype is F8/],
    [file({ w: t(0, 4, [-1]) }, Array(4).fill(0)), /whole numbers/],
    [file({ w: t(0, 4, [1.5]) }, Array(4).fill(0)), /whole numbers/],
    [file({ w: 3 }), /dtype is unknown/],
    [file({ __metadata__: { a: 1 } }), /__metadata__/],
  ];
  for (const [bytes, message] of cases) assert.throws(() => parseSafetensors(bytes), message);
});

Deno.test("parseSafetensors() fails cleanly on every truncation of a good file", () => {
  const good = encodeSafetensors({
    a: { dtype: "F32", shape: [2, 2], data: [1, 2, 3, 4] },
    b: { dtype: "U8", shape: [3], data: [1, 2, 3] },
  });
  for (let n = 0; n < good.length; n++) {
    assert.throws(
      () => parseSafetensors(good.subarray(0, n)),
      (e) => e instanceof RangeError || e instanceof SyntaxError,
    );
  }
});

Deno.test("encodeSafetensors() then parseSafetensors() is the identity on float32, int32 and bytes", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.string({ minLength: 1 }).filter((s) => s !== "__metadata__"), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.array(fc.float(), { maxLength: 9 }),
    fc.constantFrom("F32", "I32", "U8"),
    (names, numbers, first) => {
      const input = new Map(names.map((name, i) => {
        const dtype = (i ? "F32" : first) as "F32" | "I32" | "U8";
        const data = dtype === "F32"
          ? Float32Array.from(numbers)
          : dtype === "I32"
          ? Int32Array.from(numbers)
          : Uint8Array.from(numbers);
        return [name, { dtype, shape: [1, numbers.length], data }];
      }));
      const { tensors } = parseSafetensors(encodeSafetensors(input, { k: "v" }));
      for (const [name, t] of input) assert.deepEqual(tensors.get(name), t);
      assert.equal(tensors.size, input.size);
    },
  ));
});

Deno.test("floatToHalf() inverts halfToFloat() on all 65,536 halves", () => {
  for (let h = 0; h < 65536; h++) {
    const x = halfToFloat(h);
    if (Number.isNaN(x)) assert.ok(Number.isNaN(halfToFloat(floatToHalf(x))));
    else assert.equal(floatToHalf(x), h);
  }
});

Deno.test("floatToHalf() rounds to the nearest half, ties to even", () => {
  // 1 + 2^-11 is half way between 1 and the next half; 65519.99 rounds down, 65520 to infinity.
  assert.equal(halfToFloat(floatToHalf(1 + 2 ** -11)), 1);
  assert.equal(halfToFloat(floatToHalf(1 + 3 * 2 ** -11)), 1 + 2 ** -9);
  assert.equal(halfToFloat(floatToHalf(65519)), 65504);
  assert.equal(halfToFloat(floatToHalf(65520)), Infinity);
  assert.equal(floatToHalf(-0), 0x8000);
  assert.equal(floatToHalf(2 ** -25), 0); // tie, to even
});

Deno.test("encodeSafetensors() keeps bfloat16 to 8 bits of precision", () => {
  fc.assert(fc.property(
    fc.float({
      noNaN: true,
      noDefaultInfinity: true,
      max: Math.fround(3e38),
      min: Math.fround(-3e38),
      // once ONNX Runtime has run, this thread takes numbers under 2^-126 for 0
    }).filter((x) => x === 0 || Math.abs(x) >= 2 ** -126),
    (x) => {
      const bytes = encodeSafetensors({ x: { dtype: "BF16", shape: [], data: [x] } });
      const y = parseSafetensors(bytes).tensors.get("x")!.data[0] as number;
      assert.ok(Math.abs(y - x) <= Math.abs(x) * 2 ** -8, `${x} became ${y}`);
    },
  ));
});

Deno.test("encodeSafetensors() refuses data that contradict the shape", () => {
  assert.throws(
    () => encodeSafetensors({ w: { dtype: "F32", shape: [3], data: [1, 2] } }),
    /data has 2 elements, shape \[3\] needs 3/,
  );
});
