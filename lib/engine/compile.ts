/**
 * `compile(fn)`: trace once, then run the graph.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import * as tf from "@tensorflow/tfjs";
import type { CompileStats } from "./compile_stats.ts";
import { OnnxRuntimeBackend, type Traced } from "./onnxruntime/backend.ts";
import { sameShape } from "./onnxruntime/graph.ts";
import { graphRunner } from "./tensorflow/graph_runner.ts";
import { treeEntries, treeMap } from "./tree.ts";

export type { CompileStats } from "./compile_stats.ts";

/** How many input shapes a compiled function keeps ready. */
const PLANS = 8;

export type CompileOptions = {
  /**
   * Threads inside one operation, on `onnxruntime`. Default: the number of cores. 1 is right for a few cheap
   * operations between calls of a model: the threads of two graphs wait busily, and hold up one another.
   */
  threads?: number;
  /** Write ONNX Runtime's profile of each operation to files with this prefix. */
  profile?: string;
};

/** A function over trees of tensors that is traced once for each set of input shapes. */
export type Compiled<A, B> = {
  (args: A): Promise<B>;
  /** What the calls so far cost. */
  readonly stats: CompileStats;
  /** Frees the compiled graphs. */
  dispose(): void;
};

const toEventLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

/**
 * Makes a function over trees of tensors run as one graph.
 *
 * On the `onnxruntime` engine the function is called once for each set of input shapes, with
 * tensors that have no numbers; what it does is recorded, gradients included, compiled, and run
 * on each call with no tracing. On `tensorflow` the first call computes as it is recorded, and what
 * was recorded runs as one TensorFlow graph (on a GPU, and where the function reads its inputs, it
 * is called each time). On `cpu` it is called each time, under `tf.tidy`.
 *
 * The function must be pure: it must not read tensors, and the numbers it takes from outside
 * (tensors, seeds, learning rates) are baked in; what changes from call to call is an argument.
 * The inputs are not disposed; the outputs are the caller's. Between calls the event loop turns.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as tf from "@tensorflow/tfjs";
 * import { setEngine } from "./engine.ts";
 * import { compile } from "./compile.ts";
 *
 * await setEngine();
 * const step = compile(({ w, x }: { w: tf.Tensor; x: tf.Tensor }) => ({ y: x.mul(w).sum() }));
 * const { y } = await step({ w: tf.scalar(2), x: tf.tensor1d([1, 2, 3]) });
 * assert.equal((await y.data())[0], 12);
 * step.dispose();
 * ```
 */
export function compile<A, B>(fn: (args: A) => B, options: CompileOptions = {}): Compiled<A, B> {
  const stats: CompileStats = {
    traces: 0,
    calls: 0,
    callMs: 0,
    traceMs: 0,
    compileMs: 0,
    runMs: 0,
    nodes: 0,
  };
  let plans: Plan<B>[] = []; // the one used last comes first
  const graphs = graphRunner(fn, stats);

  const call = async (args: A): Promise<B> => {
    await toEventLoop();
    const start = performance.now();
    try {
      return run(args);
    } finally {
      stats.callMs += performance.now() - start;
    }
  };

  const run = (args: A): B => {
    stats.calls++;
    const backend = tf.backend();
    if (tf.getBackend() === "tensorflow") return graphs.run(args);
    if (!(backend instanceof OnnxRuntimeBackend)) {
      const start = performance.now();
      const out = tf.tidy(() => fn(args) as tf.TensorContainer) as B;
      stats.runMs += performance.now() - start;
      return out;
    }
    const entries = treeEntries(args);
    let plan = plans.find((plan) => plan.fits(entries));
    if (!plan) {
      plan = makePlan(backend, { fn, args, entries, options });
      const { traceMs, compileMs, nodes } = plan.traced;
      stats.traces++;
      stats.traceMs += traceMs;
      stats.compileMs += compileMs;
      stats.nodes = nodes;
    }
    if (plan !== plans[0]) {
      plans = [plan, ...plans.filter((other) => other !== plan)];
      for (const unused of plans.splice(PLANS)) unused.traced.release();
    }
    const { outputs, runMs } = plan.traced.run(entries.map(([, leaf]) => leaf));
    stats.runMs += runMs;
    let next = 0;
    return treeMap(plan.result, () => outputs[next++]);
  };

  return Object.assign(call, {
    stats,
    dispose: () => {
      for (const { traced } of plans) traced.release();
      plans = [];
      graphs.release();
    },
  });
}

type Entries = ReturnType<typeof treeEntries>;

/** A compiled graph, the inputs that it is for, and the tree that its outputs belong in. */
type Plan<B> = { fits(entries: Entries): boolean; traced: Traced; result: B };

function makePlan<A, B>(
  backend: OnnxRuntimeBackend,
  { fn, args, entries, options }: {
    fn: (args: A) => B;
    args: A;
    entries: Entries;
    options: CompileOptions;
  },
): Plan<B> {
  const wanted = entries.map(([path, { dtype, shape }]) => ({ path, dtype, shape: [...shape] }));
  let result: B | undefined;
  const traced = backend.trace(entries.map(([, leaf]) => leaf), (placeholders) => {
    let next = 0;
    const given = treeMap(args, () => placeholders[next++]);
    result = tf.tidy(() => fn(given) as tf.TensorContainer) as B;
    return treeEntries(result).map(([, leaf]) => leaf);
  }, options);
  return {
    traced,
    result: result!,
    fits: (entries) =>
      entries.length === wanted.length &&
      wanted.every(({ path, dtype, shape }, i) =>
        entries[i][0] === path && entries[i][1].dtype === dtype &&
        sameShape(entries[i][1].shape, shape)
      ),
  };
}
