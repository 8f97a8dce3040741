/**
 * Parameters described before they exist: each layer's `initX` says which shapes it needs and what they
 * start from, as a tree of {@link Init}. The same description gives tensors ({@link createParams}), the names and
 * shapes a checkpoint must have, and the parameter count.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { normals, type Stream, substream, uniforms } from "../engine/random.ts";

/** What a tensor starts from: a constant, U(−bound, bound), N(0, std²) with std 1 by default, or given numbers. */
export type Start =
  | { kind: "fill"; value: number }
  | { kind: "uniform"; bound: number }
  | { kind: "normal"; std?: number }
  | { kind: "data"; data: Float32Array };
/** One tensor to be: its shape and what it starts from. */
export type Init = { shape: number[]; start: Start };
/** A parameter tree with {@link Init} where the tensors will be. */
export type Inits<P> = P extends tf.Tensor ? Init : { [K in keyof P]: Inits<P[K]> };

/** The leaves of a described tree with their paths, in order of insertion. */
export function initEntries(inits: unknown): [path: string, init: Init][] {
  const entries: [string, Init][] = [];
  walk(inits, "", (init, path) => entries.push([path, init]));
  return entries;
}

/** Replaces every {@link Init} of a tree by a tensor. */
export function mapInits<P>(inits: Inits<P>, fn: (init: Init, path: string) => tf.Tensor): P {
  return walk(inits, "", fn) as P;
}

/**
 * The tensors of a described tree; each draws from its own stream, named by its path, so that a parameter's
 * first value does not depend on which others exist.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { createParams } from "./init.ts";
 * import { initLinear, type LinearParams } from "./linear.ts";
 *
 * const random = { seed: 0, stream: "model" };
 * const linear = createParams<LinearParams>(initLinear({ inFeatures: 4, outFeatures: 3 }), random);
 * assert.deepEqual(linear.weight.shape, [3, 4]);
 * ```
 */
export function createParams<P>(inits: Inits<P>, random: Stream): P {
  return mapInits<P>(inits, (init, path) => startTensor(init, { random, path }));
}

/** One tensor as {@link createParams} makes it: its numbers depend on its path alone. */
export function startTensor(
  { shape, start }: Init,
  { random, path }: { random: Stream; path: string },
): tf.Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const stream = substream(random, path);
  switch (start.kind) {
    case "fill":
      return tf.fill(shape, start.value);
    case "uniform":
      return tf.tensor(uniforms(stream, 0, n).map((u) => (2 * u - 1) * start.bound), shape);
    case "normal":
      return tf.tensor(normals(stream, 0, n).map((x) => x * (start.std ?? 1)), shape);
    case "data":
      return tf.tensor(start.data, shape);
  }
}

function isInit(node: object): node is Init {
  return "start" in node && "shape" in node;
}

function walk(node: unknown, path: string, fn: (init: Init, path: string) => unknown): unknown {
  if (node === undefined) return undefined;
  const under = (key: string | number) => path === "" ? `${key}` : `${path}.${key}`;
  if (Array.isArray(node)) return node.map((child, i) => walk(child, under(i), fn));
  if (isInit(node as object)) return fn(node as Init, path);
  return Object.fromEntries(
    Object.entries(node as object).map(([key, child]) => [key, walk(child, under(key), fn)]),
  );
}
