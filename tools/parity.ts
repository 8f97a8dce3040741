/**
 * Compares the library with numbers that the reference implementation computed, one line a case.
 *
 * @module
 */
import { Command, Option } from "commander";
import { type EngineName, engineNames, setEngine } from "../lib/engine/engine.ts";
import { handlers } from "../tests/parity/registry.ts";
import { type CaseResult, type MissingCase, runParity } from "../tests/parity/run.ts";

const options = new Command()
  .name("deno task parity")
  .description("Compare the library with numbers computed by the reference implementation")
  .requiredOption(
    "--fixtures <dir>",
    "folder of rooms (module, model …), one room, or a folder of cases",
  )
  .option("--allow-missing", "tolerate cases that there is no code for yet", false)
  .addOption(
    new Option("--engine <name>", "engine to compute with").choices(engineNames)
      .default("onnxruntime"),
  )
  .parse(Deno.args, { from: "user" })
  .opts<{ fixtures: string; allowMissing: boolean; engine: EngineName }>();

await setEngine(options.engine);
const count = { ok: 0, FAIL: 0, missing: 0 };
try {
  for await (const outcome of runParity({ dir: options.fixtures, handlers })) {
    const verdict = "missing" in outcome ? "missing" : outcome.ok ? "ok" : "FAIL";
    count[verdict]++;
    console.log(line(outcome, verdict));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
const total = count.ok + count.FAIL + count.missing;
console.log(
  `${total} cases on ${options.engine}: ${count.ok} ok, ${count.FAIL} failed, ${count.missing} missing`,
);
Deno.exit(count.FAIL > 0 || count.missing > 0 && !options.allowMissing ? 1 : 0);

/** Name, largest error, tolerance, verdict; for a failure, where. */
function line(outcome: CaseResult | MissingCase, verdict: string): string {
  const name = outcome.name.padEnd(52);
  if ("missing" in outcome) return `${name}${"".padStart(22)}  missing`;
  const { error, tolerance, note } = outcome;
  const numbers = `${error.toExponential(2).padStart(11)}${
    tolerance.toExponential(1).padStart(11)
  }`;
  return `${name}${numbers}  ${verdict}${note ? `  ${note}` : ""}`;
}
