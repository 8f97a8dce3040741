/** Matrix products. @module */
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type Operand, sizeOf } from "../graph.ts";
import { MICROSOFT } from "../proto.ts";
import { activate } from "./elementary.ts";
import { broadcastShape, cast, type KernelTable, list, map, zeros } from "./kernel.ts";
import { transpose } from "./shape.ts";

/** a · b over the last two axes, each transposed first if asked for. */
export function matMul(
  backend: OnnxRuntimeBackend,
  a: Operand,
  b: Operand,
  { transposeA = false, transposeB = false } = {},
): Operand {
  const rows = a.shape[a.shape.length - (transposeA ? 1 : 2)];
  const columns = b.shape[b.shape.length - (transposeB ? 2 : 1)];
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const out = { shape: [...batch, rows, columns], dtype: a.dtype };
  if (!transposeA && !transposeB) return backend.record("MatMul", [a, b], out);
  if (a.dtype !== "float32") { // FusedMatMul is for floats
    const turned = (x: Operand) => {
      const axes = [...x.shape.keys()];
      return transpose(backend, x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
    };
    return backend.record("MatMul", [transposeA ? turned(a) : a, transposeB ? turned(b) : b], out);
  }
  return backend.record("FusedMatMul", [a, b], {
    ...out,
    domain: MICROSOFT,
    attributes: { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 },
  });
}

/** The shape of an einsum, from its equation. */
function einsumShape(equation: string, inputs: Operand[]): number[] {
  const [from, to] = equation.replaceAll(/\s/g, "").split("->");
  const sizes = new Map<string, number>();
  from.split(",").forEach((letters, i) =>
    [...letters].forEach((letter, axis) => sizes.set(letter, inputs[i].shape[axis]))
  );
  return [...to].map((letter) => sizes.get(letter)!);
}

export const linearAlgebra: KernelTable = {
  BatchMatMul: ({ inputs: { a, b }, attrs, backend }) => matMul(backend, a, b, attrs),
  _FusedMatMul: ({ inputs: { a, b, bias, preluActivationWeights }, attrs, backend }) => {
    const product = matMul(backend, a, b, attrs);
    const biased = bias ? map(backend, "Add", [product, bias], product) : product;
    return activate(backend, biased, { ...attrs, preluActivationWeights });
  },
  Einsum: ({ inputs, attrs: { equation }, backend }) => {
    const operands = list(inputs);
    const out = { shape: einsumShape(equation, operands), dtype: operands[0].dtype };
    if (operands.some(({ shape }) => sizeOf(shape) === 0)) {
      return zeros(backend, out.shape, out.dtype);
    }
    const terms = operands.map((x) => cast(backend, x, out.dtype));
    return backend.record("Einsum", terms, { ...out, attributes: { equation } });
  },
};
