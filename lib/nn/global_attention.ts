import * as tf from "@tensorflow/tfjs";
import { type Attention, softmaxAttention } from "./attention.ts";
import { type AttentionKind, tokensOf } from "./attention_kind.ts";

/** Every token sees every token. */
export type GlobalAttentionSpec = { kind: "global"; dHead: number };

/** Every token sees every token, or those that a mask [tokens, tokens] leaves. */
export function globalAttention({ mask }: { mask?: tf.Tensor | undefined } = {}): Attention {
  const swap = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]); // [B, tokens, heads, d] and back
  return { attend: (q, k, v) => swap(softmaxAttention(swap(q), swap(k), swap(v), mask)) };
}

/** n² pairs; no border; everything is seen after one layer. */
export const globalKind: AttentionKind<GlobalAttentionSpec> = {
  kind: "global",
  local: false,
  check: () => {},
  pairs: (_, { grid }) => tokensOf(grid) ** 2,
  attention: () => globalAttention(),
  anySize: { attention: () => globalAttention() },
};
