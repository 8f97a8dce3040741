/**
 * Chooses where tfjs computes.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/**
 * `onnxruntime` is the embedded default; `tensorflow` needs `deno task setup --engine tensorflow`
 * and can use an NVIDIA GPU; `cpu` is tfjs's own plain JavaScript, slow and a good oracle.
 */
export type EngineName = "onnxruntime" | "tensorflow" | "cpu";
export const engineNames: readonly EngineName[] = ["onnxruntime", "tensorflow", "cpu"];

/** An engine, or `auto`: `tensorflow` where it is set up and sees a GPU, else `onnxruntime`. */
export type EngineChoice = EngineName | "auto";
export const engineChoices: readonly EngineChoice[] = [...engineNames, "auto"];

/**
 * Makes an engine the one that tfjs computes with. Calling it again is free.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { setEngine } from "./engine.ts";
 *
 * await setEngine("onnxruntime");
 * const y = tf.matMul(tf.ones([2, 3]), tf.ones([3, 4]));
 * assert.deepEqual([...await y.data()], Array(8).fill(3));
 * ```
 */
export async function setEngine(name: EngineChoice = "onnxruntime"): Promise<void> {
  if (!engineChoices.includes(name)) {
    throw new RangeError(
      `Cannot set the engine as it must be one of ${engineChoices.join(", ")}: engine is ${name}`,
    );
  }
  if (name === "auto") return await setEngine(await hasGpu() ? "tensorflow" : "onnxruntime");
  tf.enableProdMode(); // no argument checks by tfjs and no banner
  if (name === "onnxruntime") {
    const { registerOnnxRuntime } = await import("./onnxruntime/register.ts");
    registerOnnxRuntime();
  }
  if (name === "tensorflow") {
    const { registerTensorflow } = await import("./tensorflow/register.ts");
    await registerTensorflow();
  }
  await tf.setBackend(name);
  await tf.ready();
}

/** Whether the engine `tensorflow` is set up and sees a GPU; loads it only where that is likely. */
async function hasGpu(): Promise<boolean> {
  const { isTensorflowGpuLikely, tensorflowDevice } = await import("./tensorflow/register.ts");
  if (!isTensorflowGpuLikely()) return false;
  try {
    await setEngine("tensorflow");
    return tensorflowDevice().gpu;
  } catch {
    return false; // it cannot be loaded here: the default can
  }
}

/** The engine in use. */
export function currentEngine(): EngineName {
  return tf.getBackend() as EngineName;
}
