import assert from "node:assert/strict";
import fc from "fast-check";
import { memorySource } from "../../lib/io/byte_source.ts";
import { readZip } from "../../lib/io/zip.ts";
import { makeZip } from "../tools/made_wheel.ts";
import { storedZip } from "./made_torch_file.ts";

const text = (s: string) => new TextEncoder().encode(s);
const open = (bytes: Uint8Array) => readZip(memorySource(bytes));
const find = (bytes: Uint8Array, signature: number[], from = 0) => {
  for (let at = from; at < bytes.length; at++) {
    if (signature.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  throw new Error("no such signature");
};
const patched = (bytes: Uint8Array, at: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};

Deno.test("readZip() brings back stored and deflated entries; stored ones are views", () => {
  const files = fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8}){0,2}$/),
      data: fc.uint8Array({ maxLength: 2000 }),
      stored: fc.boolean(),
    }),
    { selector: ({ name }) => name },
  );
  fc.assert(fc.property(files, (made) => {
    const archive = makeZip(made);
    const entries = open(archive);
    assert.deepEqual([...entries.keys()].sort(), made.map(({ name }) => name).sort());
    for (const { name, data, stored } of made) {
      const entry = entries.get(name)!;
      assert.equal(entry.size, data.length);
      assert.deepEqual(new Uint8Array(entry.read()), data);
      if (stored) assert.equal(entry.read().buffer, archive.buffer);
    }
  }));
});

Deno.test("readZip() reads zip64 archives with data descriptors and padding, as torch writes them", () => {
  const entries = open(storedZip([["a/data.pkl", text("x")], ["a/data/0", text("numbers")]]));
  assert.equal(new TextDecoder().decode(entries.get("a/data/0")!.read()), "numbers");
});

Deno.test("readZip() takes sizes from the zip64 field where they are there", () => {
  // one entry, by hand: sizes and place 0xffffffff in the directory, the true ones in the field
  const name = [97], data = [1, 2, 3], all = [255, 255, 255, 255];
  const wide = (n: number) => [n, 0, 0, 0, 0, 0, 0, 0];
  const local = [
    ...[0x50, 0x4b, 3, 4, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, ...name, ...data],
  ];
  const field = [9, 9, 1, 0, 7, 1, 0, 24, 0, ...wide(3), ...wide(3), ...wide(0)];
  const directory = [
    ...[0x50, 0x4b, 1, 2, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...all, ...all],
    ...[1, 0, field.length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...all, ...name, ...field],
  ];
  const end = [0x50, 0x4b, 5, 6, 0, 0, 0, 0, 1, 0, 1, 0, directory.length, 0, 0, 0];
  const bytes = new Uint8Array([...local, ...directory, ...end, local.length, 0, 0, 0, 0, 0]);
  assert.deepEqual([...open(bytes).get("a")!.read()], data);
  const cut = bytes.slice();
  cut[local.length + 46 + 1 + 5] = 2; // another field: the sizes are nowhere
  assert.throws(() => open(cut), { name: "RangeError", message: /sizes of a are missing/ });
});

Deno.test("readZip() refuses paths that leave their folder", () => {
  const names = ["../a", "/a", "a/../b", "a//b", "./a", "a\\b", "c:a", "a\u0000b", "..", ""];
  for (const name of names) {
    const archive = makeZip([{ name, data: text("x"), stored: true }]);
    assert.throws(() => open(archive), { name: "TypeError", message: /must stay inside/ });
  }
});

Deno.test("readZip() refuses archives that lie about their entries", () => {
  const data = text("hello hello hello hello hello hello hello");
  const stored = makeZip([{ name: "a", data, stored: true }]);
  const deflated = makeZip([{ name: "a", data }]);
  const inDirectory = (bytes: Uint8Array, at: number, ...values: number[]) =>
    patched(bytes, find(bytes, [0x50, 0x4b, 1, 2]) + at, ...values);
  const end = find(stored, [0x50, 0x4b, 5, 6]);
  const twice = makeZip([{ name: "a", data }, { name: "a", data }]);
  const cases: [Uint8Array, RegExp][] = [
    [stored.subarray(0, -1), /no directory/],
    [new Uint8Array(), /no directory/],
    [text("not an archive, but a text that is long enough"), /no directory/],
    [patched(stored, end + 10, 2), /does not fit|damaged/],
    [patched(stored, end + 12, 1), /does not fit/],
    [patched(stored, end + 16, 255, 255), /does not fit/],
    [inDirectory(stored, 24, 1), /size of a cannot be true/],
    [inDirectory(deflated, 24, 0, 0, 0, 127), /size of a cannot be true/], // 2 GB out of 20 bytes
    [inDirectory(stored, 20, 255, 255, 0, 0), /reaches outside/],
    [inDirectory(stored, 42, 255), /reaches outside/],
    [inDirectory(stored, 42, 1), /contradicts|reaches outside/],
    [patched(stored, 30, 98), /contradicts/], // another name in the local header
    [twice, /occurs twice/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => open(bytes), { name: "RangeError", message });
  }
  assert.throws(() => open(inDirectory(stored, 8, 1)), { name: "TypeError", message: /encrypted/ });
  assert.throws(() => open(inDirectory(stored, 10, 12)), {
    name: "TypeError",
    message: /number 12/,
  });
});

Deno.test("readZip() refuses entries that overlap", () => {
  const archive = makeZip([
    { name: "a", data: text("one"), stored: true },
    { name: "b", data: text("two"), stored: true },
  ]);
  const inner = makeZip([{ name: "b", data: text("x"), stored: true }]).subarray(0, 32);
  const nested = makeZip([
    { name: "a", data: inner, stored: true },
    { name: "b", data: text("x"), stored: true },
  ]);
  const second = find(nested, [0x50, 0x4b, 1, 2], find(nested, [0x50, 0x4b, 1, 2]) + 1);
  assert.equal(open(archive).size, 2);
  assert.throws(() => open(patched(nested, second + 42, 31)), /entries overlap: b/); // inside of a
});

Deno.test("readZip() verifies checksums when an entry is read; 0 stands for none", () => {
  const archive = makeZip([{ name: "a", data: text("hello"), stored: true }]);
  const damaged = patched(archive, find(archive, [...text("hello")]), 72);
  assert.throws(() => open(damaged).get("a")!.read(), {
    name: "RangeError",
    message: /checksum of a does not hold/,
  });
  const unchecked = patched(damaged, find(archive, [0x50, 0x4b, 1, 2]) + 16, 0, 0, 0, 0);
  assert.equal(new TextDecoder().decode(open(unchecked).get("a")!.read()), "Hello");
  const broken = makeZip([{ name: "a", data: text("hello") }]);
  broken.fill(255, 31, 34);
  assert.throws(() => open(broken).get("a")!.read(), /cannot be unpacked/);
});
