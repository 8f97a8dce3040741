/**
 * ONNX Runtime sessions, run synchronously through the package's own binding: its public `run`
 * is the same call behind a `setImmediate`, so nothing is lost, and `tensor.dataSync()` works.
 *
 * @module
 */
import { binding, initOrt } from "onnxruntime-node/dist/binding.js";
import type { Data, DType, Lowered, Shape } from "./graph.ts";
import { encodeModel } from "./proto.ts";

/** What the binding takes for an input: its memory is read in place, never copied. */
export type Feed = { type: DType; dims: Shape; data: Data; location: "cpu" };

export type SessionOptions = {
  /** Threads inside one operation. Default: the number of cores. */
  threads?: number;
  /** Keep freed memory for the next run. Faster for large graphs, wasteful for many small ones. */
  arena?: boolean;
  /**
   * Let threads wait busily for the next operation. Right for large graphs; a session of few
   * operations takes 20 times as long to make and to release with it.
   */
  spin?: boolean;
  /** Write ONNX Runtime's profile of each operation to files with this prefix, in the working folder. */
  profile?: string;
};

/** A compiled graph. */
export class Session {
  #native: InstanceType<typeof binding.InferenceSession> | undefined;
  #fetches: Record<string, null>;

  constructor(
    lowered: Lowered,
    { threads, arena = true, spin = true, profile }: SessionOptions = {},
  ) {
    initOrt();
    const bytes = encodeModel(lowered.model);
    this.#fetches = Object.fromEntries(lowered.fetches.map(({ name }) => [name, null]));
    this.#native = new binding.InferenceSession();
    this.#native.loadModel(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength, {
      intraOpNumThreads: threads ?? navigator.hardwareConcurrency,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableMemPattern: false, // plans for the worst case: half as much memory again, no faster
      enableCpuMemArena: arena,
      logSeverityLevel: 3,
      ...(profile ? { enableProfiling: true, profileFilePrefix: profile } : {}),
      // denormal second moments and attention tails would cost up to a hundred times as much; it holds for the
      // calling thread from then on, JavaScript's numbers included
      extra: {
        session: {
          set_denormal_as_zero: "1",
          intra_op: { allow_spinning: spin ? "1" : "0" },
        },
      },
    });
  }

  /** Runs the graph. The outputs' memory is the runtime's own; it is freed with the arrays. */
  run(feeds: Readonly<Record<string, Feed>>): Record<string, { data: Data }> {
    if (!this.#native) throw new TypeError("Cannot run the session as it has been released");
    // deno-lint-ignore no-explicit-any -- the binding's types ask for its Tensor class, its code for these four fields
    return this.#native.run(feeds as any, this.#fetches, {}) as any;
  }

  endProfiling(): void {
    this.#native?.endProfiling();
  }

  release(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }
}

/** Sessions by key; the least recently used one is released when there are more than `bound`. */
export class SessionCache<K> {
  #sessions = new Map<K, Session>();
  constructor(readonly bound: number) {}

  get size(): number {
    return this.#sessions.size;
  }

  get(key: K, create: () => Session): Session {
    const session = this.#sessions.get(key) ?? create();
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    if (this.#sessions.size > this.bound) {
      const [oldest, unused] = this.#sessions.entries().next().value!;
      this.#sessions.delete(oldest);
      unused.release();
    }
    return session;
  }

  clear(): void {
    for (const session of this.#sessions.values()) session.release();
    this.#sessions.clear();
  }
}
