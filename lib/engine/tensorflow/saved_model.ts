/**
 * Writes TensorFlow's SavedModel: the few protocol-buffer messages that a graph of operations
 * needs (graph.proto, node_def.proto, attr_value.proto, tensor.proto, meta_graph.proto; field
 * numbers stand beside each use).
 *
 * @module
 */

/** An attribute as the package hands it to TensorFlow: `type` is a TF_AttrType. */
export type OpAttr = { name: string; type: number; value: unknown };

/** One operation of a graph. */
export type NodeDef = {
  name: string;
  op: string;
  inputs: readonly string[];
  attributes: readonly (readonly [name: string, value: Uint8Array])[];
};

/** TF_AttrType. */
const STRING = 0, INT = 1, FLOAT = 2, BOOL = 3, TYPE = 4, SHAPE = 5;
/** The version of graphs that TensorFlow 2.21 writes; only lower bounds are checked. */
const PRODUCER = 1882;
/** The tag by which the graph is found again. */
export const TAG = "serve";

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value)); // negative numbers as two's complement
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

const int = (field: number, value: number) => concat([varint(field << 3), varint(value)]);
const message = (field: number, bytes: Uint8Array) =>
  concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
const string = (field: number, text: string) => message(field, new TextEncoder().encode(text));
const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** TensorShapeProto: dim = 2 { size = 1 }. */
const shape = (dims: readonly number[]) => concat(dims.map((dim) => message(2, int(1, dim))));

/** AttrValue: list = 1, s = 2, i = 3, f = 4, b = 5, type = 6, shape = 7; lists have the same numbers. */
export function attrValue({ type, value }: OpAttr): Uint8Array {
  if (type === SHAPE) return message(7, shape(value as number[]));
  const field = { [STRING]: 2, [INT]: 3, [FLOAT]: 4, [BOOL]: 5, [TYPE]: 6 }[type];
  if (field === undefined) {
    throw new TypeError(`Cannot write the attribute as its type must be 0 to 5: type is ${type}`);
  }
  if (type === STRING) return string(field, value as string);
  const numbers = [value].flat().map(Number);
  const bytes = type === FLOAT ? floats(numbers) : concat(numbers.map(varint));
  if (Array.isArray(value)) return message(1, message(field, bytes));
  return concat([varint((field << 3) | (type === FLOAT ? 5 : 0)), bytes]);
}

/** The attributes of an input; `dtype` is a TF_DataType. */
export function placeholder(dims: readonly number[], dtype: number): NodeDef["attributes"] {
  return [["dtype", int(6, dtype)], ["shape", message(7, shape(dims))]];
}

/** The attributes of a constant. TensorProto: dtype = 1, tensor_shape = 2, tensor_content = 4. */
export function constant(
  dims: readonly number[],
  { dtype, bytes }: { dtype: number; bytes: Uint8Array },
): NodeDef["attributes"] {
  const tensor = concat([int(1, dtype), message(2, shape(dims)), message(4, bytes)]);
  return [["dtype", int(6, dtype)], ["value", message(8, tensor)]];
}

/**
 * SavedModel: schema_version = 1, meta_graphs = 2 { meta_info_def = 1 { tags = 4 }, graph_def = 2 };
 * GraphDef: node = 1 { name = 1, op = 2, input = 3, attr = 5 { key = 1, value = 2 } }, versions = 4.
 */
export function savedModel(nodes: readonly NodeDef[]): Uint8Array {
  const graph = concat([
    ...nodes.map(({ name, op, inputs, attributes }) =>
      message(
        1,
        concat([
          string(1, name),
          string(2, op),
          ...inputs.map((input) => string(3, input)),
          ...attributes.map(([key, value]) =>
            message(5, concat([string(1, key), message(2, value)]))
          ),
        ]),
      )
    ),
    message(4, int(1, PRODUCER)),
  ]);
  return concat([int(1, 1), message(2, concat([message(1, string(4, TAG)), message(2, graph)]))]);
}
