/**
 * What {@link module:compile} does on this engine: the first call for a set of input shapes is
 * recorded while it computes, later ones run the recorded graph.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { CompileStats } from "../compile_stats.ts";
import { treeEntries, treeMap } from "../tree.ts";
import { type TracedGraph, traceGraph } from "./trace.ts";

/** How many sets of input shapes keep their graph. */
const GRAPHS = 8;

type Plan<B> = { graph: TracedGraph | undefined; result: B };

/** Runs a function over trees of tensors, as a graph where it can be one. */
export type GraphRunner<A, B> = { run(args: A): B; release(): void };

/** A runner of `fn`; what its calls cost is added to `stats`. */
export function graphRunner<A, B>(fn: (args: A) => B, stats: CompileStats): GraphRunner<A, B> {
  const plans = new Map<string, Plan<B>>(); // the one used last comes last
  const eagerly = (args: A) => {
    const result = tf.tidy(() => fn(args) as tf.TensorContainer) as B;
    const given = new Set(treeEntries(args).map(([, leaf]) => leaf));
    // what is handed through gets a name of its own: outputs are the caller's to dispose
    return treeMap(result, (leaf) => given.has(leaf) ? tf.clone(leaf) : leaf);
  };

  /** Computes the outputs and keeps the graph, if there is one, for the next call. */
  const trace = (args: A, key: string): B => {
    let result: B | undefined;
    const { outputs, graph } = traceGraph(treeEntries(args).map(([, leaf]) => leaf), (leaves) => {
      let next = 0;
      result = eagerly(treeMap(args, () => leaves[next++]));
      return treeEntries(result).map(([, leaf]) => leaf);
    });
    plans.set(key, { graph, result: result! });
    for (const [oldest, { graph }] of plans) {
      if (plans.size <= GRAPHS) break;
      plans.delete(oldest);
      graph?.release();
    }
    stats.traces++;
    stats.nodes = graph?.nodes ?? 0;
    let next = 0;
    return treeMap(result!, () => outputs[next++]);
  };

  const run = (args: A): B => {
    const start = performance.now();
    const entries = treeEntries(args);
    const key = entries.map(([path, { dtype, shape }]) => `${path}:${dtype}[${shape}]`).join(";");
    const plan = plans.get(key);
    if (!plan) {
      const outputs = trace(args, key);
      stats.traceMs += performance.now() - start;
      return outputs;
    }
    plans.delete(key);
    plans.set(key, plan);
    let outputs: B;
    if (plan.graph) {
      const results = plan.graph.run(entries.map(([, leaf]) => leaf));
      let next = 0;
      outputs = treeMap(plan.result, () => results[next++]);
    } else {
      outputs = eagerly(args);
    }
    stats.runMs += performance.now() - start;
    return outputs;
  };

  return {
    run,
    release() {
      for (const { graph } of plans.values()) graph?.release();
      plans.clear();
    },
  };
}
