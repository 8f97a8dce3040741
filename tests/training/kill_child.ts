/** A run of the toy model in the folder given, for `kill_test.ts` to kill; prints the final numbers. */
import { join } from "@std/path";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { openTraining } from "../../lib/training/run.ts";
import { toyBatches, toyModel } from "./toy_model.ts";

await setEngine("cpu");
const [dir, pause] = Deno.args;
const run = await openTraining({
  model: toyModel({ dropout: 0.2 }),
  size: [2, 3],
  batchAt: toyBatches({ B: 4 }),
  steps: 200,
  seed: 2,
  optimiser: { lr: 0.01 },
  accumulate: 2,
  postHocEma: { everySteps: 9 },
  save: { dir: join(dir, "checkpoints"), everySeconds: 0 },
});
for await (const _ of run.steps()) {
  if (pause) await new Promise((resolve) => setTimeout(resolve, Number(pause)));
}
const numbers: Record<string, string> = {};
for (const [path, leaf] of treeEntries(run.state)) {
  numbers[path] = new Uint8Array(Float32Array.from(await leaf.data()).buffer).toHex();
}
console.log(JSON.stringify({ resumedFrom: run.resumedFrom?.step ?? 0, numbers }));
