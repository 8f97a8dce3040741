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
import type { DynamicShapes, Grown } from "./dynamic_shapes.ts";
import { ModelWriter } from "./model_writer.ts";
import { isFixed, type Multilinear, sameMultilinear } from "./multilinear.ts";

/** An axis of an input whose length is `times` a dynamic size. */
export type SizeOrigin = { input: string; axis: number; times: number };

/** What goes into a model, by the names that its users see. */
export type StandardModel = {
  inputs: readonly { name: string; storage: Storage }[];
  outputs: readonly { name: string; operand: Operand }[];
  dynamic: DynamicShapes;
  /** Where each dynamic size is read: an axis of an input, whose length is so many times the size. */
  origins: readonly SizeOrigin[];
  /** Names for known tensors. */
  names: ReadonlyMap<Storage, string>;
};

/**
 * Writes a graph with operators of the ONNX standard alone: the runtime's own product with
 * transposed factors becomes Transpose and MatMul, and a transposed weight is stored transposed.
 */
export function lowerStandard(model: StandardModel): ModelProto {
  const { inputs, outputs, dynamic: { shapes } } = model;
  const writer = new ModelWriter([...inputs, ...outputs].map(({ name }) => name));
  const values = new Values(writer, model);
  const results = new Map(outputs.map((output) => [output.operand.storage, output]));
  for (const node of subgraph(outputs.map(({ operand }) => operand.storage)).nodes) {
    const operation = standardOperation(node, values);
    for (const storage of node.outputs) {
      const result = results.get(storage);
      const direct = result && sameMultilinear(shapes.get(result.operand)!, shapes.get(storage)!);
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
  const info = (name: string, type: ElementType, dims: readonly Multilinear[]) => ({
    name,
    type,
    dims: dims.map((dim) => dimension(dim, model)),
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
    const { type, dims } = value, values = this.#shape(value);
    if (values.length === 0 || isFixed(values)) return this.writer.numbers(value.values, value);
    const vector = this.#multilinear(values, type);
    return dims.length === 1 ? vector : this.writer.operation("Squeeze", [vector]);
  }

  tensor(storage: Storage): string {
    let name = this.#names.get(storage);
    if (name === undefined) {
      const rule = this.model.dynamic.grown.get(storage);
      name = rule ? this.#grown(storage, rule) : this.#stored(storage, storage.shape);
      this.#names.set(storage, name);
    }
    return name;
  }

  /** An operand, which may be a tensor under another shape. */
  view(operand: Operand): string {
    const { storage, shape } = operand, dims = this.#shape(operand);
    if (sameMultilinear(dims, this.#shape(storage))) return this.tensor(storage);
    const key = `${this.#key(storage)}[${dims.map((dim) => dimension(dim, this.model))}]`;
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

  #shape(value: Storage | Operand | Constant): readonly Multilinear[] {
    return this.model.dynamic.shapes.get(value)!;
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
    return storage.data !== undefined && !this.model.dynamic.grown.has(storage);
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

  /** Known numbers that depend on the sizes. */
  #grown(storage: Storage, rule: Grown): string {
    const { writer } = this, { dtype: type, shape } = storage;
    const target = () => this.#multilinear(this.#shape(storage), "int64");
    switch (rule.kind) {
      case "rows": {
        const dims = shape.map((dim, i) => i === rule.axis ? 1 : dim);
        const row = writer.store(rule.row, { name: this.#name(storage), type, dims });
        return writer.operation("Expand", [row, target()]);
      }
      case "fill": {
        const value = writer.numbers(Array.from(rule.value), { type, dims: [] });
        return writer.operation("Expand", [value, target()]);
      }
      case "range": {
        const scalar = (value: number) => writer.numbers([value], { type: "int64", dims: [] });
        const length = writer.operation("Squeeze", [target()]);
        const range = writer.operation("Range", [scalar(0), length, scalar(1)]);
        return writer.operation("Cast", [range], { to: elementType[type] });
      }
      case "number": {
        const vector = this.#multilinear([rule.value], type);
        if (shape.length === 1) return vector;
        return writer.operation("Reshape", [
          vector,
          writer.numbers(shape, { type: "int64", dims: [shape.length] }),
        ]);
      }
    }
  }

  /** A shape to reshape to: with one dimension that depends on the sizes, −1 stands for it. */
  #target(dims: readonly Multilinear[]): string {
    const growing = dims.filter((dim) => !isFixed([dim])).length;
    const empty = dims.some((dim) => dim[0] === 0 && isFixed([dim]));
    if (growing > 1 || empty) return this.#multilinear(dims, "int64");
    const inferred = dims.map((dim) => isFixed([dim]) ? dim[0] : -1);
    return this.writer.numbers(inferred, { type: "int64", dims: [dims.length] });
  }

  /** Numbers in a vector; those that depend on the sizes are computed from the inputs' shapes. */
  #multilinear(values: readonly Multilinear[], type: ElementType): string {
    const { writer } = this, dims = [values.length];
    if (isFixed(values)) return writer.numbers(values.map(([value]) => value), { type, dims });
    const key = `numbers ${JSON.stringify(values)} ${type}`;
    return writer.once(key, () => {
      const used = [...values[0].keys()].filter((m) => values.some((value) => value[m] !== 0));
      const terms = used.map((m) => {
        const factors = writer.numbers(values.map((value) => value[m]), { type: "int64", dims });
        return m === 0 ? factors : writer.operation("Mul", [this.#product(m), factors]);
      });
      const sum = terms.reduce((a, b) => writer.operation("Add", [a, b]));
      return type === "int64" ? sum : writer.operation("Cast", [sum], { to: elementType[type] });
    });
  }

  /** The product of the sizes whose bit is set in m, as a vector of one number. */
  #product(m: number): string {
    const { writer, model: { origins } } = this;
    return writer.once(`product ${m}`, () => {
      const last = 31 - Math.clz32(m), rest = m ^ 1 << last;
      if (rest > 0) {
        return writer.operation("Mul", [this.#product(rest), this.#product(1 << last)]);
      }
      const { input, axis, times } = origins[last];
      const length = writer.operation("Shape", [input], { start: axis, end: axis + 1 });
      if (times === 1) return length;
      const divisor = writer.numbers([times], { type: "int64", dims: [1] });
      return writer.operation("Div", [length, divisor]);
    });
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

/** A dimension as a file says it: a number, the name of an input's size, or a formula. */
function dimension(
  dim: Multilinear,
  { dynamic: { sizes }, origins }: StandardModel,
): number | string {
  if (isFixed([dim])) return dim[0];
  const named = sizes.findIndex((_, i) =>
    dim.every((coefficient, m) => coefficient === (m === 1 << i ? origins[i].times : 0))
  );
  if (named >= 0) return sizes[named].name;
  const term = (coefficient: number, m: number) => {
    const factors = sizes.flatMap(({ name }, i) => {
      if (!(m >> i & 1)) return [];
      return [origins[i].times === 1 ? name : `(${name} / ${origins[i].times})`];
    });
    return [...(coefficient === 1 && m > 0 ? [] : [coefficient]), ...factors].join(" ");
  };
  return dim.flatMap((coefficient, m) => coefficient === 0 ? [] : [term(coefficient, m)]).join(
    " + ",
  );
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
