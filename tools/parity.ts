/**
 * `deno task parity`: the library against numbers that the reference implementation computed, one line a case.
 *
 * @module
 */
import { Option } from "commander";
import { command, runCommand } from "../lib/command.ts";
import { type EngineName, engineNames, setEngine } from "../lib/engine/engine.ts";
import { handlers } from "../tests/parity/registry.ts";
import { type CaseResult, type MissingCase, runParity } from "../tests/parity/run.ts";

type Flags = { fixtures: string; allowMissing: boolean; engine: EngineName };

const program = command(
  "parity",
  "Compare the library with numbers computed by the reference implementation; exits with 1 if a case fails or is missing",
)
  .requiredOption(
    "--fixtures <dir>",
    "folder of rooms (module, model …), one room, or a folder of cases",
  )
  .option("--allow-missing", "tolerate cases that there is no code for", false)
  .addOption(
    new Option("--engine <name>", "engine to compute with").choices(engineNames)
      .default("onnxruntime"),
  )
  .action(main);

async function main({ fixtures: dir, allowMissing, engine }: Flags): Promise<void> {
  await setEngine(engine);
  const count = { ok: 0, FAIL: 0, missing: 0 };
  for await (const outcome of runParity({ dir, handlers })) {
    const verdict = "missing" in outcome ? "missing" : outcome.ok ? "ok" : "FAIL";
    count[verdict]++;
    console.log(line(outcome, verdict));
  }
  const total = count.ok + count.FAIL + count.missing;
  console.log(
    `${total} cases on ${engine}: ${count.ok} ok, ${count.FAIL} failed, ${count.missing} missing`,
  );
  if (count.FAIL > 0 || count.missing > 0 && !allowMissing) Deno.exitCode = 1;
}

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

await runCommand(program);
