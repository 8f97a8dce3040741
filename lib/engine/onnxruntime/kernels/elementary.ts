/** One operand element by element: elementary functions, rounding, activations, casts. @module */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type DType, type Operand, scalar } from "../graph.ts";
import type { Attribute } from "../proto.ts";
import { broadcastShape, cast, inDoubles, type Kernel, type KernelTable, map } from "./kernel.ts";

type UnaryOptions = {
  /** Computed on int32 as it is; else on float32 and cast back, as tfjs stores into an int32 array. */
  int32?: boolean;
  /** The dtype of the result, if it is not that of the operand. */
  out?: DType;
  attributes?: Readonly<Record<string, Attribute>>;
};

function unary(op: string, { int32 = false, out, attributes = {} }: UnaryOptions = {}): Kernel {
  return ({ inputs: { x }, backend }) => {
    const inner = int32 && x.dtype !== "float32" ? "int32" : "float32";
    const y = backend.record(op, [cast(backend, x, inner)], {
      shape: x.shape,
      dtype: inner,
      attributes,
    });
    return cast(backend, y, out ?? x.dtype);
  };
}

/** Whole numbers stay as they are. */
function rounding(op: string): Kernel {
  return ({ inputs: { x }, backend }) => x.dtype === "float32" ? map(backend, op, [x], x) : x;
}

function test(op: string): Kernel {
  return ({ inputs: { x }, backend }) =>
    backend.record(op, [cast(backend, x, "float32")], { shape: x.shape, dtype: "bool" });
}

function clip(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { min, max }: { min: number; max: number },
): Operand {
  const inner: DType = x.dtype === "bool" ? "int32" : x.dtype;
  const bounds = [scalar(min, inner), scalar(max, inner)];
  const clipped = backend.record("Clip", [cast(backend, x, inner), ...bounds], {
    shape: x.shape,
    dtype: inner,
  });
  return cast(backend, clipped, x.dtype);
}

function prelu(backend: OnnxRuntimeBackend, x: Operand, alpha: Operand): Operand {
  const out = { shape: broadcastShape(x.shape, alpha.shape), dtype: "float32" as const };
  return map(backend, "PRelu", [cast(backend, x, "float32"), cast(backend, alpha, "float32")], out);
}

const relu = unary("Relu", { int32: true });
const elu = unary("Elu");
const sigmoid = unary("Sigmoid");

function leakyRelu(backend: OnnxRuntimeBackend, x: Operand, alpha: number): Operand {
  const attributes = { alpha: { float: alpha } };
  return unary("LeakyRelu", { out: "float32", attributes })({
    inputs: { x },
    attrs: {},
    backend,
  }) as Operand;
}

/** What the fused operations of tfjs apply to their result. */
export function activate(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { activation, preluActivationWeights, leakyreluAlpha }: {
    activation?: string;
    preluActivationWeights?: Operand | undefined;
    leakyreluAlpha?: number;
  },
): Operand {
  const call = { inputs: { x }, attrs: {}, backend };
  switch (activation ?? "linear") {
    case "linear":
      return x;
    case "relu":
      return relu(call) as Operand;
    case "relu6":
      return clip(backend, x, { min: 0, max: 6 });
    case "elu":
      return elu(call) as Operand;
    case "sigmoid":
      return sigmoid(call) as Operand;
    case "prelu":
      return prelu(backend, x, preluActivationWeights!);
    case "leakyrelu":
      return leakyRelu(backend, x, leakyreluAlpha!);
    default:
      throw new RangeError(
        `Cannot fuse the activation as it must be linear, relu, relu6, elu, sigmoid, prelu or ` +
          `leakyrelu: activation is ${activation}`,
      );
  }
}

export const elementary: KernelTable = {
  Neg: unary("Neg", { int32: true }),
  Abs: unary("Abs", { int32: true }),
  Sign: unary("Sign", { int32: true }),
  Exp: unary("Exp", { out: "float32" }),
  Log: unary("Log"),
  Sqrt: unary("Sqrt"),
  Reciprocal: unary("Reciprocal"),
  Erf: unary("Erf"),
  Sin: unary("Sin"),
  Cos: unary("Cos"),
  Tan: unary("Tan"),
  Asin: unary("Asin"),
  Acos: unary("Acos"),
  Atan: unary("Atan"),
  Sinh: unary("Sinh"),
  Cosh: unary("Cosh"),
  Tanh: unary("Tanh"),
  Asinh: unary("Asinh"),
  Acosh: unary("Acosh"),
  Atanh: unary("Atanh"),
  Sigmoid: sigmoid,
  Softplus: unary("Softplus"),
  Relu: relu,
  Elu: elu,
  Selu: unary("Selu", {
    attributes: {
      alpha: { float: tf.backend_util.SELU_SCALEALPHA / tf.backend_util.SELU_SCALE },
      gamma: { float: tf.backend_util.SELU_SCALE },
    },
  }),
  Floor: rounding("Floor"),
  Ceil: rounding("Ceil"),
  Round: rounding("Round"),
  IsNan: test("IsNaN"),
  IsInf: test("IsInf"),
  IsFinite: ({ inputs: { x }, backend }) => {
    const size = map(backend, "Abs", [cast(backend, x, "float32")], {
      shape: x.shape,
      dtype: "float32",
    });
    return map(backend, "Less", [size, scalar(Infinity)], { shape: x.shape, dtype: "bool" });
  },
  Square: ({ inputs: { x }, backend }) => x.dtype === "bool" ? x : map(backend, "Mul", [x, x], x),
  Rsqrt: ({ inputs: { x }, backend }) =>
    map(backend, "Reciprocal", [map(backend, "Sqrt", [x], x)], x),
  // exp(x) - 1 and log(1 + x) lose their digits near 0, unless there are more of them
  Expm1: ({ inputs: { x }, backend }) =>
    inDoubles(backend, [x], {
      dtype: x.dtype,
      compute: ([x]) => map(backend, "Sub", [map(backend, "Exp", [x], x), scalar(1, "float64")], x),
    }),
  Log1p: ({ inputs: { x }, backend }) =>
    inDoubles(backend, [x], {
      dtype: x.dtype,
      compute: ([x]) => map(backend, "Log", [map(backend, "Add", [x, scalar(1, "float64")], x)], x),
    }),
  Step: ({ inputs: { x }, attrs: { alpha }, backend }) => {
    const value = cast(backend, x, "float32");
    const positive = map(backend, "Greater", [value, scalar(0)], {
      shape: x.shape,
      dtype: "bool",
    });
    if (!alpha) return cast(backend, positive, x.dtype);
    const step = map(backend, "Where", [positive, scalar(1), scalar(alpha)], value);
    return cast(backend, step, x.dtype);
  },
  Relu6: ({ inputs: { x }, backend }) => clip(backend, x, { min: 0, max: 6 }),
  ClipByValue: ({ inputs: { x }, attrs: { clipValueMin, clipValueMax }, backend }) =>
    clip(backend, x, { min: clipValueMin, max: clipValueMax }),
  LeakyRelu: ({ inputs: { x }, attrs: { alpha }, backend }) => leakyRelu(backend, x, alpha),
  Prelu: ({ inputs: { x, alpha }, backend }) => prelu(backend, x, alpha),
  EluGrad: ({ inputs: { dy, y }, backend }) => { // dy · (min(y, 0) + 1)
    const below = map(backend, "Min", [y, scalar(0)], y);
    return map(backend, "Mul", [dy, map(backend, "Add", [below, scalar(1)], y)], y);
  },
  Cast: ({ inputs: { x }, attrs: { dtype }, backend }) => cast(backend, x, dtype),
};
