/** A run of the toy model in the folder given, for `kill_test.ts` to kill; prints the final numbers. */
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import { openTraining } from "../../lib/training/run.ts";
import { toyBatches, toyModel } from "./toy_model.ts";

await setEngine("cpu");
const [dir, pause] = Deno.args;
const run = await openTraining({
  model: toyModel({ dropout: 0.2 }),
  size: [2, 3],
  batchAt: toyBatches(),
  steps: 60,
  seed: 2,
  optimiser: { lr: 0.01 },
  ...(dir ? { save: { dir, everySeconds: 0 } } : {}),
});
for await (const _ of run.steps()) {
  if (pause) await new Promise((resolve) => setTimeout(resolve, Number(pause)));
}
const numbers: Record<string, string> = {};
for (const [path, leaf] of treeEntries(run.state)) {
  const bytes = new Uint8Array((Float32Array.from(await leaf.data() as Float32Array)).buffer);
  numbers[path] = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
console.log(JSON.stringify({ resumedFrom: run.resumedFrom?.step ?? 0, numbers }));
