/** Softmax and batch normalisation. @module */
import { scalar } from "../graph.ts";
import { axesOf, cast, type Kernel, type KernelTable, map } from "./kernel.ts";

function softmax(op: string, axisOf: (attrs: Record<string, number>) => number): Kernel {
  return ({ inputs: { logits }, attrs, backend }) =>
    backend.record(op, [cast(backend, logits, "float32")], {
      shape: logits.shape,
      dtype: "float32",
      attributes: { axis: axesOf(axisOf(attrs), logits.shape)[0] },
    });
}

export const normalisation: KernelTable = {
  Softmax: softmax("Softmax", ({ dim }) => dim),
  LogSoftmax: softmax("LogSoftmax", ({ axis }) => axis),
  // scale (x - mean) / √(variance + ε) + offset
  FusedBatchNorm: ({ inputs: { x, mean, variance, scale, offset }, attrs, backend }) => {
    const safe = map(backend, "Add", [variance, scalar(attrs.varianceEpsilon ?? 0.001)], variance);
    const deviation = map(backend, "Sqrt", [safe], safe);
    const factor = scale
      ? map(backend, "Div", [scale, deviation], deviation)
      : map(backend, "Reciprocal", [deviation], deviation);
    const centred = map(backend, "Sub", [x, mean], x);
    const scaled = map(backend, "Mul", [centred, factor], x);
    return offset ? map(backend, "Add", [scaled, offset], x) : scaled;
  },
};
