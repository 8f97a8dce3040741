import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";
import { uniforms } from "../../lib/engine/random.ts";
import { listEmaSnapshots } from "../../lib/training/ema_snapshots.ts";

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

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The step of the newest checkpoint, 0 without any. */
function newest(dir: string): number {
  try {
    const names = Array.from(Deno.readDirSync(join(dir, "checkpoints")), ({ name }) => name);
    return Math.max(0, ...names.map((n) => Number(/^checkpoint_(\d+)\.json$/.exec(n)?.[1] ?? 0)));
  } catch {
    return 0; // not made yet
  }
}

async function averagesOf(dir: string): Promise<Record<string, Uint8Array>> {
  const stored = await listEmaSnapshots(join(dir, "ema"));
  const files = stored.map(async ({ path, step, sigmaRel }) => [
    `${step} ${sigmaRel}`,
    await Deno.readFile(path),
  ]);
  return Object.fromEntries(await Promise.all(files));
}

Deno.test("openTraining() ends with the same bits after its process was killed twenty times", async () => {
  const folder = await Deno.makeTempDir(), dir = join(folder, "killed");
  try {
    const whole = await numbersOf(child(join(folder, "whole")));
    const random = (name: string, i: number) => uniforms({ seed: 4, stream: name }, i, 1)[0];
    for (let i = 0; i < 20; i++) {
      const process = child(dir, "2");
      let ended = false;
      const output = process.output().finally(() => ended = true);
      // In the start-up, or some steps on at any moment of a step
      const more = Math.floor(5 * random("steps", i)), from = newest(dir);
      if (more === 0) await pause(300 * random("start", i));
      while (!ended && newest(dir) < from + more) await pause(1);
      await pause(12 * random("moment", i));
      assert.ok(!ended, "it came to its end before it was killed");
      process.kill("SIGKILL");
      assert.equal((await output).signal, "SIGKILL");
    }
    const last = await numbersOf(child(dir));
    assert.ok(last.resumedFrom >= 20, `${last.resumedFrom}`);
    assert.deepEqual(last.numbers, whole.numbers);
    assert.deepEqual(await averagesOf(dir), await averagesOf(join(folder, "whole")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
