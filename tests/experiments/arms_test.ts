import assert from "node:assert/strict";
import { applyDifference, armsOn, BASE, oneAtATime, paperRows } from "../../experiments/arms.ts";
import { cost } from "../../lib/models/cost.ts";
import { presets } from "../../lib/models/presets.ts";

Deno.test("applyDifference() changes what the arm names and nothing else", () => {
  const base = presets["emoji-64"];
  for (const { name, axis, difference } of oneAtATime) {
    const spec = applyDifference(base, difference);
    const changed = Object.keys(base).filter((key) =>
      JSON.stringify(spec[key as keyof typeof spec]) !==
        JSON.stringify(base[key as keyof typeof base])
    );
    const expected: Record<string, string[]> = {
      position: ["position"],
      skip: ["skip"],
      attention: ["levels"],
      "feed-forward": ["levels", "mapping", "feedForward"],
      weighting: [],
    };
    assert.deepEqual(changed.toSorted(), expected[axis].toSorted(), name);
  }
});

Deno.test("applyDifference() keeps the global attention of the innermost level", () => {
  const { difference } = oneAtATime.find(({ name }) => name === "attention-shifted-window")!;
  const { levels } = applyDifference(presets["emoji-64"], difference);
  assert.deepEqual(levels.map(({ attention }) => attention.kind), ["shifted-window", "global"]);
});

Deno.test("paperRows have the models of the presets of the same names", () => {
  for (const { name, difference } of paperRows) {
    const row = { F1: "E-concat", F2: "E-add", E2: "E", E3: "E", R4: "R3" }[name] ?? name;
    const preset = presets[`imagenet-128/${row}` as keyof typeof presets];
    assert.deepEqual(applyDifference(presets["imagenet-128/E"], difference), preset, name);
  }
});

Deno.test("paperRows cost what the paper's Table 1 prints, in multiply-adds at 128 px", () => {
  const printed: Record<string, number> = { R3: 106, R4: 106, A: 32, B1: 29, B2: 29, C: 31, D: 31 };
  for (const [name, giga] of Object.entries(printed)) {
    const { difference } = paperRows.find((arm) => arm.name === name)!;
    const spec = applyDifference(presets["imagenet-128/E"], difference);
    assert.equal(Math.round(cost(spec, [128, 128]).macs / 1e9), giga, name);
  }
});

Deno.test("armsOn() takes the position arms along for the resolution axis", () => {
  const names = armsOn(oneAtATime, ["resolution"]).map(({ name }) => name);
  assert.deepEqual(names, ["position-additive"]);
});

Deno.test("arms have names of their own", () => {
  for (const arms of [oneAtATime, paperRows]) {
    const names = [BASE.name, ...arms.map(({ name }) => name)];
    assert.equal(new Set(names).size, names.length);
  }
});
