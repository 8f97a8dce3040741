import {
  type Constant,
  type Data,
  isConstant,
  type Operand,
  type Shape,
  sizeOf,
  type Storage,
  subgraph,
} from "../graph.ts";
import { type ElementType, MICROSOFT, type ModelProto, type NodeProto } from "../proto.ts";
import { type BatchShapes, isFixed, type Linear } from "./batch_shapes.ts";

/** Known tensors up to this size are written again for another shape, in bytes. */
const SMALL = 65536;

/** What goes into a model, by the names that its users see. */
export type StandardModel = {
  inputs: readonly { name: string; storage: Storage }[];
  outputs: readonly { name: string; operand: Operand }[];
  batch: BatchShapes;
  /** Names for known tensors. */
  names: ReadonlyMap<Storage, string>;
};

/**
 * Writes a graph with operators of the ONNX standard alone: the runtime's own product with
 * transposed factors becomes Transpose and MatMul, and a transposed weight is stored transposed.
 *
 * A shape with one dimension that grows with the batch is written with −1 there; other numbers that
 * grow are computed from the first input's shape.
 */
export function lowerStandard({ inputs, outputs, batch, names }: StandardModel): ModelProto {
  const { shapes, repeated } = batch;
  const nodes: NodeProto[] = [];
  const initializers: ModelProto["initializers"][number][] = [];
  const values = new Map<Storage, string>(inputs.map(({ name, storage }) => [storage, name]));
  const fresh = uniqueNames([...inputs, ...outputs].map(({ name }) => name));
  const written = new Map<string, string>();
  const once = (key: string, write: () => string): string => {
    const name = written.get(key) ?? write();
    written.set(key, name);
    return name;
  };

  const emit = (op: string, inputs: string[], attributes: NodeProto["attributes"] = {}) => {
    const output = fresh(op);
    nodes.push({ op, domain: "", inputs, outputs: [output], attributes });
    return output;
  };
  const initializer = (
    data: Data | BigInt64Array | Float64Array,
    { name, type, dims }: { name: string; type: ElementType; dims: Shape },
  ) => {
    const unique = fresh(name), { buffer, byteOffset, byteLength } = data;
    const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    initializers.push({ name: unique, type, dims, bytes });
    return unique;
  };
  const numbers = (values: readonly number[], { type, dims }: { type: ElementType; dims: Shape }) =>
    once(`${type}[${dims}]${values.map((v) => Object.is(v, -0) ? "-0" : v)}`, () =>
      initializer(typed(type, values), { name: "constant", type, dims }));

  /** Whole numbers that may grow with the batch, as a vector. */
  const linear = (values: readonly Linear[], type: ElementType): string => {
    const list = { type, dims: [values.length] };
    if (isFixed(values)) return numbers(values.map(({ at0 }) => at0), list);
    const size = once("batch", () => {
      const from = inputs.find(({ storage }) => growsAsBatch(shapes.get(storage)![0]));
      if (!from) throw new RangeError("Cannot make the batch dynamic as no input begins with it");
      return emit("Shape", [from.name], { start: 0, end: 1 });
    });
    const wide = { ...list, type: "int64" as const };
    const slopes = numbers(values.map(({ perBatch }) => perBatch), wide);
    const grown = emit("Mul", [size, slopes]);
    const sum = emit("Add", [grown, numbers(values.map(({ at0 }) => at0), wide)]);
    return type === "int64" ? sum : emit("Cast", [sum], { to: 6 });
  };

  const tensor = (storage: Storage): string => {
    const known = values.get(storage);
    if (known !== undefined) return known;
    const again = repeated.get(storage);
    const name = again ? expanded(storage, again) : stored(storage, storage.shape);
    values.set(storage, name);
    return name;
  };
  const expanded = (storage: Storage, { row, axis }: { row: Data; axis: number }) => {
    const dims = storage.shape.map((dim, i) => i === axis ? 1 : dim);
    const one = initializer(row, { name: nameOf(storage), type: storage.dtype, dims });
    return emit("Expand", [one, linear(shapes.get(storage)!, "int64")]);
  };
  const nameOf = (storage: Storage) => names.get(storage) ?? "constant";
  const stored = ({ data, dtype, ...storage }: Storage, dims: Shape): string => {
    if (sizeOf(dims) <= 8) return numbers(Array.from(data!), { type: dtype, dims });
    const name = nameOf({ data, dtype, ...storage });
    return initializer(data!, { name, type: dtype, dims });
  };
  const isStored = (storage: Storage) => storage.data !== undefined && !repeated.has(storage);

  const view = (operand: Operand): string => {
    const { storage, shape } = operand, dims = shapes.get(operand)!;
    if (sameLinear(dims, shapes.get(storage)!)) return tensor(storage);
    const key = `${storageKey(storage)}[${dims.map(({ at0, perBatch }) => `${at0}+${perBatch}b`)}]`;
    return once(key, () => {
      if (isStored(storage) && storage.data!.byteLength <= SMALL) return stored(storage, shape);
      return emit("Reshape", [tensor(storage), target(dims)], allowZero(shape));
    });
  };
  const target = (dims: readonly Linear[]): string => {
    const growing = dims.filter(({ perBatch }) => perBatch !== 0).length;
    if (growing > 1 || dims.some(({ at0, perBatch }) => at0 === 0 && perBatch === 0)) {
      return linear(dims, "int64");
    }
    return numbers(dims.map(({ at0, perBatch }) => perBatch === 0 ? at0 : -1), {
      type: "int64",
      dims: [dims.length],
    });
  };
  const storageKey = numbering<Storage>();

  /** An operand with its last two axes exchanged. */
  const transposed = (operand: Operand): string => {
    const { storage, shape } = operand;
    if (!(isStored(storage) && storage.data instanceof Float32Array)) {
      const axes = [...shape.keys()], last = axes.length - 1;
      const perm = [...axes.slice(0, -2), last, last - 1];
      const from = view(operand);
      return once(`${from} transposed`, () => emit("Transpose", [from], { perm }));
    }
    const data = storage.data;
    return once(`${storageKey(storage)}[${shape}] transposed`, () =>
      initializer(transposeLast(data, shape), {
        name: `${nameOf(storage)}.T`,
        type: "float32",
        dims: [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]],
      }));
  };
  const input = (value: Operand | Constant | undefined): string =>
    !value
      ? ""
      : !isConstant(value)
      ? view(value)
      : value.dims.length === 1
      ? linear(shapes.get(value)!, value.type)
      : numbers(value.values, value);

  const results = new Map(outputs.map(({ name, operand }) => [operand.storage, { name, operand }]));
  for (const node of subgraph(outputs.map(({ operand }) => operand.storage)).nodes) {
    const { op, domain, attributes } = node;
    let given: string[];
    if (domain === MICROSOFT && op === "FusedMatMul") {
      given = node.inputs.map((x, i) =>
        attributes[i === 0 ? "transA" : "transB"] ? transposed(x as Operand) : input(x)
      );
    } else if (domain === "") {
      given = node.inputs.map(input);
    } else {
      throw new RangeError(
        `Cannot export the function as its operations must be of the ONNX standard: ${domain}.${op} is not`,
      );
    }
    node.outputs.forEach((storage) => {
      const result = results.get(storage);
      const direct = result && sameLinear(shapes.get(result.operand)!, shapes.get(storage)!);
      values.set(storage, direct ? result.name : fresh(op));
    });
    nodes.push({
      op: domain === "" ? op : "MatMul",
      domain: "",
      inputs: given,
      outputs: node.outputs.map((storage) => values.get(storage)!),
      attributes: domain === "" ? attributes : {},
    });
  }
  for (const { name, operand } of outputs) {
    const value = view(operand);
    if (value !== name) {
      nodes.push({ op: "Identity", domain: "", inputs: [value], outputs: [name], attributes: {} });
    }
  }
  const valueInfo = (name: string, storage: { dtype: ElementType }, dims: readonly Linear[]) => ({
    name,
    type: storage.dtype,
    dims: dims.map(dimension),
  });
  return {
    nodes,
    initializers,
    inputs: inputs.map(({ name, storage }) => valueInfo(name, storage, shapes.get(storage)!)),
    outputs: outputs.map(({ name, operand }) => valueInfo(name, operand, shapes.get(operand)!)),
  };
}

function growsAsBatch(dim: Linear | undefined): boolean {
  return dim !== undefined && dim.at0 === 0 && dim.perBatch === 1;
}

function dimension(dim: Linear): number | string {
  if (dim.perBatch === 0) return dim.at0;
  return growsAsBatch(dim) ? "batch" : `${dim.at0} + ${dim.perBatch} batch`;
}

function sameLinear(a: readonly Linear[], b: readonly Linear[]): boolean {
  return a.length === b.length &&
    a.every(({ at0, perBatch }, i) => at0 === b[i].at0 && perBatch === b[i].perBatch);
}

function allowZero(shape: Shape): NodeProto["attributes"] {
  return shape.includes(0) ? { allowzero: 1 } : {};
}

function typed(type: ElementType, values: readonly number[]) {
  switch (type) {
    case "float32":
      return Float32Array.from(values);
    case "float64":
      return Float64Array.from(values);
    case "int32":
      return Int32Array.from(values);
    case "int64":
      return BigInt64Array.from(values, BigInt);
    case "uint8":
    case "bool":
      return Uint8Array.from(values);
  }
}

/** Matrices with rows and columns exchanged, over the last two axes. */
function transposeLast(data: Float32Array, shape: Shape): Float32Array {
  const rows = shape[shape.length - 2], columns = shape[shape.length - 1], each = rows * columns;
  const out = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += each) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) out[start + j * rows + i] = data[start + i * columns + j];
    }
  }
  return out;
}

/** Names that differ: `name`, `name.2`, `name.3`, … */
function uniqueNames(taken: readonly string[]): (wanted: string) => string {
  const used = new Set(taken), counts = new Map<string, number>();
  return (wanted) => {
    let count = counts.get(wanted) ?? 0, name: string;
    do name = ++count === 1 ? wanted : `${wanted}.${count}`; while (used.has(name));
    counts.set(wanted, count);
    used.add(name);
    return name;
  };
}

/** A number for each object, in the order of asking. */
function numbering<T>(): (object: T) => number {
  const numbers = new Map<T, number>();
  return (object) => {
    if (!numbers.has(object)) numbers.set(object, numbers.size);
    return numbers.get(object)!;
  };
}
