import assert from "node:assert/strict";
import fc from "fast-check";
import { splitByFamily } from "../../lib/data/split.ts";

const families = fc.array(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 2, maxLength: 80 })
  .filter((names) => new Set(names).size >= 2);
const fractions = fc.double({ min: 0.01, max: 0.99, noNaN: true });

Deno.test("splitByFamily() uses each picture once, keeps families whole, and leaves no side empty", () => {
  fc.assert(fc.property(families, fractions, (names, testFraction) => {
    const { train, test } = splitByFamily(names, { testFraction });
    assert.deepEqual([...train, ...test].sort((a, b) => a - b), Array.from(names.keys()));
    const tested = new Set(test.map((i) => names[i]));
    assert.ok(train.every((i) => !tested.has(names[i])));
    assert.ok(train.length > 0 && test.length > 0);
  }));
});

Deno.test("splitByFamily() does not depend on the order of the pictures", () => {
  fc.assert(fc.property(families, fractions, (names, testFraction) => {
    const tested = (list: string[]) =>
      new Set(splitByFamily(list, { testFraction }).test.map((i) => list[i]));
    assert.deepEqual([...tested(names)].sort(), [...tested(names.toReversed())].sort());
  }));
});

Deno.test("splitByFamily() comes near the fraction that is asked for", () => {
  const names = Array.from({ length: 5000 }, (_, i) => `picture ${i}`);
  const { test } = splitByFamily(names, { testFraction: 0.1 });
  assert.ok(Math.abs(test.length - 500) < 5 * 21, `${test.length}`); // standard deviation 21
});

Deno.test("splitByFamily() refuses fractions and sets that leave a side empty", () => {
  assert.throws(() => splitByFamily(["a", "b"], { testFraction: 0 }), /testFraction is 0$/);
  assert.throws(() => splitByFamily(["a", "b"], { testFraction: NaN }), /testFraction is NaN/);
  assert.throws(() => splitByFamily(["a", "a"], { testFraction: 0.5 }), /different pictures is 1/);
});
