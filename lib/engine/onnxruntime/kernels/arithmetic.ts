/** Two operands element by element: arithmetic, comparisons, logic, selection. @module */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type DType, type Operand, scalar } from "../graph.ts";
import {
  broadcastShape,
  cast,
  inDoubles,
  type Kernel,
  type KernelTable,
  list,
  map,
  reshape,
} from "./kernel.ts";

/** Both operands under one dtype that ONNX Runtime computes with: bool counts as int32. */
function matched(backend: OnnxRuntimeBackend, a: Operand, b: Operand) {
  const dtype = tf.upcastType(a.dtype, b.dtype) as DType;
  const inner: DType = dtype === "bool" ? "int32" : dtype;
  return {
    a: cast(backend, a, inner),
    b: cast(backend, b, inner),
    inner,
    dtype,
    shape: broadcastShape(a.shape, b.shape),
  };
}

function binary(op: string): Kernel {
  return ({ inputs, backend }) => {
    const { a, b, inner, dtype, shape } = matched(backend, inputs.a, inputs.b);
    return cast(backend, backend.record(op, [a, b], { shape, dtype: inner }), dtype);
  };
}

function comparison(op: string): Kernel {
  return ({ inputs, backend }) => {
    const { a, b, shape } = matched(backend, inputs.a, inputs.b);
    return backend.record(op, [a, b], { shape, dtype: "bool" });
  };
}

function logical(op: string): Kernel {
  return ({ inputs: { a, b }, backend }) =>
    backend.record(op, [cast(backend, a, "bool"), cast(backend, b, "bool")], {
      shape: broadcastShape(a.shape, b.shape),
      dtype: "bool",
    });
}

/** A quotient as JavaScript has it: in doubles, and 0 where an int32 is divided by 0. */
function quotient(
  { backend, inputs: { a, b } }: Parameters<Kernel>[0],
  dtype: DType,
  compute: (a: Operand, b: Operand, out: { shape: number[]; dtype: DType }) => Operand,
): Operand {
  const out = { shape: broadcastShape(a.shape, b.shape), dtype };
  const result = inDoubles(backend, [a, b], { dtype, compute: ([a, b]) => compute(a, b, out) });
  if (dtype === "float32") return result;
  const divisor = cast(backend, b, b.dtype === "bool" ? "int32" : b.dtype);
  const undefinedThere = backend.record("Equal", [divisor, scalar(0, divisor.dtype as DType)], {
    shape: b.shape,
    dtype: "bool",
  });
  return map(backend, "Where", [undefinedThere, scalar(0, dtype), result], out);
}

/** Picks from `t` where `condition` holds, else from `e`. */
export function where(
  backend: OnnxRuntimeBackend,
  { condition, t, e }: { condition: Operand; t: Operand; e: Operand },
): Operand {
  const dtype = tf.upcastType(t.dtype, e.dtype) as DType;
  const inner: DType = dtype === "bool" ? "int32" : dtype; // ONNX Runtime has no Where of bools
  const shape = broadcastShape(condition.shape, broadcastShape(t.shape, e.shape));
  const picked = backend.record("Where", [
    condition,
    cast(backend, t, inner),
    cast(backend, e, inner),
  ], { shape, dtype: inner });
  return cast(backend, picked, dtype);
}

export const arithmetic: KernelTable = {
  Add: binary("Add"),
  Sub: binary("Sub"),
  Multiply: binary("Mul"),
  Pow: binary("Pow"),
  Maximum: binary("Max"),
  Minimum: binary("Min"),
  RealDiv: (call) => {
    const { a, b } = call.inputs;
    const dtype = tf.upcastType(a.dtype, b.dtype) as DType;
    if (dtype === "float32") return binary("Div")(call);
    return quotient(
      call,
      "int32",
      (a, b, out) => map(call.backend, "Div", [a, b], out),
    );
  },
  FloorDiv: (call) =>
    quotient(call, "int32", (a, b, out) => {
      const { backend } = call;
      return map(backend, "Floor", [map(backend, "Div", [a, b], out)], out);
    }),
  Mod: (call) => {
    const { inputs, backend } = call;
    const dtype = tf.upcastType(inputs.a.dtype, inputs.b.dtype) as DType;
    const attributes = { fmod: 1 };
    return quotient(call, dtype, (a, b, out) => { // with the sign of the divisor
      const rest = backend.record("Mod", [a, b], { ...out, attributes });
      const shifted = map(backend, "Add", [rest, b], out);
      const other = backend.record("Mod", [shifted, b], { ...out, attributes });
      const negative = (x: Operand) =>
        backend.record("Less", [x, scalar(0, "float64")], { shape: x.shape, dtype: "bool" });
      const sameSign = backend.record("Equal", [negative(a), negative(b)], {
        shape: out.shape,
        dtype: "bool",
      });
      return map(backend, "Where", [sameSign, rest, other], out);
    });
  },
  SquaredDifference: ({ inputs, backend }) => {
    const { a, b, inner, dtype, shape } = matched(backend, inputs.a, inputs.b);
    const difference = backend.record("Sub", [a, b], { shape, dtype: inner });
    return cast(backend, map(backend, "Mul", [difference, difference], difference), dtype);
  },
  Atan2: ({ inputs: { a: y, b: x }, backend }) => {
    const out = { shape: broadcastShape(y.shape, x.shape), dtype: "float32" as const };
    const test = (op: string, v: Operand) =>
      backend.record(op, [v, scalar(0)], { shape: v.shape, dtype: "bool" });
    const slope = map(backend, "Atan", [map(backend, "Div", [y, x], out)], out);
    const side = map(backend, "Where", [
      test("GreaterOrEqual", y),
      scalar(Math.PI),
      scalar(-Math.PI),
    ], { shape: y.shape, dtype: "float32" });
    const turned = map(backend, "Add", [slope, side], out);
    const angle = map(backend, "Where", [test("Less", x), turned, slope], out);
    // 0 / 0: the angle of the origin is 0
    const origin = backend.record("And", [test("Equal", y), test("Equal", x)], {
      shape: out.shape,
      dtype: "bool",
    });
    return map(backend, "Where", [origin, scalar(0), angle], out);
  },
  Greater: comparison("Greater"),
  GreaterEqual: comparison("GreaterOrEqual"),
  Less: comparison("Less"),
  LessEqual: comparison("LessOrEqual"),
  Equal: comparison("Equal"),
  NotEqual: (call) => {
    const equal = comparison("Equal")(call) as Operand;
    return map(call.backend, "Not", [equal], equal);
  },
  LogicalAnd: logical("And"),
  LogicalOr: logical("Or"),
  LogicalXor: logical("Xor"),
  LogicalNot: ({ inputs: { x }, backend }) => {
    const truth = cast(backend, x, "bool");
    return map(backend, "Not", [truth], truth);
  },
  // ONNX's Sum of several terms takes half as long again
  AddN: ({ inputs, backend }) =>
    list(inputs).reduce((sum, term) =>
      binary("Add")({ inputs: { a: sum, b: term }, attrs: {}, backend }) as Operand
    ),
  Select: ({ inputs: { condition, t, e }, backend }) => {
    // a condition of rank 1 chooses whole rows
    const rows = condition.shape.length === 1 && t.shape.length > 1;
    const choose = rows
      ? reshape(condition, [condition.shape[0], ...t.shape.slice(1).map(() => 1)])
      : condition;
    return where(backend, { condition: cast(backend, choose, "bool"), t, e });
  },
};
