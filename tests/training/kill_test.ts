import assert from "node:assert/strict";
import { fromFileUrl } from "@std/path";

const script = fromFileUrl(new URL("./kill_child.ts", import.meta.url));

function child(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", script, ...args],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function numbersOf(process: Deno.ChildProcess) {
  const { success, stdout, stderr } = await process.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

/** Resolves once the folder's newest checkpoint is that of `step` or later. */
async function reached(dir: string, step: number): Promise<void> {
  for (;;) {
    const names = [...Deno.readDirSync(dir)].map(({ name }) => name);
    const steps = names.map((n) => Number(/^checkpoint_(\d+)\.json$/.exec(n)?.[1] ?? -1));
    if (Math.max(-1, ...steps) >= step) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

Deno.test("openTraining() ends with the same bits after its process was killed six times", async () => {
  const whole = await numbersOf(child());
  const dir = await Deno.makeTempDir();
  try {
    for (const [i, step] of [1, 3, 9, 10, 24, 41].entries()) {
      const process = child(dir, "4");
      const output = process.output();
      await reached(dir, step);
      // A different moment of the step each time
      await new Promise((resolve) => setTimeout(resolve, 3 * i));
      process.kill("SIGKILL");
      await output;
    }
    const last = await numbersOf(child(dir));
    assert.ok(last.resumedFrom >= 41);
    assert.deepEqual(last.numbers, whole.numbers);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
