/**
 * The tfjs backend that records. Kernels add nodes to a graph; reading a tensor writes all that
 * is live and not yet computed as one ONNX model and runs it. {@link module:compile} traces a
 * function once and runs its graph without recording again.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  type Constant,
  type Data,
  type DType,
  type GraphNode,
  lower,
  type Operand,
  type Shape,
  sizeOf,
  type Storage,
  structureKey,
  subgraph,
} from "./graph.ts";
import type { Attribute } from "./proto.ts";
import { type Feed, Session, SessionCache } from "./session.ts";

/** How many graphs of uncompiled code stay ready to run again. */
const EAGER_SESSIONS = 256;

const NOTHING = new Float32Array(0);

/** tfjs's identity of a tensor's data; nothing but an object to key a map by. */
type DataId = object;

type Handle = { storage: Storage; references: number };

export type RecordOptions = {
  shape: Shape;
  dtype: DType;
  attributes?: Readonly<Record<string, Attribute>>;
  domain?: string;
};

/** A function's compiled graph for one set of input shapes. */
export type Traced = {
  run(inputs: readonly tf.Tensor[]): { outputs: tf.Tensor[]; runMs: number };
  release(): void;
  nodes: number;
  traceMs: number;
  compileMs: number;
};

export class OnnxRuntimeBackend extends tf.KernelBackend {
  #handles = new Map<DataId, Handle>();
  #pending = new Set<Storage>();
  #sessions = new SessionCache<string>(EAGER_SESSIONS);
  #nextNode = 0;

  // --- recording -------------------------------------------------------------------------

  /** Records an operation with one output. */
  record(
    op: string,
    inputs: readonly (Operand | Constant | undefined)[],
    { shape, dtype, attributes = {}, domain = "" }: RecordOptions,
  ): Operand {
    return this.recordMany(op, inputs, { outputs: [{ shape, dtype }], attributes, domain })[0];
  }

  /** Records an operation with several outputs. */
  recordMany(
    op: string,
    inputs: readonly (Operand | Constant | undefined)[],
    { outputs, attributes = {}, domain = "" }: Omit<RecordOptions, "shape" | "dtype"> & {
      outputs: readonly { shape: Shape; dtype: DType }[];
    },
  ): Operand[] {
    const storages = outputs.map(({ shape, dtype }): Storage => ({
      shape,
      dtype,
      data: undefined,
      node: undefined,
      handles: 0,
    }));
    const node: GraphNode = {
      id: this.#nextNode++,
      op,
      domain,
      attributes,
      inputs,
      outputs: storages,
    };
    for (const storage of storages) storage.node = node;
    return storages.map((storage) => ({ storage, shape: storage.shape, dtype: storage.dtype }));
  }

  /** Numbers as an operand. */
  constant(data: Data, shape: Shape, dtype: DType): Operand {
    return { storage: { shape, dtype, data, node: undefined, handles: 0 }, shape, dtype };
  }

  /** The operand that a tensor stands for. */
  operand({ dataId, shape, dtype }: tf.TensorInfo): Operand {
    const storage = this.storage(dataId);
    storage.unseen = false; // what is recorded may need it after it is disposed
    return { storage, shape, dtype: dtype as DType };
  }

  /** A new tensor for an operand, optionally under another shape of the same size. */
  tensor({ storage, shape, dtype }: Operand, under: Shape = shape): tf.TensorInfo {
    const dataId: DataId = {};
    this.#hold(dataId, storage);
    return { dataId: dataId as tf.DataId, shape: [...under], dtype };
  }

  storage(dataId: tf.DataId): Storage {
    const handle = this.#handles.get(dataId);
    if (!handle) throw new TypeError("Cannot use the tensor as it has been disposed");
    return handle.storage;
  }

  #hold(dataId: DataId, storage: Storage): void {
    storage.handles++;
    this.#handles.set(dataId, { storage, references: 1 });
    if (storage.node) this.#pending.add(storage);
  }

  // --- computing -------------------------------------------------------------------------

  /** Computes every live tensor that has been recorded and not yet computed. */
  flush(): void {
    if (this.#pending.size === 0) return;
    const pending = [...this.#pending];
    this.#pending.clear(); // even if they fail: the next graph must not fail with them
    this.compute(pending);
  }

  /** Computes recorded storages that depend on nothing but numbers that are known. */
  compute(storages: readonly Storage[]): void {
    const graph = subgraph(storages);
    for (const leaf of graph.leaves) this.#requireData(leaf);
    const lowered = lower(graph, () => false);
    const session = this.#sessions.get(
      structureKey(graph),
      () => new Session(lowered, { arena: false, spin: false }),
    );
    const results = session.run(makeFeeds(lowered.feeds));
    for (const { name, storage } of lowered.fetches) {
      storage.data = results[name].data;
      storage.node = undefined;
    }
  }

  /**
   * Calls `fn` with tensors that have no numbers and compiles what it records. Tensors that `fn`
   * takes from elsewhere are baked into the graph. The function's outputs are disposed here; the
   * tensors that `run` returns have the same shapes.
   */
  trace(
    inputs: readonly tf.Tensor[],
    fn: (placeholders: tf.Tensor[]) => tf.Tensor[],
    options: { threads?: number; profile?: string } = {},
  ): Traced {
    const start = performance.now();
    const { placeholders, outputs } = this.recordCall(
      inputs.map(({ shape, dtype }) => ({ shape, dtype: dtype as DType })),
      fn,
    );
    const computed = [...new Set(outputs.map(({ storage }) => storage))].filter(({ node }) => node);
    const graph = subgraph(computed);
    const position = new Map(placeholders.map((storage, i) => [storage, i]));
    for (const leaf of graph.leaves) if (!position.has(leaf)) this.#requireData(leaf);
    const lowered = lower(graph, (leaf) => !position.has(leaf));
    const traced = performance.now();
    const session = computed.length > 0 ? new Session(lowered, options) : undefined;
    const compiled = performance.now();
    const feeds = makeFeeds(lowered.feeds);
    const slots = lowered.feeds.map(({ name, storage }) => ({ name, i: position.get(storage)! }));
    const names = new Map(lowered.fetches.map(({ name, storage }) => [storage, name]));

    const run = (inputs: readonly tf.Tensor[]) => {
      const given = inputs.map(({ dataId }) => this.storage(dataId));
      if (given.some(({ node }) => node)) this.flush();
      for (const { name, i } of slots) feeds[name].data = this.#requireData(given[i]);
      const start = performance.now();
      const results = session?.run(feeds) ?? {};
      const runMs = performance.now() - start;
      for (const { name } of slots) feeds[name].data = NOTHING; // or the last inputs would live on
      const storages = new Map<Storage, Storage>();
      for (const [storage, name] of names) {
        const { shape, dtype } = storage;
        const { data } = results[name];
        const made: Storage = { shape, dtype, data, node: undefined, handles: 0, unseen: true };
        storages.set(storage, made);
      }
      return {
        runMs,
        outputs: outputs.map(({ storage, shape, dtype }) => {
          const i = position.get(storage); // an input handed through shares its memory
          const source = storages.get(storage) ?? (i === undefined ? storage : given[i]);
          return this.#publish({ storage: source, shape, dtype });
        }),
      };
    };
    return {
      run,
      release: () => session?.release(),
      nodes: lowered.model.nodes.length,
      traceMs: traced - start,
      compileMs: compiled - traced,
    };
  }

  /**
   * Calls `fn` with tensors that have no numbers: what it records starts from the placeholders and
   * from tensors that `fn` takes from elsewhere, which have numbers. Its outputs are disposed here.
   */
  recordCall(
    inputs: readonly { shape: Shape; dtype: DType }[],
    fn: (placeholders: tf.Tensor[]) => tf.Tensor[],
  ): { placeholders: Storage[]; outputs: Operand[] } {
    this.flush(); // what was recorded before must have numbers to be baked in
    const placeholders = inputs.map(({ shape, dtype }): Storage => ({
      shape,
      dtype,
      data: undefined,
      node: undefined,
      handles: 0,
    }));
    const marker = tf.scalar(0); // tensors made from here on have larger ids
    marker.dispose();
    const tensors = placeholders.map((storage) =>
      this.#publish({ storage, shape: storage.shape, dtype: storage.dtype })
    );
    let results: tf.Tensor[];
    try {
      results = fn(tensors);
    } catch (error) {
      tf.dispose(tensors);
      throw error;
    }
    const outputs = results.map((tensor) => this.operand(tensor));
    for (const tensor of new Set([...tensors, ...results])) {
      if (tensor.id > marker.id) tensor.dispose(); // others belong to whoever made them
    }
    return { placeholders, outputs };
  }

  #publish(operand: Operand): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.tensor(operand));
  }

  #requireData(storage: Storage): Data {
    if (!storage.data) {
      throw new TypeError(
        "Cannot read a tensor inside compile() as its numbers are not known while the function is traced: " +
          "return it from the function and read it there",
      );
    }
    return storage.data;
  }

  override readSync(dataId: tf.DataId): Data {
    const storage = this.storage(dataId);
    storage.unseen = false; // who reads it may keep the array
    if (storage.node) {
      try {
        this.flush();
      } catch { // perhaps for another tensor's sake
      }
      if (storage.node) this.compute([storage]);
    }
    return this.#requireData(storage);
  }

  override read(dataId: tf.DataId): Promise<Data> {
    return Promise.resolve().then(() => this.readSync(dataId));
  }

  // --- tfjs's bookkeeping ----------------------------------------------------------------

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType) {
    const dataId: DataId = {};
    this.move(dataId as tf.DataId, values, shape, dtype, 1);
    return dataId as tf.DataId;
  }

  override move(
    dataId: tf.DataId,
    values: tf.backend_util.BackendValues,
    shape: number[],
    dtype: tf.DataType,
    references: number,
  ): void {
    const data = toData(values, dtype);
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `Cannot make a tensor as the values must fill the shape: ${data.length} values for [${shape}]`,
      );
    }
    const storage: Storage = { shape, dtype: dtype as DType, data, node: undefined, handles: 0 };
    this.#hold(dataId, storage);
    this.#handles.get(dataId)!.references = references;
  }

  override incRef(dataId: tf.DataId): void {
    this.#handles.get(dataId)!.references++;
  }

  decRef(dataId: tf.DataId): void {
    const handle = this.#handles.get(dataId);
    if (handle) handle.references--;
  }

  override refCount(dataId: tf.DataId): number {
    return this.#handles.get(dataId)?.references ?? 0;
  }

  override disposeData(dataId: tf.DataId, force = false): boolean {
    const handle = this.#handles.get(dataId);
    if (!handle) return true;
    handle.references--;
    if (!force && handle.references > 0) return false;
    this.#handles.delete(dataId);
    if (--handle.storage.handles === 0) this.#forget(handle.storage);
    return true;
  }

  #forget(storage: Storage): void {
    this.#pending.delete(storage);
    // V8 would hold generations of parameters and moments until it collects
    if (storage.unseen) (storage.data!.buffer as ArrayBuffer).transfer(0);
  }

  override numDataIds(): number {
    return this.#handles.size;
  }

  /** How many graphs of uncompiled code are ready to run again. */
  get eagerSessions(): number {
    return this.#sessions.size;
  }

  override memory() {
    return { unreliable: true }; // memory belongs to ONNX Runtime; see `deno task bench` for the process's
  }

  override timerAvailable(): boolean {
    return false;
  }

  override time(fn: () => void): Promise<tf.BackendTimingInfo> {
    const start = performance.now();
    fn();
    this.flush();
    return Promise.resolve({ kernelMs: performance.now() - start });
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {
    this.#sessions.clear();
    this.#handles.clear();
    this.#pending.clear();
  }
}

/** The inputs of a run: views of the arrays that the storages hold. */
export function makeFeeds(
  feeds: readonly { name: string; storage: Storage }[],
): Record<string, Feed> {
  const out: Record<string, Feed> = {};
  for (const { name, storage: { dtype, shape, data } } of feeds) {
    out[name] = { type: dtype, dims: shape, data: data!, location: "cpu" };
  }
  return out;
}

function toData(values: tf.backend_util.BackendValues, dtype: tf.DataType): Data {
  switch (dtype) {
    case "float32":
      return values instanceof Float32Array
        ? values
        : Float32Array.from(values as ArrayLike<number>);
    case "int32":
      return values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>);
    case "bool":
      return values instanceof Uint8Array ? values : Uint8Array.from(values as ArrayLike<number>);
    default:
      throw new TypeError(
        `Cannot make a tensor as the onnxruntime engine has float32, int32 and bool: dtype is ${dtype}`,
      );
  }
}
