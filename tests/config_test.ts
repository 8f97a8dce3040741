import assert from "node:assert/strict";
import fc from "fast-check";
import { distance } from "fastest-levenshtein";
import { z } from "zod";
import { parseConfig } from "../lib/config.ts";
import { nearest } from "../lib/nearest.ts";
import { formatTable } from "../lib/table.ts";

const attention = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("global"), dHead: z.int().min(1) }),
  z.strictObject({
    kind: z.literal("neighborhood"),
    dHead: z.int().min(1),
    kernelSize: z.int().min(1),
  }),
]);
const schema = z.strictObject({
  name: z.string().min(1).default("base"),
  learningRate: z.number().gt(0).lt(1),
  levels: z.array(z.strictObject({ width: z.int().multipleOf(2), attention })).min(1).max(3),
  skip: z.enum(["lerp", "add", "concat"]),
  size: z.union([z.number(), z.tuple([z.number(), z.number()])]).optional(),
  rates: z.record(z.string(), z.number()).optional(),
  ema: z.union([z.literal("none"), z.strictObject({ decay: z.number() })]).optional(),
});
const right = {
  learningRate: 0.1,
  levels: [{ width: 64, attention: { kind: "global", dHead: 8 } }],
  skip: "add",
};

/** The message of the error that parsing throws. */
function messageOf(value: unknown, name: "TypeError" | "RangeError"): string {
  let message = "";
  assert.throws(() => parseConfig(schema, value, { what: "the spec" }), (error: Error) => {
    message = error.message;
    assert.equal(error.name, name);
    return true;
  });
  return message;
}

Deno.test("parseConfig() returns the value with defaults filled in", () => {
  assert.deepEqual(parseConfig(schema, right, { what: "the spec" }), { name: "base", ...right });
});

Deno.test("parseConfig() names path, current and required value of a single problem", () => {
  const cases: [patch: Record<string, unknown>, name: "TypeError" | "RangeError", text: string][] =
    [
      [{ learningRate: 1 }, "RangeError", "learningRate must be < 1: current value is 1"],
      [{ learningRate: NaN }, "TypeError", "learningRate must be a number: current value is NaN"],
      [{ learningRate: "1" }, "TypeError", 'learningRate must be a number: current value is "1"'],
      [{ learningRate: undefined }, "TypeError", "learningRate is missing: it must be a number"],
      [{ name: "" }, "RangeError", 'name must be >= 1 characters long: current value is ""'],
      [{ levels: [] }, "RangeError", "levels must be >= 1 items long: current value is []"],
      [{ levels: 3 }, "TypeError", "levels must be a list: current value is 3"],
      [
        { skip: "ad" },
        "RangeError",
        'skip must be one of "lerp", "add", "concat": current value is "ad", did you mean "add"?',
      ],
      [{ rates: { a: true } }, "TypeError", "rates.a must be a number: current value is true"],
      [{ size: "big" }, "TypeError", 'size must be a number or a list: current value is "big"'],
      [{ size: [1, "2"] }, "TypeError", 'size[1] must be a number: current value is "2"'],
      [{ ema: 1 }, "TypeError", 'ema must be "none" or an object: current value is 1'],
      [{ ema: { decay: "1" } }, "TypeError", 'ema.decay must be a number: current value is "1"'],
      [
        { ema: { decai: 1, decay: 1 } },
        "TypeError",
        'ema.decai is not a known key: did you mean "decay"?',
      ],
      [
        { levels: [{ ...right.levels[0], width: 3 }] },
        "RangeError",
        "levels[0].width must be a multiple of 2: current value is 3",
      ],
    ];
  for (const [patch, name, text] of cases) {
    assert.equal(messageOf({ ...right, ...patch }, name), `Cannot use the spec as ${text}`);
  }
  assert.equal(
    messageOf(3, "TypeError"),
    "Cannot use the spec as it must be an object: current value is 3",
  );
});

Deno.test("parseConfig() suggests only the keys of the union branch that the kind names", () => {
  const withAttention = (value: unknown) => ({
    ...right,
    levels: [{ width: 2, attention: value }],
  });
  assert.equal(
    messageOf(withAttention({ kind: "global", dHead: 1, kernelSise: 7 }), "TypeError"),
    'Cannot use the spec as levels[0].attention.kernelSise is not a known key: known keys are "kind", "dHead"',
  );
  assert.equal(
    messageOf(
      withAttention({ kind: "neighborhood", dHead: 1, kernelSize: 3, kernelSise: 7 }),
      "TypeError",
    ),
    'Cannot use the spec as levels[0].attention.kernelSise is not a known key: did you mean "kernelSize"?',
  );
  assert.match(
    messageOf(withAttention({ kind: "neighbourhood" }), "RangeError"),
    /attention\.kind must be one of "global", "neighborhood".*did you mean "neighborhood"\?$/,
  );
});

Deno.test("parseConfig() lists several problems together", () => {
  assert.equal(
    messageOf({ ...right, learningRate: 2, skpi: "add", levels: [] }, "TypeError"),
    [
      "Cannot use the spec, 3 problems:",
      "- learningRate must be < 1: current value is 2",
      "- levels must be >= 1 items long: current value is []",
      '- skpi is not a known key: did you mean "skip"?',
    ].join("\n"),
  );
});

Deno.test("parseConfig() suggests a nearest key for any typo of at most two edits", () => {
  const keys = Object.keys(schema.shape);
  const letter = fc.constantFrom(..."abcdefghijklmnopqrstuvwxyzLR_");
  const edit = fc.record({
    kind: fc.constantFrom("insert", "delete", "replace"),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    letter,
  });
  fc.assert(fc.property(
    fc.constantFrom(...keys),
    fc.array(edit, { minLength: 1, maxLength: 2 }),
    (key, edits) => {
      const typo = edits.reduce((word, { kind, at, letter }) => {
        const i = Math.floor(at * (word.length + 1));
        return word.slice(0, i) + (kind === "delete" ? "" : letter) +
          word.slice(kind === "insert" ? i : i + 1);
      }, key);
      fc.pre(!keys.includes(typo));
      const message = messageOf({ ...right, [typo]: 1 }, "TypeError");
      const suggested = message.match(/did you mean "(.*)"\?/)?.[1];
      assert.ok(suggested !== undefined && keys.includes(suggested), message);
      const least = Math.min(...keys.map((other) => distance(typo, other)));
      assert.ok(distance(typo, suggested) === least, `${typo}: ${suggested} is not the nearest`);
    },
  ));
});

Deno.test("parseConfig() throws nothing but TypeError and RangeError, whatever the value", () => {
  fc.assert(fc.property(fc.anything(), fc.constantFrom(...Object.keys(right)), (value, key) => {
    for (const input of [value, { ...right, [key]: value }]) {
      try {
        parseConfig(schema, input, { what: "the spec" });
      } catch (error) {
        assert.ok(error instanceof Error && ["TypeError", "RangeError"].includes(error.name));
        assert.match(error.message, /^Cannot use the spec/);
      }
    }
  }));
});

Deno.test("nearest() prefers the same word in another case and refuses far ones", () => {
  assert.equal(nearest("DHEAD", ["dHead", "head"]), "dHead");
  assert.equal(nearest("zzz", ["dHead"]), undefined);
  assert.equal(nearest("a", []), undefined);
});

Deno.test("formatTable() aligns text to the left and numbers to the right", () => {
  const rows = [{ arm: "base", loss: 0.25, note: "-" }, {
    arm: "add",
    loss: undefined,
    note: "±1",
  }];
  const text = formatTable(rows, {
    indent: "  ",
    columns: [
      { title: "arm", value: (row) => row.arm },
      { title: "loss", value: (row) => row.loss },
      { title: "note", value: (row) => row.note },
    ],
  });
  assert.equal(
    text,
    ["  arm   loss  note", "  ----  ----  ----", "  base  0.25  -", "  add         ±1"].join("\n"),
  );
});

Deno.test("formatTable() shows the head of an empty table", () => {
  const columns = [{ title: "arm", value: () => "x" }];
  assert.equal(formatTable([], { columns }), "arm\n---");
});
