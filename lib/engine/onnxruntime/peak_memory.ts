/**
 * How much memory ONNX Runtime takes for the results of a graph, found from the graph alone: the order in which it
 * runs the nodes, and how it lets results share memory, both as its sequential executor does by default (version
 * 1.30: `Graph::ReverseDFSFrom`, `AllocationPlanner`).
 *
 * @module
 */
import { sameShape, type Shape } from "./graph.ts";
import type { ModelProto, NodeProto } from "./proto.ts";

/** What a node's result takes, by the result's name; not asked for reshaped names of others. */
export type ResultSize = (name: string) => { shape: Shape; bytes: number };

/** The moment at which the graph holds most. */
export type GraphPeak = {
  /** Bytes of results at that moment, the graph's outputs so far among them; inputs and constants excluded. */
  bytes: number;
  /** Names of the results that are held then, each with the bytes of the memory that it lies in. */
  held: { name: string; bytes: number }[];
  /** Bytes of the graph's constants, and of what follows from constants alone, which is computed once. */
  constantBytes: number;
};

/** Operations whose result may take the place of an input of the same shape that nothing else needs. */
const IN_PLACE = new Set([
  "Abs",
  "Add",
  "Ceil",
  "Clip",
  "Div",
  "Erf",
  "Exp",
  "Floor",
  "Log",
  "Max",
  "Min",
  "Mul",
  "Neg",
  "Pow",
  "Reciprocal",
  "Relu",
  "Sigmoid",
  "Sqrt",
  "Sub",
  "Sum",
  "Tanh",
]);
/** Operations whose result is their first input under another shape. */
const VIEWS = new Set(["Reshape", "Identity", "Squeeze", "Unsqueeze"]);

/**
 * The order in which nodes run: depth first from the last node that nothing depends on, the latest input of a node
 * before its other inputs, each node after all that it needs.
 */
export function executionOrder(nodes: readonly NodeProto[]): number[] {
  const producer = new Map<string, number>();
  nodes.forEach(({ outputs }, i) => outputs.forEach((name) => producer.set(name, i)));
  const needed = new Set<number>();
  const inputs = nodes.map((node) => {
    const from = node.inputs.map((name) => producer.get(name)).filter((i) => i !== undefined);
    for (const i of from) needed.add(i);
    return from.sort((a, b) => a - b);
  });
  const open: { node: number; done: boolean }[] = [];
  nodes.forEach((_, node) => needed.has(node) || open.push({ node, done: false }));
  const seen = new Uint8Array(nodes.length), order: number[] = [];
  for (let next = open.pop(); next; next = open.pop()) {
    const { node, done } = next;
    if (done) order.push(node);
    if (done || seen[node]) continue;
    seen[node] = 1;
    open.push({ node, done: true });
    for (const input of inputs[node]) if (!seen[input]) open.push({ node: input, done: false });
  }
  return order;
}

/** The most that a run of the model holds at a time in results of nodes. */
export function graphPeak(model: ModelProto, sizeOf: ResultSize): GraphPeak {
  const { steps, constantBytes } = withoutConstants(model);
  const buffers = planBuffers(steps, { sizeOf, outputs: model.outputs.map(({ name }) => name) });
  const starting = steps.map((): Buffer[] => []), ending = steps.map((): Buffer[] => []);
  for (const buffer of buffers) {
    starting[buffer.first].push(buffer);
    if (buffer.last < steps.length) ending[buffer.last].push(buffer);
  }
  let bytes = 0, most = 0, at = 0;
  for (let step = 0; step < steps.length; step++) {
    for (const buffer of starting[step]) bytes += buffer.bytes;
    if (bytes > most) [most, at] = [bytes, step];
    for (const buffer of ending[step]) bytes -= buffer.bytes;
  }
  const held = buffers.filter(({ first, last }) => first <= at && at <= last)
    .map(({ names, bytes }) => ({ name: names.findLast(({ step }) => step <= at)!.name, bytes }));
  return { bytes: most, held, constantBytes };
}

/** The nodes that depend on inputs, in the order of running; the others are computed when the graph is compiled. */
function withoutConstants(model: ModelProto): { steps: NodeProto[]; constantBytes: number } {
  const constants = new Set(model.initializers.map(({ name }) => name));
  const steps: NodeProto[] = [];
  for (const node of model.nodes) {
    if (node.inputs.every((name) => name === "" || constants.has(name))) {
      for (const name of node.outputs) constants.add(name);
    } else steps.push(node);
  }
  const constantBytes = model.initializers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return { steps: executionOrder(steps).map((i) => steps[i]), constantBytes };
}

/** A piece of memory, the results that lie in it one after the other, and the steps between which it is held. */
type Buffer = {
  bytes: number;
  shape: Shape;
  names: { name: string; step: number }[];
  first: number;
  last: number;
};

/**
 * Which results share memory: in place of an input, or in memory of the same shape that an earlier result has left,
 * the latest first. Memory is held from its first result to its last.
 */
function planBuffers(
  steps: readonly NodeProto[],
  { sizeOf, outputs }: { sizeOf: ResultSize; outputs: readonly string[] },
): Buffer[] {
  const uses = new Map<string, number>(); // still to come, by the name that holds the memory
  const rootOf = new Map<string, string>();
  const root = (name: string) => rootOf.get(name) ?? name;
  for (const { op, inputs, outputs } of steps) {
    for (const name of inputs) uses.set(root(name), (uses.get(root(name)) ?? 0) + 1);
    if (VIEWS.has(op)) rootOf.set(outputs[0], root(inputs[0]));
  }
  const fetched = new Set(outputs.map(root));
  const buffers: Buffer[] = [], bufferOf = new Map<string, Buffer>();
  let left: Buffer[] = []; // of results that nothing needs any more, the latest first
  steps.forEach(({ op, inputs, outputs }, step) => {
    const free: Buffer[] = [];
    const use = (name: string) => {
      const rest = uses.get(name)! - 1, buffer = bufferOf.get(name);
      uses.set(name, rest);
      if (!buffer || fetched.has(name)) return;
      buffer.last = step;
      if (rest === 0) free.push(buffer);
    };
    if (VIEWS.has(op)) {
      inputs.map(root).forEach(use);
      left.unshift(...free);
      return;
    }
    const taken = new Set<Buffer>();
    for (const name of outputs) {
      const { shape, bytes } = sizeOf(name);
      const replaceable = (input: string) => {
        const buffer = bufferOf.get(root(input));
        return buffer && !fetched.has(root(input)) && uses.get(root(input)) === 1 &&
          sameShape(buffer.shape, shape);
      };
      const input = IN_PLACE.has(op) ? inputs.find(replaceable) : undefined;
      let buffer: Buffer | undefined;
      if (!fetched.has(name)) {
        if (input !== undefined) buffer = bufferOf.get(root(input));
        buffer ??= left.find((other) => other.bytes === bytes && sameShape(other.shape, shape));
      }
      if (buffer) {
        taken.add(buffer);
        left = left.filter((other) => other !== buffer);
      } else buffers.push(buffer = { bytes, shape, names: [], first: step, last: step });
      buffer.names.push({ name, step });
      buffer.last = fetched.has(name) ? steps.length : step;
      bufferOf.set(name, buffer);
    }
    inputs.map(root).forEach(use);
    const unread = outputs.filter((name) => !uses.has(name) && !fetched.has(name));
    left.unshift(
      ...free.filter((buffer) => !taken.has(buffer)),
      ...unread.map((name) => bufferOf.get(name)!),
    );
  });
  return buffers;
}
