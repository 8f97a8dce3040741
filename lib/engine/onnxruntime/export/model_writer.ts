import type { Data, Shape } from "../graph.ts";
import type { Attribute, ElementType, Initializer, ModelProto, NodeProto } from "../proto.ts";

/** A model as it is written: operations and stored tensors, each under a name of its own. */
export class ModelWriter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: Initializer[] = [];
  #used: Set<string>;
  #counts = new Map<string, number>();
  #once = new Map<string, string>();

  /** `taken` are the names of inputs and outputs. */
  constructor(taken: readonly string[]) {
    this.#used = new Set(taken);
  }

  /** A name that is not in use: `wanted`, `wanted.2`, `wanted.3`, … */
  name(wanted: string): string {
    let count = this.#counts.get(wanted) ?? 0, name: string;
    do name = ++count === 1 ? wanted : `${wanted}.${count}`; while (this.#used.has(name));
    this.#counts.set(wanted, count);
    this.#used.add(name);
    return name;
  }

  /** The name that `write` gave at the first call with this key. */
  once(key: string, write: () => string): string {
    const name = this.#once.get(key) ?? write();
    this.#once.set(key, name);
    return name;
  }

  /** Adds an operation of the standard with one output. */
  operation(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const output = this.name(op);
    this.nodes.push({ op, domain: "", inputs, outputs: [output], attributes });
    return output;
  }

  /** Adds a stored tensor. */
  store(
    data: Data | BigInt64Array | Float64Array,
    { name, type, dims }: { name: string; type: ElementType; dims: Shape },
  ): string {
    const unique = this.name(name), { buffer, byteOffset, byteLength } = data;
    const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    this.initializers.push({ name: unique, type, dims, bytes });
    return unique;
  }

  /** A few numbers, stored once. */
  numbers(values: readonly number[], { type, dims }: { type: ElementType; dims: Shape }): string {
    const key = `${type}[${dims}]${values.map((value) => Object.is(value, -0) ? "-0" : value)}`;
    return this.once(key, () => this.store(typed(type, values), { name: "constant", type, dims }));
  }

  /** The model with these inputs and outputs. */
  finish(ends: Pick<ModelProto, "inputs" | "outputs">): ModelProto {
    return { nodes: this.nodes, initializers: this.initializers, ...ends };
  }
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
