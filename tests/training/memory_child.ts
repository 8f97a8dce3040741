/**
 * Trains a model for a few steps in a process of its own and prints what memory it took: the resident memory before
 * there is a model, and the highest value from then on, in bytes, both as Linux counts them.
 *
 * Arguments: a JSON object { spec, size, batch, steps }.
 */
import * as tf from "@tensorflow/tfjs";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { compile } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import type { HditSpec } from "../../lib/models/spec.ts";
import { openTraining } from "../../lib/training/run.ts";

export type MemoryJob = { spec: HditSpec; size: [number, number]; batch: number; steps: number };
/** Bytes; `byStep` is the highest value so far after each step. */
export type MeasuredMemory = { base: number; peak: number; byStep: number[] };

/** A line of /proc/self/status, in bytes. */
function status(key: "VmRSS" | "VmHWM"): number {
  const text = Deno.readTextFileSync("/proc/self/status");
  return 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(text)![1]);
}

if (import.meta.main) {
  const { spec, size, batch, steps } = JSON.parse(Deno.args[0]) as MemoryJob;
  await setEngine("onnxruntime");
  const warm = compile((x: tf.Tensor) => x.mul(2)); // the runtime's own memory belongs to the base
  const one = tf.ones([8]);
  tf.dispose([one, await warm(one)]);
  warm.dispose();
  const base = status("VmRSS");
  const run = await openTraining({
    model: hditModel(spec),
    size,
    steps,
    batchAt: (step) => ({
      images: normals({ seed: 0, stream: "images" }, step, batch * size[0] * size[1] * 3),
      labels: new Int32Array(batch),
    }),
  });
  const byStep: number[] = [];
  for await (const _ of run.steps()) byStep.push(status("VmHWM"));
  console.log(JSON.stringify({ base, peak: status("VmHWM"), byStep } satisfies MeasuredMemory));
}
