/** Element by element: arithmetic, comparisons, elementary functions, selection. @module */
import * as tf from "@tensorflow/tfjs";
import type { DType } from "../graph.ts";
import { cast, type Kernel, type KernelTable, list, reshape } from "./kernel.ts";

function binary(op: string, out?: DType): Kernel {
  return ({ inputs: { a, b }, backend }) => {
    const dtype = tf.upcastType(a.dtype, b.dtype) as DType;
    const shape = tf.broadcast_util.assertAndGetBroadcastShape([...a.shape], [...b.shape]);
    return backend.record(op, [cast(backend, a, dtype), cast(backend, b, dtype)], {
      shape,
      dtype: out ?? dtype,
    });
  };
}

function unary(op: string): Kernel {
  return ({ inputs: { x }, backend }) =>
    backend.record(op, [x], { shape: x.shape, dtype: x.dtype });
}

export const arithmetic: KernelTable = {
  Add: binary("Add"),
  Sub: binary("Sub"),
  Multiply: binary("Mul"),
  RealDiv: binary("Div"),
  Pow: binary("Pow"),
  Maximum: binary("Max"),
  Minimum: binary("Min"),
  Greater: binary("Greater", "bool"),
  GreaterEqual: binary("GreaterOrEqual", "bool"),
  Less: binary("Less", "bool"),
  LessEqual: binary("LessOrEqual", "bool"),
  Equal: binary("Equal", "bool"),
  Neg: unary("Neg"),
  Abs: unary("Abs"),
  Exp: unary("Exp"),
  Log: unary("Log"),
  Sqrt: unary("Sqrt"),
  Reciprocal: unary("Reciprocal"),
  Erf: unary("Erf"),
  Tanh: unary("Tanh"),
  Sigmoid: unary("Sigmoid"),
  Sin: unary("Sin"),
  Cos: unary("Cos"),
  Rsqrt: ({ inputs: { x }, backend }) => {
    const { shape, dtype } = x;
    return backend.record("Reciprocal", [backend.record("Sqrt", [x], { shape, dtype })], {
      shape,
      dtype,
    });
  },
  Square: ({ inputs: { x }, backend }) =>
    backend.record("Mul", [x, x], { shape: x.shape, dtype: x.dtype }),
  AddN: ({ inputs, backend }) => {
    const terms = list(inputs);
    return backend.record("Sum", terms, { shape: terms[0].shape, dtype: terms[0].dtype });
  },
  Select: ({ inputs: { condition, t, e }, backend }) => {
    // a condition of rank 1 chooses whole rows
    const rows = condition.shape.length === 1 && t.shape.length > 1;
    const choose = rows
      ? reshape(condition, [condition.shape[0], ...t.shape.slice(1).map(() => 1)])
      : condition;
    return backend.record("Where", [choose, t, e], { shape: t.shape, dtype: t.dtype });
  },
  Cast: ({ inputs: { x }, attrs: { dtype }, backend }) => cast(backend, x, dtype),
};
