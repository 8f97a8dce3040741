import assert from "node:assert/strict";
import { type ModelPresetName as Name, presets, presetSize } from "../../lib/models/presets.ts";
import { checkSpec, type HditSpec } from "../../lib/models/spec.ts";

Deno.test("presets run at the size that they are for", () => {
  for (const [name, spec] of Object.entries(presets)) checkSpec(spec, presetSize(name as Name));
});

Deno.test("presets have every row of the paper's Tables 1, 2 and 5 and all of Table 6", () => {
  const rows = ["R1", "R2", "R3", "R4", "A", "B1", "B2", "C", "D", "E", "E2", "E3"];
  for (const row of [...rows, "F1", "F2", "G", "H"]) {
    assert.ok(`imagenet-128/${row}` in presets, row);
  }
  const sizes = ["p16", "p8", "p4"].flatMap((p) => ["S", "M", "L"].map((s) => `${p}-${s}`));
  for (const size of sizes) assert.ok(`imagenet-256/${size}` in presets, size);
});

Deno.test("presets of the ablation differ from the row before in what the paper says, and in nothing else", () => {
  const changed = (before: Name, after: Name) => {
    const [a, b] = [presets[before], presets[after]].map((spec: HditSpec) => ({
      ...spec,
      levels: 0,
      mapping: { ...spec.mapping, feedForward: spec.mapping.feedForward ?? spec.feedForward },
    }));
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    const fields = [...keys].filter((key) =>
      JSON.stringify(a[key as keyof typeof a]) !== JSON.stringify(b[key as keyof typeof b])
    );
    const levels = (name: Name) =>
      presets[name].levels.map(({ attention: _, dFf: __, ...level }) => level);
    assert.deepEqual(levels(before), levels(after), after);
    const attention = (name: Name) => JSON.stringify(presets[name].levels.map((l) => l.attention));
    return attention(before) === attention(after) ? fields : [...fields, "attention"];
  };
  const table: [before: string, after: string, fields: string[]][] = [
    ["R1", "R2", []],
    ["R3", "R4", []],
    ["A", "B1", ["attention"]],
    ["A", "B2", ["attention"]],
    ["B2", "C", ["feedForward"]], // and dFf, 4 × to 3 ×
    ["C", "D", ["position"]],
    ["D", "E", []], // the weighting
    ["E", "E2", []],
    ["E", "E3", []],
    ["E", "F1", ["skip"]],
    ["E", "F2", ["skip"]],
    ["E", "G", ["norm"]],
    ["G", "H", ["feedForward", "norm"]],
  ];
  for (const [before, after, fields] of table) {
    const found = changed(`imagenet-128/${before}` as Name, `imagenet-128/${after}` as Name);
    assert.deepEqual(found, fields, `${before} to ${after}`);
  }
});
