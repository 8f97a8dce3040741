import type { OnnxRuntimeBackend } from "../backend.ts";
import { isConstant, sizeOf, type Storage, subgraph } from "../graph.ts";
import type { DynamicShapes } from "./dynamic_shapes.ts";
import { isFixed } from "./multilinear.ts";

/** Results up to this size are always folded, in bytes. */
const SMALL = 4096;

/**
 * Computes what depends on known tensors alone (slices of weights, scaled weights), where the result
 * is no larger than the largest tensor that it comes from; tables that are computed from little stay
 * operations, so that the file stays small.
 *
 * Folded storages become known ones. Returns the names of known tensors, folded ones named after the
 * first named tensor that they come from.
 */
export function foldConstants(
  backend: OnnxRuntimeBackend,
  { outputs, inputs, dynamic: { shapes, grown }, names }: {
    outputs: readonly Storage[];
    inputs: readonly Storage[];
    dynamic: DynamicShapes;
    names: ReadonlyMap<Storage, string>;
  },
): Map<Storage, string> {
  const { nodes, leaves } = subgraph(outputs);
  const origins = new Map(names);
  /** Known storages with the bytes of the largest tensor that each comes from. */
  const known = new Map<Storage, number>();
  for (const leaf of leaves) {
    if (!inputs.includes(leaf) && !grown.has(leaf)) known.set(leaf, bytesOf(leaf));
  }
  for (const node of nodes) {
    const from = node.inputs.filter((input) => input !== undefined);
    const storages = from.flatMap((input) => isConstant(input) ? [] : [input.storage]);
    const fixed = [...from, ...node.outputs].every((value) => isFixed(shapes.get(value)!));
    if (!fixed || !storages.every((storage) => known.has(storage))) continue;
    const largest = Math.max(SMALL, ...storages.map((storage) => known.get(storage)!));
    const origin = storages.map((storage) => origins.get(storage)).find((name) => name);
    for (const output of node.outputs) {
      known.set(output, largest);
      if (origin) origins.set(output, origin);
    }
  }

  const needed = new Set(outputs), folded: Storage[] = [];
  for (const node of nodes.toReversed()) {
    const wanted = node.outputs.filter((output) => needed.has(output));
    if (wanted.length > 0 && wanted.every((s) => known.has(s) && bytesOf(s) <= known.get(s)!)) {
      folded.push(...wanted);
      continue;
    }
    if (wanted.length === 0) continue;
    for (const input of node.inputs) if (input && !isConstant(input)) needed.add(input.storage);
  }
  if (folded.length > 0) backend.compute(folded);
  return origins;
}

function bytesOf({ shape, dtype }: Storage): number {
  return sizeOf(shape) * (dtype === "bool" ? 1 : 4);
}
