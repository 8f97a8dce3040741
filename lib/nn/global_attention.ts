import * as tf from "@tensorflow/tfjs";
import { type Attention, softmaxAttention } from "./attention.ts";

/** Every token sees every token, or those that a mask [tokens, tokens] leaves. */
export function globalAttention({ mask }: { mask?: tf.Tensor | undefined } = {}): Attention {
  const swap = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]); // [B, tokens, heads, d] and back
  return { attend: (q, k, v) => swap(softmaxAttention(swap(q), swap(k), swap(v), mask)) };
}
