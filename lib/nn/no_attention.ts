import type { AttentionKind } from "./attention_kind.ts";

/** No attention: feed-forward blocks alone. */
export type NoAttentionSpec = { kind: "none" };

/** No pairs: a token sees itself. */
export const noAttentionKind: AttentionKind<NoAttentionSpec> = {
  kind: "none",
  local: true,
  check: () => {},
  pairs: () => 0,
  attention: () => ({ attend: (_q, _k, v) => v }),
  anySize: { attention: () => ({ attend: (_q, _k, v) => v }) },
};
