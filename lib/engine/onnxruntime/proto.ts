/**
 * Writes ONNX models: the few messages of the format's protocol-buffer schema that a graph of
 * operations needs (onnx.proto3; field numbers stand beside each use).
 *
 * @module
 */

import { ProtoWriter } from "../../protobuf.ts";

/** The element types that tfjs tensors and shape constants need, with ONNX's numbers for them. */
export const elementType = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
} as const;
export type ElementType = keyof typeof elementType;

/** A node's attribute: a whole number, a list of them, a float or a string. */
export type Attribute = number | readonly number[] | { readonly float: number } | string;

/** A tensor written into the model. Zero-size tensors have no bytes. */
export type Initializer = {
  name: string;
  type: ElementType;
  dims: readonly number[];
  bytes: Uint8Array;
};

/** One operation of the graph. */
export type NodeProto = {
  op: string;
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
};

/** A graph input or output; a dimension that is not fixed has a name. */
export type ValueInfo = { name: string; type: ElementType; dims: readonly (number | string)[] };

export type ModelProto = {
  nodes: readonly NodeProto[];
  initializers: readonly Initializer[];
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
  /** Free text that the file carries along, by key. */
  metadata?: Readonly<Record<string, string>>;
};

/** The operator set that the kernels are written against. */
const OPSET = 18;
const IR_VERSION = 9;
/** Domain of ONNX Runtime's own operators. */
export const MICROSOFT = "com.microsoft";

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20 (1 float, 2 int, 3 string, 7 ints). */
function writeAttribute(w: ProtoWriter, name: string, value: Attribute): void {
  w.text(1, name);
  if (typeof value === "number") {
    w.int(3, value);
    w.int(20, 2);
  } else if (typeof value === "string") {
    w.text(4, value);
    w.int(20, 3);
  } else if ("float" in value) {
    w.float(2, value.float);
    w.int(20, 1);
  } else {
    for (const item of value) w.int(8, item);
    w.int(20, 7);
  }
}

/** ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1, shape 2 { dim 1 { dim_value 1, dim_param 2 } } } }. */
function writeValueInfo(w: ProtoWriter, { name, type, dims }: ValueInfo): void {
  w.text(1, name);
  w.message(2, (w) =>
    w.message(1, (w) => {
      w.int(1, elementType[type]);
      w.message(2, (w) => {
        for (const dim of dims) {
          w.message(1, (w) => typeof dim === "number" ? w.int(1, dim) : w.text(2, dim));
        }
      });
    }));
}

/**
 * The bytes of a ModelProto: ir_version 1, producer_name 2, graph 7 { node 1, name 2, initializer 5,
 * input 11, output 12 }, opset_import 8, metadata_props 14.
 */
export function encodeModel(model: ModelProto): Uint8Array<ArrayBuffer> {
  const w = new ProtoWriter();
  w.int(1, IR_VERSION);
  w.text(2, "hdit");
  w.message(7, (w) => {
    for (const node of model.nodes) {
      w.message(1, (w) => { // NodeProto: input 1, output 2, op_type 4, attribute 5, domain 7
        for (const input of node.inputs) w.text(1, input);
        for (const output of node.outputs) w.text(2, output);
        w.text(4, node.op);
        for (const [name, value] of Object.entries(node.attributes)) {
          w.message(5, (w) => writeAttribute(w, name, value));
        }
        if (node.domain) w.text(7, node.domain);
      });
    }
    w.text(2, "hdit");
    for (const { name, type, dims, bytes } of model.initializers) {
      w.message(5, (w) => { // TensorProto: dims 1, data_type 2, name 8, raw_data 9
        for (const dim of dims) w.int(1, dim);
        w.int(2, elementType[type]);
        w.text(8, name);
        w.bytes(9, bytes);
      });
    }
    for (const input of model.inputs) w.message(11, (w) => writeValueInfo(w, input));
    for (const output of model.outputs) w.message(12, (w) => writeValueInfo(w, output));
  });
  w.message(8, (w) => { // OperatorSetIdProto: domain 1, version 2
    w.text(1, "");
    w.int(2, OPSET);
  });
  if (model.nodes.some(({ domain }) => domain === MICROSOFT)) {
    w.message(8, (w) => {
      w.text(1, MICROSOFT);
      w.int(2, 1);
    });
  }
  for (const [key, value] of Object.entries(model.metadata ?? {})) {
    w.message(14, (w) => { // StringStringEntryProto: key 1, value 2
      w.text(1, key);
      w.text(2, value);
    });
  }
  return w.finish();
}
