/**
 * Records what a function does on this engine and runs it again as one TensorFlow graph, through
 * the package's own support for saved models. That takes away tfjs's work for each operation, and
 * TensorFlow fuses, reorders and frees as it sees fit.
 *
 * @module
 */
import { join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import {
  attrValue,
  constant,
  type NodeDef,
  type OpAttr,
  placeholder,
  savedModel,
  TAG,
} from "./saved_model.ts";

/** A tensor as the package's binding describes it. */
type Metadata = { id: number; shape: number[]; dtype: number };
type Values = Float32Array | Int32Array | Uint8Array;

/** The parts of the package's binding that are wrapped or called. */
type Binding = {
  createTensor(shape: number[], dtype: number, values: Values): number;
  tensorDataSync(id: number): Values;
  executeOp(op: string, attrs: OpAttr[], inputs: number[], outputs: number): Metadata[];
  loadSavedModel(folder: string, tags: string): number;
  runSavedModel(model: number, ids: number[], inputs: string, outputs: string): Metadata[];
  deleteSavedModel(model: number): void;
};

/** The parts of the package's backend that are wrapped or called. */
type Backend = {
  binding: Binding;
  isUsingGpuDevice: boolean;
  getDTypeInteger(dtype: tf.DataType): number;
  getInputTensorIds(tensors: tf.TensorInfo[]): number[];
  createOutputTensor(metadata: Metadata): tf.Tensor;
};

/** A function's graph for one set of input shapes. */
export type TracedGraph = {
  run(inputs: readonly tf.Tensor[]): tf.Tensor[];
  release(): void;
  nodes: number;
};

/**
 * Calls `fn` once, on tensors that hold the inputs' numbers, and gives its outputs and the graph.
 * The outputs must not be the tensors that `fn` was given, which are disposed.
 *
 * There is no graph where what `fn` does depends on numbers that it read from its inputs, where
 * TensorFlow does not take the graph, or on a GPU: a saved model's inputs and outputs pass through
 * the host's memory, while tensors of single operations stay on the device.
 */
export function traceGraph(
  inputs: readonly tf.Tensor[],
  fn: (placeholders: tf.Tensor[]) => tf.Tensor[],
): { outputs: tf.Tensor[]; graph: TracedGraph | undefined } {
  const backend = tf.backend() as unknown as Backend;
  if (backend.isUsingGpuDevice) return { outputs: fn([...inputs]), graph: undefined };
  const recorder = record(backend, inputs);
  let outputs: tf.Tensor[] = [];
  try {
    outputs = fn(recorder.placeholders);
  } finally {
    recorder.stop();
    for (const tensor of recorder.placeholders) tensor.dispose();
  }
  const names = recorder.isWhole() ? outputs.map((tensor) => recorder.nameOf(tensor)) : [];
  if (!recorder.isWhole()) return { outputs, graph: undefined };
  return { outputs, graph: load(backend, recorder, names as string[]) };
}

/** Records operations, constants and inputs as nodes until it is stopped. */
function record(backend: Backend, inputs: readonly tf.Tensor[]) {
  const { binding } = backend;
  const { getInputTensorIds } = backend;
  const nodes: NodeDef[] = [];
  const names = new Map<number, string>(); // of the tensor with that id in the binding
  const dependent = new Set<number>(); // ids of what is computed from the inputs
  let isWhole = true; // until `fn` reads numbers of its inputs, or uses what was not recorded

  const add = (op: string, attributes: NodeDef["attributes"], from: string[] = []) => {
    const name = `n${nodes.length}`;
    nodes.push({ name, op, inputs: from, attributes });
    return name;
  };
  const bake = (id: number, { shape, dtype }: { shape: number[]; dtype: number }) => {
    const values = binding.tensorDataSync(id);
    isWhole &&= ArrayBuffer.isView(values); // strings come as a list
    if (!isWhole) return;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    names.set(id, add("Const", constant(shape, { dtype, bytes })));
  };

  // each input gets a handle of its own, as two of them may be names of the same memory
  const placeholders = inputs.map((tensor) => {
    const dtype = backend.getDTypeInteger(tensor.dtype);
    const [metadata] = binding.executeOp(
      "Identity",
      [{ name: "T", type: 4, value: dtype }],
      getInputTensorIds.call(backend, [tensor]),
      1,
    );
    names.set(metadata.id, add("Placeholder", placeholder(tensor.shape, dtype)));
    dependent.add(metadata.id);
    return backend.createOutputTensor(metadata);
  });

  const recording: Partial<Binding> = {
    tensorDataSync(id) {
      isWhole &&= !dependent.has(id);
      return binding.tensorDataSync(id);
    },
    executeOp(op, attrs, ids, count) {
      const outputs = binding.executeOp(op, attrs, ids, count);
      isWhole &&= ids.every((id) => names.has(id));
      if (!isWhole) return outputs;
      const attributes = attrs.map((attr) => [attr.name, attrValue(attr)] as const);
      const name = add(op, attributes, ids.map((id) => names.get(id)!));
      const depends = ids.some((id) => dependent.has(id));
      outputs.forEach(({ id }, i) => {
        names.set(id, i === 0 ? name : `${name}:${i}`);
        if (depends) dependent.add(id);
      });
      return outputs;
    },
  };
  // the binding's own properties cannot be written, so another object stands in for it
  const standIn: Record<string, unknown> = {};
  for (const key of Object.getOwnPropertyNames(binding)) {
    const value = binding[key as keyof Binding] as unknown;
    standIn[key] = typeof value === "function" ? value.bind(binding) : value;
  }
  backend.binding = Object.assign(standIn, recording) as unknown as Binding;
  backend.getInputTensorIds = (tensors) => {
    const ids = getInputTensorIds.call(backend, tensors);
    ids.forEach((id, i) => { // made by `fn` from numbers, or taken from elsewhere: a constant
      const { shape, dtype } = tensors[i];
      if (!names.has(id)) bake(id, { shape, dtype: backend.getDTypeInteger(dtype) });
    });
    return ids;
  };
  return {
    nodes,
    placeholders,
    inputNames: nodes.slice(0, inputs.length).map(({ name }) => name),
    /** The name of a tensor's node, and of its output where that is not the first. */
    nameOf: (tensor: tf.Tensor) => {
      const [id] = getInputTensorIds.call(backend, [tensor]);
      if (!names.has(id)) {
        bake(id, { shape: tensor.shape, dtype: backend.getDTypeInteger(tensor.dtype) });
      }
      return names.get(id);
    },
    isWhole: () => isWhole,
    stop() {
      backend.binding = binding;
      backend.getInputTensorIds = getInputTensorIds;
    },
  };
}

/** Hands the graph to TensorFlow; undefined where it is not taken. */
function load(
  backend: Backend,
  { nodes, inputNames }: { nodes: readonly NodeDef[]; inputNames: readonly string[] },
  outputNames: readonly string[],
): TracedGraph | undefined {
  const { binding } = backend;
  // what is handed through is not computed; what is given twice is computed once
  const passed = new Map(inputNames.map((name, i) => [name, i]));
  const computed = [...new Set(outputNames)].filter((name) => !passed.has(name));
  const slot = new Map(computed.map((name, i) => [name, i]));
  const folder = Deno.makeTempDirSync();
  let model: number;
  try {
    Deno.writeFileSync(join(folder, "saved_model.pb"), savedModel(nodes));
    model = binding.loadSavedModel(folder, TAG);
  } catch {
    return undefined;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const address = (name: string) => name.includes(":") ? name : `${name}:0`;
  const feeds = inputNames.map(address).join(","), fetches = computed.map(address).join(",");
  return {
    nodes: nodes.length,
    release: () => binding.deleteSavedModel(model),
    run(inputs) {
      const ids = backend.getInputTensorIds([...inputs]);
      const results = computed.length === 0 ? [] : binding.runSavedModel(model, ids, feeds, fetches)
        .map((metadata) => backend.createOutputTensor(metadata));
      const given = new Set<string>();
      return outputNames.map((name) => {
        const tensor = slot.has(name) ? results[slot.get(name)!] : inputs[passed.get(name)!];
        const isFirst = slot.has(name) && !given.has(name);
        given.add(name);
        return isFirst ? tensor : tf.clone(tensor); // each output is the caller's to dispose
      });
    },
  };
}
