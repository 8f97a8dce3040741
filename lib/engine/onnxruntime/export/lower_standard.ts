import {
  type Constant,
  type GraphNode,
  isConstant,
  type Operand,
  type Shape,
  sizeOf,
  type Storage,
  subgraph,
} from "../graph.ts";
import { type ElementType, elementType, MICROSOFT, type ModelProto } from "../proto.ts";
import { type BatchShapes, isFixed, type Linear } from "./batch_shapes.ts";
import { ModelWriter } from "./model_writer.ts";

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
 */
export function lowerStandard(model: StandardModel): ModelProto {
  const { inputs, outputs, batch: { shapes } } = model;
  const writer = new ModelWriter([...inputs, ...outputs].map(({ name }) => name));
  const values = new Values(writer, model);
  const results = new Map(outputs.map((output) => [output.operand.storage, output]));
  for (const node of subgraph(outputs.map(({ operand }) => operand.storage)).nodes) {
    const operation = standardOperation(node, values);
    for (const storage of node.outputs) {
      const result = results.get(storage);
      const direct = result && sameLinear(shapes.get(result.operand)!, shapes.get(storage)!);
      values.define(storage, direct ? result.name : writer.name(operation.op));
    }
    const names = node.outputs.map((storage) => values.tensor(storage));
    writer.nodes.push({ ...operation, domain: "", outputs: names });
  }
  for (const { name, operand } of outputs) { // those that are an input or another output, reshaped
    const value = values.view(operand);
    if (value === name) continue;
    writer.nodes.push({
      op: "Identity",
      domain: "",
      inputs: [value],
      outputs: [name],
      attributes: {},
    });
  }
  const info = (name: string, type: ElementType, dims: readonly Linear[]) => ({
    name,
    type,
    dims: dims.map(dimension),
  });
  return writer.finish({
    inputs: inputs.map(({ name, storage }) => info(name, storage.dtype, shapes.get(storage)!)),
    outputs: outputs.map(({ name, operand }) => info(name, operand.dtype, shapes.get(operand)!)),
  });
}

/** A node of the standard with its inputs' names. */
function standardOperation({ op, domain, attributes, inputs }: GraphNode, values: Values) {
  if (domain === "") return { op, attributes, inputs: inputs.map((input) => values.input(input)) };
  if (!(domain === MICROSOFT && op === "FusedMatMul")) {
    throw new RangeError(
      `Cannot export the function as its operations must be of the ONNX standard: ${domain}.${op} is not`,
    );
  }
  const factors = inputs.map((factor, i) =>
    attributes[i === 0 ? "transA" : "transB"]
      ? values.transposed(factor as Operand)
      : values.input(factor)
  );
  return { op: "MatMul", attributes: {}, inputs: factors };
}

/** In bytes: known tensors up to this size are stored as they are, for each shape that they have. */
const SMALL = 65536;

/** The names of tensors, views and constants in the model; what is needed is written at first use. */
class Values {
  #names: Map<Storage, string>;
  #keys = new Map<Storage, number>();

  constructor(readonly writer: ModelWriter, readonly model: StandardModel) {
    this.#names = new Map(model.inputs.map(({ name, storage }) => [storage, name]));
  }

  define(storage: Storage, name: string): void {
    this.#names.set(storage, name);
  }

  input(value: Operand | Constant | undefined): string {
    if (!value) return "";
    if (!isConstant(value)) return this.view(value);
    if (value.dims.length !== 1) return this.writer.numbers(value.values, value);
    return this.#linear(this.#shape(value), value.type);
  }

  tensor(storage: Storage): string {
    let name = this.#names.get(storage);
    if (name === undefined) {
      name = this.model.batch.repeated.has(storage)
        ? this.#repeated(storage)
        : this.#stored(storage, storage.shape);
      this.#names.set(storage, name);
    }
    return name;
  }

  /** An operand, which may be a tensor under another shape. */
  view(operand: Operand): string {
    const { storage, shape } = operand, dims = this.#shape(operand);
    if (sameLinear(dims, this.#shape(storage))) return this.tensor(storage);
    const key = `${this.#key(storage)}[${dims.map(dimension)}]`;
    return this.writer.once(key, () => {
      if (this.#isStored(storage) && storage.data!.byteLength <= SMALL) {
        return this.#stored(storage, shape);
      }
      const attributes = shape.includes(0) ? { allowzero: 1 } : {};
      return this.writer.operation(
        "Reshape",
        [this.tensor(storage), this.#target(dims)],
        attributes,
      );
    });
  }

  /** An operand with its last two axes exchanged. */
  transposed(operand: Operand): string {
    const { storage, shape } = operand, last = shape.length - 1;
    const perm = [...shape.keys()].map((i) => i < last - 1 ? i : i === last ? last - 1 : last);
    if (!this.#isStored(storage)) {
      const from = this.view(operand);
      const key = `${from} transposed`;
      return this.writer.once(key, () => this.writer.operation("Transpose", [from], { perm }));
    }
    return this.writer.once(
      `${this.#key(storage)}[${shape}] transposed`,
      () =>
        this.writer.store(transposeLast(storage.data as Float32Array, shape), {
          name: `${this.#name(storage)}.T`,
          type: "float32",
          dims: perm.map((axis) => shape[axis]),
        }),
    );
  }

  #shape(value: Storage | Operand | Constant): readonly Linear[] {
    return this.model.batch.shapes.get(value)!;
  }

  #name(storage: Storage): string {
    return this.model.names.get(storage) ?? "constant";
  }

  /** A number for each storage. */
  #key(storage: Storage): string {
    if (!this.#keys.has(storage)) this.#keys.set(storage, this.#keys.size);
    return `storage ${this.#keys.get(storage)}`;
  }

  #isStored(storage: Storage): boolean {
    return storage.data !== undefined && !this.model.batch.repeated.has(storage);
  }

  #stored(storage: Storage, dims: Shape): string {
    const { data, dtype: type } = storage;
    if (sizeOf(dims) <= 8) return this.writer.numbers(Array.from(data!), { type, dims });
    const name = this.#name(storage);
    const isTable = data instanceof Float32Array && !this.model.names.has(storage);
    const two = isTable ? twoValued(data) : undefined;
    if (!two) return this.writer.store(data!, { name, type, dims });
    // a mask: a quarter of the bytes
    const chosen = this.writer.store(two.isFirst, { name, type: "bool", dims });
    const value = (x: number) => this.writer.numbers([x], { type, dims: [] });
    return this.writer.operation("Where", [chosen, value(two.first), value(two.second)]);
  }

  /** A row as often as the batch asks for. */
  #repeated(storage: Storage): string {
    const { row, axis } = this.model.batch.repeated.get(storage)!;
    const one = this.writer.store(row, {
      name: this.#name(storage),
      type: storage.dtype,
      dims: storage.shape.map((dim, i) => i === axis ? 1 : dim),
    });
    return this.writer.operation("Expand", [one, this.#linear(this.#shape(storage), "int64")]);
  }

  /** A shape to reshape to: with one dimension that grows with the batch, −1 stands for it. */
  #target(dims: readonly Linear[]): string {
    const growing = dims.filter(({ perBatch }) => perBatch !== 0).length;
    const empty = dims.some(({ at0, perBatch }) => at0 === 0 && perBatch === 0);
    if (growing > 1 || empty) return this.#linear(dims, "int64");
    const inferred = dims.map(({ at0, perBatch }) => perBatch === 0 ? at0 : -1);
    return this.writer.numbers(inferred, { type: "int64", dims: [dims.length] });
  }

  /** Numbers in a vector; whole ones that grow with the batch are computed from an input's shape. */
  #linear(values: readonly Linear[], type: ElementType): string {
    const { writer } = this, dims = [values.length];
    if (isFixed(values)) return writer.numbers(values.map(({ at0 }) => at0), { type, dims });
    const batch = writer.once("batch", () => {
      const from = this.model.inputs.find(({ storage }) => isBatch(this.#shape(storage)[0]));
      if (!from) throw new RangeError("Cannot make the batch dynamic as no input begins with it");
      return writer.operation("Shape", [from.name], { start: 0, end: 1 });
    });
    const int64 = { type: "int64", dims } as const;
    const slopes = writer.numbers(values.map(({ perBatch }) => perBatch), int64);
    const offsets = writer.numbers(values.map(({ at0 }) => at0), int64);
    const sum = writer.operation("Add", [writer.operation("Mul", [batch, slopes]), offsets]);
    return type === "int64" ? sum : writer.operation("Cast", [sum], { to: elementType[type] });
  }
}

/** Which of its two values each number is, where there are just two and many numbers. */
function twoValued(
  data: Float32Array,
): { isFirst: Uint8Array; first: number; second: number } | undefined {
  if (data.byteLength <= SMALL) return undefined;
  const first = data[0];
  let second: number | undefined;
  for (const value of data) {
    if (Object.is(value, first) || Object.is(value, second)) continue;
    if (second !== undefined) return undefined;
    second = value;
  }
  if (second === undefined) return undefined;
  return {
    isFirst: Uint8Array.from(data, (value) => Number(Object.is(value, first))),
    first,
    second,
  };
}

function isBatch(dim: Linear | undefined): boolean {
  return dim !== undefined && dim.at0 === 0 && dim.perBatch === 1;
}

function dimension(dim: Linear): number | string {
  if (dim.perBatch === 0) return dim.at0;
  return isBatch(dim) ? "batch" : `${dim.at0} + ${dim.perBatch} batch`;
}

function sameLinear(a: readonly Linear[], b: readonly Linear[]): boolean {
  return a.length === b.length &&
    a.every(({ at0, perBatch }, i) => at0 === b[i].at0 && perBatch === b[i].perBatch);
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
