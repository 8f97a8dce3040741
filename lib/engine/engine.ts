/**
 * Chooses where tfjs computes.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** `onnxruntime` is the embedded default; `cpu` is tfjs's own plain JavaScript, slow and a good oracle. */
export type EngineName = "onnxruntime" | "cpu";
export const engineNames: readonly EngineName[] = ["onnxruntime", "cpu"];

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
export async function setEngine(name: EngineName = "onnxruntime"): Promise<void> {
  if (!engineNames.includes(name)) {
    throw new RangeError(
      `Cannot set the engine as it must be one of ${engineNames.join(", ")}: engine is ${name}`,
    );
  }
  tf.enableProdMode(); // no argument checks by tfjs and no banner
  if (name === "onnxruntime") {
    const { registerOnnxRuntime } = await import("./onnxruntime/register.ts");
    registerOnnxRuntime();
  }
  await tf.setBackend(name);
  await tf.ready();
}

/** The engine in use. */
export function currentEngine(): EngineName {
  return tf.getBackend() as EngineName;
}
