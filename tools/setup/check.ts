/**
 * A product, a gradient and the kernel that needs the mended API, through the tensorflow engine;
 * prints what it found as JSON.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { tensorflowDevice } from "../../lib/engine/tensorflow/register.ts";

await setEngine("tensorflow");
const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
assert.deepEqual([...await tf.matMul(x, x).data()], [7, 10, 15, 22]);
const [dx] = tf.grads((x) => tf.sum(tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D)))([x]);
assert.deepEqual([...await dx.data()], [7, 11, 9, 13]);
assert.deepEqual([...await tf.topk(x, 1).values.data()], [2, 4]);
console.log(JSON.stringify({ ok: true, ...tensorflowDevice() }));
