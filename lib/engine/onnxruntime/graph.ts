/**
 * The recorded graph. A kernel does not compute: it adds a {@link GraphNode}, whose output
 * {@link Storage} gets its numbers when somebody reads them or when a compiled function runs.
 *
 * @module
 */
import type { Attribute, ElementType, ModelProto, NodeProto } from "./proto.ts";

export type Shape = readonly number[];
/** The element types of tfjs that this engine computes with. */
export type DType = "float32" | "int32" | "bool";
export type Data = Float32Array | Int32Array | Uint8Array;

/** The numbers of a tensor, known (`data`), to be computed (`node`) or given later (`placeholder`). */
export type Storage = {
  readonly shape: Shape;
  readonly dtype: DType;
  data: Data | undefined;
  node: GraphNode | undefined;
  /** Number of tfjs data ids that point here; at 0 nobody can read it any more. */
  handles: number;
  /** Made by a compiled function and seen by nothing but such: its memory can be freed with its last handle. */
  unseen?: boolean;
};

/** A storage seen under a shape: reshaping is free until the graph is written. */
export type Operand = { readonly storage: Storage; readonly shape: Shape; readonly dtype: DType };

/** A constant input of a node, part of the graph's structure: axes, sizes, pads. */
export type Constant = {
  readonly type: ElementType;
  readonly dims: Shape;
  readonly values: readonly number[];
};

/** One recorded operation. Ids grow in the order of recording, so inputs have smaller ids. */
export type GraphNode = {
  readonly id: number;
  readonly op: string;
  readonly domain: string;
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly inputs: readonly (Operand | Constant | undefined)[];
  readonly outputs: readonly Storage[];
};

/** A one-dimensional int64 constant, as ONNX takes axes, shapes and pads. */
export function int64s(values: readonly number[]): Constant {
  return { type: "int64", dims: [values.length], values };
}

/** A scalar constant. */
export function scalar(value: number, type: ElementType = "float32"): Constant {
  return { type, dims: [], values: [value] };
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function isConstant(input: Operand | Constant): input is Constant {
  return "values" in input;
}

/** The nodes that `outputs` depend on, in order of recording, and the storages they start from. */
export type Subgraph = { nodes: GraphNode[]; leaves: Storage[]; outputs: readonly Storage[] };

export function subgraph(outputs: readonly Storage[]): Subgraph {
  const nodes = new Set<GraphNode>();
  const leaves = new Set<Storage>();
  const open: Storage[] = [...outputs];
  for (let storage = open.pop(); storage; storage = open.pop()) {
    const { node } = storage;
    if (!node) {
      leaves.add(storage);
      continue;
    }
    if (nodes.has(node)) continue;
    nodes.add(node);
    for (const input of node.inputs) if (input && !isConstant(input)) open.push(input.storage);
  }
  return { nodes: [...nodes].sort((a, b) => a.id - b.id), leaves: [...leaves], outputs };
}

function constantKey({ type, dims, values }: Constant): string {
  return `${type}[${dims}]${values.map((value) => Object.is(value, -0) ? "-0" : value)}`;
}

/** A text that two subgraphs share when one's compiled form serves the other. */
export function structureKey({ nodes, leaves, outputs }: Subgraph): string {
  const name = new Map<Storage, string>();
  const parts: string[] = [];
  leaves.forEach((leaf, i) => {
    name.set(leaf, `l${i}`);
    parts.push(`${leaf.dtype}[${leaf.shape}]`);
  });
  nodes.forEach((node, i) => {
    const inputs = node.inputs.map((input) => {
      if (!input) return "-";
      if (isConstant(input)) return constantKey(input);
      return `${name.get(input.storage)}[${input.shape}]`;
    });
    parts.push(`${node.op}${JSON.stringify(node.attributes)}(${inputs})`);
    node.outputs.forEach((output, k) => name.set(output, `n${i}.${k}`));
  });
  parts.push(outputs.map((output) => name.get(output)).join());
  return parts.join(";");
}

/** A subgraph as an ONNX model, with the names by which its leaves are fed and its outputs fetched. */
export type Lowered = {
  model: ModelProto;
  feeds: { name: string; storage: Storage }[];
  fetches: { name: string; storage: Storage }[];
};

/**
 * Writes a subgraph as an ONNX model. Leaves for which `bake` holds become constants of the
 * model, which ONNX Runtime can fold; the others are its inputs.
 */
export function lower(
  { nodes, leaves, outputs }: Subgraph,
  bake: (leaf: Storage) => boolean,
): Lowered {
  const model = {
    nodes: [] as NodeProto[],
    initializers: [] as ModelProto["initializers"][number][],
    inputs: [] as ModelProto["inputs"][number][],
    outputs: [] as ModelProto["outputs"][number][],
  };
  const feeds: Lowered["feeds"] = [];
  const names = new Map<Storage, string>();
  for (const leaf of leaves) {
    const name = `l${names.size}`;
    names.set(leaf, name);
    // an empty tensor has no memory that could be fed
    if (sizeOf(leaf.shape) === 0 || bake(leaf)) {
      const { buffer, byteOffset, byteLength } = leaf.data!;
      const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
      model.initializers.push({ name, type: leaf.dtype, dims: leaf.shape, bytes });
    } else {
      model.inputs.push({ name, type: leaf.dtype, dims: leaf.shape });
      feeds.push({ name, storage: leaf });
    }
  }
  const written = new Map<string, string>();
  const once = (key: string, write: (name: string) => void): string => {
    let name = written.get(key);
    if (name === undefined) {
      written.set(key, name = `c${written.size}`);
      write(name);
    }
    return name;
  };
  const constant = ({ type, dims, values }: Constant): string =>
    once(constantKey({ type, dims, values }), (name) => {
      const bytes = new Uint8Array(constantArray(type, values).buffer as ArrayBuffer);
      model.initializers.push({ name, type, dims, bytes });
    });
  const operand = ({ storage, shape }: Operand): string => {
    const name = names.get(storage)!;
    if (sameShape(shape, storage.shape)) return name;
    return once(`${name}[${shape}]`, (reshaped) => {
      model.nodes.push({
        op: "Reshape",
        domain: "",
        inputs: [name, constant(int64s(shape))],
        outputs: [reshaped],
        attributes: shape.includes(0) ? { allowzero: 1 } : {},
      });
    });
  };
  nodes.forEach((node, i) => {
    const inputs = node.inputs.map((input) =>
      !input ? "" : isConstant(input) ? constant(input) : operand(input)
    );
    node.outputs.forEach((output, k) => names.set(output, k === 0 ? `n${i}` : `n${i}_${k}`));
    model.nodes.push({
      op: node.op,
      domain: node.domain,
      inputs,
      outputs: node.outputs.map((output) => names.get(output)!),
      attributes: node.attributes,
    });
  });
  const fetches = outputs.map((storage) => ({ name: names.get(storage)!, storage }));
  model.outputs = fetches.map(({ name, storage }) => ({
    name,
    type: storage.dtype,
    dims: storage.shape,
  }));
  return { model, feeds, fetches };
}

function constantArray(type: ElementType, values: readonly number[]) {
  switch (type) {
    case "float32":
      return Float32Array.from(values);
    case "int32":
      return Int32Array.from(values);
    case "int64":
      return BigInt64Array.from(values, BigInt);
    case "float64":
      return Float64Array.from(values);
    case "uint8":
    case "bool":
      return Uint8Array.from(values);
  }
}
