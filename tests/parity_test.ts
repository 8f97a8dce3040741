/**
 * The library against numbers of the reference implementation: a few small fixtures that come with the
 * repository, and all of them where they lie beside it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { dirname, fromFileUrl, join } from "@std/path";
import { setEngine } from "../lib/engine/engine.ts";
import { handlers } from "./parity/registry.ts";
import { type CaseResult, runParity } from "./parity/run.ts";

const here = dirname(fromFileUrl(import.meta.url));
const all = join(here, "..", "..", "shared", "fixtures");

async function assertParity(dir: string, { missing }: { missing: "refused" | "tolerated" }) {
  await setEngine("onnxruntime");
  const outcomes = await Array.fromAsync(runParity({ dir, handlers }));
  const results = outcomes.filter((o): o is CaseResult => !("missing" in o));
  assert.ok(results.length > 0, `no case in ${dir} was compared`);
  const bad = results.filter(({ ok }) => !ok)
    .map(({ name, error, tolerance, note }) => `${name}: ${error} > ${tolerance} (${note})`);
  assert.deepEqual(bad, []);
  if (missing === "refused") assert.equal(results.length, outcomes.length);
}

Deno.test("runParity() passes on the fixtures of the repository", async () => {
  await assertParity(join(here, "fixtures"), { missing: "refused" });
});

const found = isFolder(all);
if (!found) console.log(`Only the repository's own fixtures are compared as there is no ${all}`);
Deno.test({
  name: "runParity() passes on all fixtures of the reference that there is code for",
  ignore: !found,
  fn: () => assertParity(all, { missing: "tolerated" }),
});

Deno.test("runParity() reports cases that it has no code for as missing, and broken ones as failed", async () => {
  const dir = await Deno.makeTempDir();
  const write = (name: string, json: unknown) =>
    Deno.writeTextFileSync(join(dir, `${name}.json`), JSON.stringify(json));
  write("something_new", { tolerance: { metric: "exact", value: 0 }, cases: [{ i: 0 }, { i: 1 }] });
  write("rms_norm", { tolerance: { metric: "max_abs", value: 1 }, cases: [{ i: 0 }] }); // no tensors
  const outcomes = await Array.fromAsync(runParity({ dir, handlers }));
  const verdicts = outcomes.map((o) => [o.name.replace(/.*\//, ""), "missing" in o]);
  assert.deepEqual(verdicts, [["rms_norm", false], ["something_new[0]", true], [
    "something_new[1]",
    true,
  ]]);
  assert.ok("ok" in outcomes[0] && !outcomes[0].ok);
  await Deno.remove(dir, { recursive: true });
});

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
