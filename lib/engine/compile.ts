/**
 * `compile(fn)`: trace once, then run the graph.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import * as tf from "@tensorflow/tfjs";
import { OnnxRuntimeBackend } from "./onnxruntime/backend.ts";
import { treeEntries, treeMap } from "./tree.ts";

/** How many input shapes a compiled function keeps ready. */
const PLANS = 8;

export type CompileOptions = {
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

/** Times in milliseconds, summed over calls; `runMs` is the time inside the runtime. */
export type CompileStats = {
  traces: number;
  calls: number;
  traceMs: number;
  compileMs: number;
  runMs: number;
  /** Operations in the graph that was compiled last. */
  nodes: number;
};

const toEventLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

/**
 * Makes a function over trees of tensors run as one graph.
 *
 * On the `onnxruntime` engine the function is called once for each set of input shapes, with
 * tensors that have no numbers; what it does is recorded, gradients included, compiled, and run
 * on each call with no tracing. On other engines it is called each time, under `tf.tidy`.
 *
 * The function must be pure: it must not read tensors, and the number it takes from outside
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
    traceMs: 0,
    compileMs: 0,
    runMs: 0,
    nodes: 0,
  };
  const plans = new Map<string, { run(args: A): B; release(): void }>();

  const call = async (args: A): Promise<B> => {
    await toEventLoop();
    stats.calls++;
    const backend = tf.backend();
    if (!(backend instanceof OnnxRuntimeBackend)) {
      const start = performance.now();
      const out = tf.tidy(() => fn(args) as tf.TensorContainer) as B;
      stats.runMs += performance.now() - start;
      return out;
    }
    const key = treeEntries(args).map(([path, t]) => `${path}:${t.dtype}[${t.shape}]`).join(";");
    let plan = plans.get(key);
    plans.delete(key); // and set again below, so that the map is in order of use
    if (!plan) {
      let signature: B | undefined;
      const traced = backend.trace(treeEntries(args).map(([, leaf]) => leaf), (leaves) => {
        const placeholders = [...leaves];
        signature = tf.tidy(() =>
          fn(treeMap(args, () => placeholders.shift()!)) as tf.TensorContainer
        ) as B;
        return treeEntries(signature).map(([, leaf]) => leaf);
      }, options);
      stats.traces++;
      stats.traceMs += traced.traceMs;
      stats.compileMs += traced.compileMs;
      stats.nodes = traced.nodes;
      plan = {
        run: (args) => {
          const { outputs, runMs } = traced.run(treeEntries(args).map(([, leaf]) => leaf));
          stats.runMs += runMs;
          return treeMap(signature!, () => outputs.shift()!);
        },
        release: traced.release,
      };
    }
    plans.set(key, plan);
    if (plans.size > PLANS) {
      const [oldest, unused] = plans.entries().next().value!;
      plans.delete(oldest);
      unused.release();
    }
    return plan.run(args);
  };

  return Object.assign(call, {
    stats,
    dispose: () => {
      for (const plan of plans.values()) plan.release();
      plans.clear();
    },
  });
}
