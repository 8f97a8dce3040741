import assert from "node:assert/strict";
import fc from "fast-check";
import { type NpyArray, readNpy, writeNpy } from "../../lib/io/npy.ts";
import { readNpz, writeNpz } from "../../lib/io/npz.ts";
import { findPython, runPython } from "../python.ts";

const python = await findPython("numpy");
const missing = "missing" in python;
if (missing) console.log(`npz_test: ignored, ${python.missing}`);

const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 4 });
const sized = <T extends NpyArray["data"]>(
  make: (n: number) => fc.Arbitrary<T>,
): fc.Arbitrary<{ shape: number[]; data: T }> =>
  shape.chain((shape) => make(shape.reduce((a, b) => a * b, 1)).map((data) => ({ shape, data })));
const exactly = (n: number) => ({ minLength: n, maxLength: n });
const arrays: fc.Arbitrary<NpyArray> = fc.oneof(
  sized((n) => fc.uint8Array(exactly(n))).map((a) => ({ dtype: "u1" as const, ...a })),
  sized((n) => fc.int32Array(exactly(n))).map((a) => ({ dtype: "i4" as const, ...a })),
  sized((n) => fc.bigInt64Array(exactly(n))).map((a) => ({ dtype: "i8" as const, ...a })),
  sized((n) => fc.float32Array(exactly(n))).map((a) => ({ dtype: "f4" as const, ...a })),
  sized((n) => fc.float64Array(exactly(n))).map((a) => ({ dtype: "f8" as const, ...a })),
);
const text = (s: string) => new TextEncoder().encode(s);

/** A .npy file with this header and these numbers. */
function made(header: string, data: Uint8Array, version = 1): Uint8Array {
  const length = version === 1 ? [header.length, 0] : [header.length, 0, 0, 0];
  return new Uint8Array([
    ...[0x93, ...text("NUMPY"), version, 0, ...length],
    ...text(header),
    ...data,
  ]);
}

Deno.test("readNpz() brings back what writeNpz() wrote, stored or deflated", () => {
  const named = fc.dictionary(fc.stringMatching(/^[a-z_0-9]{1,8}$/), arrays, {
    noNullPrototype: true,
  });
  fc.assert(fc.property(named, fc.boolean(), (given, deflate) => {
    const bytes = writeNpz(given, { deflate });
    assert.deepEqual(Object.fromEntries(readNpz(bytes)), given);
    assert.deepEqual(writeNpz(given, { deflate }), bytes);
  }));
});

Deno.test("readNpy() reads Fortran's order, formats 2 and 3, and any order of keys", () => {
  const data = Uint8Array.of(1, 4, 2, 5, 3, 6);
  const array = { dtype: "u1", shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  assert.deepEqual(
    readNpy(made("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", data)),
    array,
  );
  for (const version of [2, 3]) {
    const header = `{"shape": (2, 3), "descr": "|u1", "fortran_order": False}`;
    assert.deepEqual(readNpy(made(header, array.data, version)), array);
  }
});

Deno.test("readNpy() refuses what it cannot read and says why", () => {
  const header = (descr: string) => `{'descr': ${descr}, 'fortran_order': False, 'shape': (1,), }`;
  const refused = (bytes: Uint8Array, name: string, message: RegExp) =>
    assert.throws(() => readNpy(bytes), { name, message });
  refused(made(header("'>i4'"), new Uint8Array(4)), "TypeError", /little-endian.*they are >i4/);
  refused(made(header("'|O'"), new Uint8Array(8)), "TypeError", /they are \|O/);
  refused(made(header("[('a', '<i4')]"), new Uint8Array(4)), "TypeError", /they are a record/);
  refused(made(header("'<i4'"), new Uint8Array(3)), "RangeError", /takes 4 bytes: there are 3/);
  refused(made("{'descr': '<i4'}", new Uint8Array(4)), "RangeError", /header is damaged/);
  refused(made(header("'<i4'"), new Uint8Array(4), 9), "TypeError", /format must be 1 to 3/);
  refused(made(header("'<i4'"), new Uint8Array(0)).subarray(0, 20), "RangeError", /truncated/);
  refused(text("hello, this is no array"), "RangeError", /not a \.npy file/);
  assert.throws(
    () => writeNpy({ dtype: "u1", shape: [2], data: new Uint8Array(3) }),
    { name: "RangeError", message: /must fit its 3 numbers: shape is \[2\]/ },
  );
  assert.throws(
    () => readNpz(writeNpz({ a: { dtype: "u1", shape: [1], data: new Uint8Array(1) } }).slice(9)),
    { name: "RangeError" },
  );
});

Deno.test({
  name: "readNpz() reads what NumPy writes: every type, Fortran's order, compressed or not",
  ignore: missing,
  fn: async () => {
    const dir = await Deno.makeTempDir();
    const code = `
import sys, numpy as np
a = {t: (np.arange(24).reshape(2, 3, 4) % 7 - (0 if t[0] in "ub" else 3)).astype(t)
     for t in ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]}
a["fortran"] = np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4))
a["scalar"] = np.float64(0.1)
a["empty"] = np.zeros((0, 3), "u1")
np.savez(sys.argv[1] + "/plain.npz", **a)
np.savez_compressed(sys.argv[1] + "/small.npz", **a)`;
    await runPython((python as { python: string }).python, { code, args: [dir] });
    for (const file of ["plain", "small"]) {
      const found = readNpz(await Deno.readFile(`${dir}/${file}.npz`));
      assert.equal(found.size, 14);
      for (const [name, { dtype, shape, data }] of found) {
        if (name === "scalar") assert.deepEqual([shape, data[0]], [[], 0.1]);
        else if (name === "empty") assert.deepEqual([shape, data.length], [[0, 3], 0]);
        else {
          const value = (i: number) => {
            if (name === "fortran") return i;
            return dtype === "b1" ? Number(i % 7 !== 0) : i % 7 - (dtype[0] === "u" ? 0 : 3);
          };
          assert.deepEqual(shape, [2, 3, 4]);
          assert.deepEqual(
            Array.from(data as Float32Array, Number),
            Array.from({ length: 24 }, (_, i) => value(i)),
            name,
          );
          if (name !== "fortran") assert.equal(dtype, name);
        }
      }
    }
    await Deno.remove(dir, { recursive: true });
  },
});

Deno.test({
  name: "writeNpz() is read by NumPy with the same types, shapes and numbers",
  ignore: missing,
  fn: async () => {
    const dir = await Deno.makeTempDir();
    const given: Record<string, NpyArray> = {
      arr_0: {
        dtype: "u1",
        shape: [2, 2, 1, 3],
        data: Uint8Array.from({ length: 12 }, (_, i) => 20 * i),
      },
      arr_1: { dtype: "i8", shape: [2], data: BigInt64Array.of(-5n, 2n ** 40n) },
      flags: { dtype: "b1", shape: [3], data: Uint8Array.of(1, 0, 1) },
      numbers: { dtype: "f4", shape: [], data: Float32Array.of(0.5) },
      whole: { dtype: "i4", shape: [0], data: new Int32Array(0) },
      fine: { dtype: "f8", shape: [1, 1], data: Float64Array.of(Math.PI) },
    };
    await Deno.writeFile(`${dir}/a.npz`, writeNpz(given));
    await Deno.writeFile(`${dir}/b.npz`, writeNpz(given, { deflate: true }));
    const code = `
import sys, json, numpy as np
a, b = (np.load(sys.argv[1] + name) for name in ("/a.npz", "/b.npz"))
assert all((a[k] == b[k]).all() for k in a.files)
print(json.dumps({k: [a[k].dtype.str[1:], list(a[k].shape), a[k].flatten().tolist()] for k in a.files}))`;
    const printed = await runPython((python as { python: string }).python, { code, args: [dir] });
    assert.deepEqual(
      JSON.parse(printed),
      Object.fromEntries(
        Object.entries(given).map(([name, { dtype, shape, data }]) => [
          name,
          [
            dtype,
            shape,
            Array.from(data as Float32Array, (v) => dtype === "b1" ? v === 1 : Number(v)),
          ],
        ]),
      ),
    );
    await Deno.remove(dir, { recursive: true });
  },
});
