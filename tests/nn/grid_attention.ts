import * as tf from "@tensorflow/tfjs";
import type { Attention } from "../../lib/nn/attention.ts";

/** An attention applied to q, k, v on the grid: [B, h, w, heads, d], as the result. */
export function attentionOnGrid(
  { attend }: Attention,
  { q, k, v, layer = 0 }: { q: tf.Tensor; k: tf.Tensor; v: tf.Tensor; layer?: number },
): tf.Tensor {
  const [B, h, w, heads, d] = q.shape as [number, number, number, number, number];
  const tokens = (x: tf.Tensor) => tf.reshape(x, [B, h * w, heads, d]);
  return tf.reshape(attend(tokens(q), tokens(k), tokens(v), layer), q.shape);
}
