/**
 * Trees: parameters, optimiser moments and batches are plain nested objects and arrays whose
 * leaves are tensors. This is the only module that knows how to walk them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** A nested structure with leaves of type `T`. Entries that are `undefined` are skipped. */
export type Tree<T> = T | Tree<T>[] | { [key: string]: Tree<T> };

function walk(
  tree: unknown,
  path: string,
  visit: (leaf: tf.Tensor, path: string) => unknown,
): unknown {
  if (tree === undefined || tree === null) return tree;
  if (tree instanceof tf.Tensor) return visit(tree, path);
  const under = (key: string | number) => path === "" ? `${key}` : `${path}.${key}`;
  if (Array.isArray(tree)) return tree.map((child, i) => walk(child, under(i), visit));
  if (typeof tree === "object") {
    const out: Record<string, unknown> = {};
    for (const [key, child] of Object.entries(tree)) out[key] = walk(child, under(key), visit);
    return out;
  }
  throw new TypeError(
    `Cannot walk the tree as each leaf must be a tensor: "${path}" is a ${typeof tree}`,
  );
}

/**
 * Replaces each tensor of a tree, keeping its shape.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { treeEntries, treeMap } from "./tree.ts";
 *
 * const tree = { proj: { weight: tf.ones([2, 3]) }, levels: [{ fac: tf.scalar(0.5) }] };
 * const shapes = treeEntries(treeMap(tree, (t) => tf.zerosLike(t)));
 * assert.deepEqual(shapes.map(([path]) => path), ["proj.weight", "levels.0.fac"]);
 * ```
 */
export function treeMap<T>(tree: T, fn: (leaf: tf.Tensor, path: string) => tf.Tensor): T {
  return walk(tree, "", fn) as T;
}

/** The leaves of a tree with their paths (`down_levels.0.1.ff.up_proj.weight`), in order of insertion. */
export function treeEntries(tree: unknown): [path: string, leaf: tf.Tensor][] {
  const entries: [string, tf.Tensor][] = [];
  walk(tree, "", (leaf, path) => entries.push([path, leaf]));
  return entries;
}

/** The leaves of a tree, in order of insertion. */
export function treeLeaves(tree: unknown): tf.Tensor[] {
  return treeEntries(tree).map(([, leaf]) => leaf);
}

/** The number of scalars in a tree. */
export function treeSize(tree: unknown): number {
  return treeLeaves(tree).reduce((sum, leaf) => sum + leaf.size, 0);
}

/** Disposes each tensor of a tree. */
export function treeDispose(tree: unknown): void {
  for (const leaf of treeLeaves(tree)) leaf.dispose();
}
