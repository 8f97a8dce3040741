import assert from "node:assert/strict";
import fc from "fast-check";
import { orderedDict, type PickleValue, readPickle } from "../../lib/io/pickle.ts";
import { global, opcodes, pickle, Raw, Tuple } from "./made_torch_file.ts";

const globals = new Map([["collections.OrderedDict", orderedDict]]);
const read = (bytes: Uint8Array) => readPickle(bytes, { globals });
const base64 = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bytes = (...items: (number | string | number[])[]) =>
  new Uint8Array(
    items.flatMap((x) => typeof x === "string" ? [...new TextEncoder().encode(x)] : x),
  );

/** `pickle.dumps(value, protocol)` of CPython 3.11 for the value below; protocols 2 to 5. */
const DUMPS = {
  2: "gAJ9cQAoWAcAAABudW1iZXJzcQFdcQIoSwBLAUr/////S/9NAAFN//9KAAABAEoAAACAigUAAACAAIoGAAAAAAD/" +
    "igf///////8figkAAAAAAAAAAECKCQAAAAAAAAAAwEc/+AAAAAAAAEeAAAAAAAAAAEd/8AAAAAAAAGVYBAAAAHJl" +
    "c3RxA11xBCiIiU5YAAAAAHEFWAkAAADDqeKCrPCfmYJxBilLAYVxB0sBSwKGcQhLAUsCSwOHcQkoSwFLAksDSwR0" +
    "cQpdcQt9cQxlSwNjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQ0pUnEOKFgBAAAAeHEPSwFYAQAAAHlxEF1xEUsC" +
    "YXVYBgAAAHNoYXJlZHESXXETKF1xFEsHYWgUZXUu",
  3: "gAN9cQAoWAcAAABudW1iZXJzcQFdcQIoSwBLAUr/////S/9NAAFN//9KAAABAEoAAACAigUAAACAAIoGAAAAAAD/" +
    "igf///////8figkAAAAAAAAAAECKCQAAAAAAAAAAwEc/+AAAAAAAAEeAAAAAAAAAAEd/8AAAAAAAAGVYBAAAAHJl" +
    "c3RxA11xBCiIiU5YAAAAAHEFWAkAAADDqeKCrPCfmYJxBilLAYVxB0sBSwKGcQhLAUsCSwOHcQkoSwFLAksDSwR0" +
    "cQpdcQt9cQxlSwNjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQ0pUnEOKFgBAAAAeHEPSwFYAQAAAHlxEF1xEUsC" +
    "YXVYBgAAAHNoYXJlZHESXXETKF1xFEsHYWgUZXUu",
  4: "gASV/gAAAAAAAAB9lCiMB251bWJlcnOUXZQoSwBLAUr/////S/9NAAFN//9KAAABAEoAAACAigUAAACAAIoGAAAA" +
    "AAD/igf///////8figkAAAAAAAAAAECKCQAAAAAAAAAAwEc/+AAAAAAAAEeAAAAAAAAAAEd/8AAAAAAAAGWMBHJl" +
    "c3SUXZQoiIlOjACUjAnDqeKCrPCfmYKUKUsBhZRLAUsChpRLAUsCSwOHlChLAUsCSwNLBHSUXZR9lGVLA4wLY29s" +
    "bGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlCiMAXiUSwGMAXmUXZRLAmF1jAZzaGFyZWSUXZQoXZRLB2FoFmV1" +
    "Lg==",
  5: "gAWV/gAAAAAAAAB9lCiMB251bWJlcnOUXZQoSwBLAUr/////S/9NAAFN//9KAAABAEoAAACAigUAAACAAIoGAAAA" +
    "AAD/igf///////8figkAAAAAAAAAAECKCQAAAAAAAAAAwEc/+AAAAAAAAEeAAAAAAAAAAEd/8AAAAAAAAGWMBHJl" +
    "c3SUXZQoiIlOjACUjAnDqeKCrPCfmYKUKUsBhZRLAUsChpRLAUsCSwOHlChLAUsCSwNLBHSUXZR9lGVLA4wLY29s" +
    "bGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlCiMAXiUSwGMAXmUXZRLAmF1jAZzaGFyZWSUXZQoXZRLB2FoFmV1" +
    "Lg==",
};

Deno.test("readPickle() reads what Python wrote, protocols 2 to 5", () => {
  for (const [protocol, dump] of Object.entries(DUMPS)) {
    const value = read(base64(dump)) as Map<unknown, PickleValue>;
    const shared = value.get("shared") as PickleValue[];
    assert.deepEqual(
      value,
      new Map<unknown, unknown>([
        ["numbers", [
          ...[0, 1, -1, 255, 256, 65535, 65536, -(2 ** 31), 2 ** 31, -(2 ** 40), 2 ** 53 - 1],
          ...[2n ** 70n, -(2n ** 70n), 1.5, -0, Infinity],
        ]],
        ["rest", [
          ...[true, false, null, "", "é€🙂", [], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], []],
          new Map(),
        ]],
        [3, new Map<string, unknown>([["x", 1], ["y", [2]]])],
        ["shared", [[7], [7]]],
      ]),
      `protocol ${protocol}`,
    );
    assert.equal(shared[0], shared[1]); // one list
  }
});

Deno.test("readPickle() reads bytes, bytearrays, and lists that hold themselves", () => {
  assert.deepEqual(read(base64("gANdcQAoQwJhYnEBQwBxAmUu")), [
    new Uint8Array([97, 98]),
    new Uint8Array(),
  ]);
  assert.deepEqual(read(base64("gAWVDQAAAAAAAACWAgAAAAAAAABhYpQu")), new Uint8Array([97, 98]));
  const list = read(base64("gASVBgAAAAAAAABdlGgAYS4=")) as PickleValue[];
  assert.equal(list[0], list);
});

Deno.test("readPickle() refuses every global that it was not given, and names it", () => {
  // os.system("touch /tmp/x") as CPython pickles it
  const calls = [
    "gAJjcG9zaXgKc3lzdGVtCnEAWAwAAAB0b3VjaCAvdG1wL3hxAYVxAlJxAy4=",
    "gANjcG9zaXgKc3lzdGVtCnEAWAwAAAB0b3VjaCAvdG1wL3hxAYVxAlJxAy4=",
    "gASVJwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAx0b3VjaCAvdG1wL3iUhZRSlC4=",
    "gAWVJwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAx0b3VjaCAvdG1wL3iUhZRSlC4=",
  ];
  for (const call of calls) {
    assert.throws(() => read(base64(call)), {
      name: "TypeError",
      message: /not allowed: "posix\.system", allowed are collections\.OrderedDict/,
    });
  }
  const names = ["builtins.eval", "__builtin__.set", "torch.load", "collections.defaultdict"];
  for (const name of [...names, "collections.__proto__", "collections.constructor"]) {
    const [module, attribute] = name.split(".");
    const file = bytes([0x80, 2], global(module, attribute), ".");
    assert.throws(() => read(file), { name: "TypeError", message: new RegExp(`"${name}"`) });
  }
});

Deno.test("readPickle() refuses opcodes that are not for data, and other protocols", () => {
  const refused: [Uint8Array, RegExp][] = [
    [base64("gASVBwAAAAAAAACPlChLAZAu"), /opcode EMPTY_SET is not for data/],
    [base64("gAJjX19idWlsdGluX18Kc2V0CnEAXXEBSwFhhXECUnEDLg=="), /"__builtin__\.set"/],
    [base64("gAJjbQpDCnEAKYFxAS4="), /"m\.C"/],
    [bytes([0x80, 2], global("collections", "OrderedDict"), ")", [0x81], "."), /NEWOBJ/],
    [bytes([0x80, 2], "(ios\nsystem\n."), /INST/],
    [bytes([0x80, 2], "(cos\nsystem\no."), /"os\.system"/],
    [bytes([0x80, 2, 0x82, 1], "."), /EXT1/],
    [bytes([0x80, 2], "I1\n."), /INT/],
    [bytes([0x80, 5, 0x97], "."), /NEXT_BUFFER/],
    [bytes([0x80, 1], "N."), /protocol must be 2 to 5: it is 1/],
    [bytes([0x80, 6], "N."), /it is 6/],
    [bytes([0x80, 2], "NQ."), /persistent ids/],
    [bytes([0x80, 2], "]}b."), /attributes are set on what is no OrderedDict/],
    [bytes([0x80, 2], "}]Ns."), /keys of a dict/],
  ];
  for (const [file, message] of refused) {
    assert.throws(() => read(file), { name: "TypeError", message });
  }
});

Deno.test("readPickle() says what is malformed", () => {
  const wrong: [string | number[], RegExp][] = [
    ["", /ends with 0 values/],
    ["NN", /ends with 2 values/],
    ["(N", /ends with 1 values in place of one|ends/],
    ["a", /stack is empty/],
    ["NNa", /no list/],
    [")Na", /no list/], // a tuple
    ["]Nu", /mark is missing/],
    ["](Nu", /no dict/],
    ["}(Nu", /no dict/],
    ["h\x05", /nothing is remembered as number 5/],
    ["N)R", /no function/],
    ["}]R", /no function/],
    ["cx", /does not end/],
    [[0x8c, 1, 0xff], /not UTF-8/],
    [[0xfe], /opcode 254 at byte 2 is unknown/],
    [[...global("collections", "OrderedDict"), 0x4e, 0x85, 0x52], /OrderedDict is called/],
  ];
  for (const [body, message] of wrong) {
    assert.throws(() => read(bytes([0x80, 2], body, ".")), { name: "SyntaxError", message });
  }
});

Deno.test("readPickle() believes no length that it cannot see", () => {
  const huge = [255, 255, 255, 255, 255, 255, 255, 127];
  for (const opcode of [0x8d, 0x8e, 0x96]) { // eight-byte lengths
    assert.throws(() => read(bytes([0x80, 4, opcode], huge, ".")), /truncated/);
  }
  for (const opcode of [0x58, 0x42]) {
    assert.throws(() => read(bytes([0x80, 4, opcode, 255, 255, 255, 255, 46])), /truncated/);
  }
  assert.throws(() => read(bytes([0x80, 4, 0x8b, 0, 0, 0, 1], ".")), /at most 64 bytes/);
  // a far memo number takes no room; marks nest without recursion
  assert.equal(read(bytes([0x80, 2, 0x4e, 0x72, 255, 255, 255, 255], ".")), null);
  const deep = bytes([0x80, 2], "(".repeat(100_000), "N", "l".repeat(100_000), ".");
  const long = bytes([0x80, 2], "N0".repeat(600_000), "N.");
  assert.throws(() => read(long), { name: "RangeError", message: /at most 1000000 steps/ });
  let depth = 0;
  for (let at = read(deep); Array.isArray(at); at = at[0]) depth++;
  assert.equal(depth, 100_000);
});

Deno.test("readPickle() throws a RangeError or SyntaxError on every beginning of a file", () => {
  const whole = base64(DUMPS[4]);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(
      () => read(whole.subarray(0, length)),
      (error) => error instanceof RangeError || error instanceof SyntaxError,
    );
  }
});

Deno.test("readPickle() brings back whatever was pickled", () => {
  const key = fc.oneof(fc.string(), fc.integer());
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.string({ unit: "binary" }),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value")),
      fc.array(fc.tuple(key, tie("value"))).map((entries) => new Map(entries)),
    ),
  }));
  fc.assert(fc.property(value, (given) => {
    assert.deepEqual(read(pickle(given)), given);
    const tuple = read(pickle(new Tuple([given, new Raw(opcodes(given))])));
    assert.deepEqual(tuple, [given, given]);
  }));
});
