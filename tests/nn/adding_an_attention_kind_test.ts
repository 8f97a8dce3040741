import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { join } from "@std/path";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The section's code by the file that each block names in its first line. */
function blocks(): Map<string, string> {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [text] = /\n## Adding a kind of attention\n[\s\S]*?(?=\n## )/.exec(readme)!;
  const found = text.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g);
  return new Map(Array.from(found, ([, file, code]) => [file, code]));
}

/** What the section does not do for brevity: the new kind against dense attention with a mask, and its refusal. */
const ORACLE = `
import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "./lib/engine/engine.ts";
import { presets } from "./lib/models/presets.ts";
import { checkSpec } from "./lib/models/spec.ts";
import { globalAttention } from "./lib/nn/global_attention.ts";
import { gridKind } from "./lib/nn/grid_attention.ts";

await setEngine("cpu");
const attention = { kind: "grid", dHead: 4, stride: 2 } as const;
const level = { ...presets.smoke.levels[0], attention: { ...attention, dHead: 16 } };
assert.throws(
  () => checkSpec({ ...presets.smoke, levels: [level] }, [12, 16]),
  /stride is 2, grid is 3 × 4 \\(level 0, input 12 × 16\\)/,
);
const [h, w] = [4, 6], same = (a: number, b: number) => (a - b) % 2 === 0;
const seen = Array.from({ length: (h * w) ** 2 }, (_, i) => {
  const a = Math.floor(i / (h * w)), b = i % (h * w);
  return same(Math.floor(a / w), Math.floor(b / w)) && same(a % w, b % w);
});
assert.equal(seen.filter(Boolean).length, gridKind.pairs(attention, { grid: [h, w], layer: 0 }));
const mask = tf.tensor2d(Float32Array.from(seen, (sees) => sees ? 0 : -1e9), [h * w, h * w]);
const [q, k, v] = [1, 2, 3].map((seed) => tf.randomNormal([1, h * w, 2, 4], 0, 1, "float32", seed));
const found = gridKind.attention(attention, { grid: [h, w], heads: 2 }).attend(q, k, v, 0);
const expected = globalAttention({ mask }).attend(q, k, v, 0);
assert.ok(tf.max(tf.abs(tf.sub(found, expected))).dataSync()[0] < 1e-5);
console.log("agrees with its rule");
`;

Deno.test("README.md adds a kind of attention to a copy of the library, type-checked, trained and held to its rule", async () => {
  const code = blocks();
  const [kind, line, program] = [...code.keys()];
  assert.equal(line, "lib/nn/attention_kinds.ts");
  assert.equal(code.get(line)!.trim().split("\n").length, 1, "one line in the union");
  assert.ok(code.get(kind)!.trim().split("\n").length <= 35, "some 30 lines");
  const copy = mkdtempSync(join(tmpdir(), "hdit-kind-"));
  const run = async (file: string) => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--check", "--no-lock", "--config", join(root, "deno.json"), file],
      cwd: copy,
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  };
  try {
    for (const part of ["lib", "experiments", "mod.ts", "deno.json"]) {
      cpSync(join(root, part), join(copy, part), { recursive: true });
    }
    writeFileSync(join(copy, kind), code.get(kind)!);
    appendFileSync(join(copy, line), code.get(line)!);
    writeFileSync(join(copy, program), code.get(program)!);
    writeFileSync(join(copy, "oracle.ts"), ORACLE);
    assert.match(await run("oracle.ts"), /agrees with its rule/);
    const [macs, ...losses] = (await run(program)).trim().split("\n").map(Number);
    assert.equal(macs, 16384);
    assert.ok(losses.length === 2 && losses.every((loss) => loss > 0), `${losses}`);
  } finally {
    rmSync(copy, { recursive: true });
  }
});
