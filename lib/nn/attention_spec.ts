import type { AttentionKind } from "./attention_kind.ts";
import * as kinds from "./attention_kinds.ts";

type Kinds = typeof kinds;
type SpecOf<K> = K extends AttentionKind<infer S> ? S : never;
/** How the tokens of a level attend: the union of the specs of all kinds. */
export type AttentionSpec = { [K in keyof Kinds]: SpecOf<Kinds[K]> }[keyof Kinds];

/** Throws a RangeError that lists the kinds where there is none of that name (a spec may come from a file). */
export function attentionKind<S extends AttentionSpec>(spec: S): AttentionKind<S> {
  const all = Object.values(kinds) as unknown as AttentionKind<S>[];
  const found = all.find(({ kind }) => kind === spec.kind);
  if (found) return found;
  throw new RangeError(
    `Cannot attend as the kind of attention must be one of ${
      all.map(({ kind }) => kind).join(", ")
    }: kind is ${spec.kind}`,
  );
}
