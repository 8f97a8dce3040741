/** Matrix products and softmax. @module */
import * as tf from "@tensorflow/tfjs";
import { MICROSOFT } from "../proto.ts";
import type { KernelTable } from "./kernel.ts";

export const linearAlgebra: KernelTable = {
  BatchMatMul: ({ inputs: { a, b }, attrs: { transposeA, transposeB }, backend }) => {
    const rank = a.shape.length;
    const rows = a.shape[rank - (transposeA ? 1 : 2)];
    const columns = b.shape[b.shape.length - (transposeB ? 2 : 1)];
    const batch = tf.broadcast_util.assertAndGetBroadcastShape(
      a.shape.slice(0, -2),
      b.shape.slice(0, -2),
    );
    const out = { shape: [...batch, rows, columns], dtype: "float32" as const };
    if (!transposeA && !transposeB) return backend.record("MatMul", [a, b], out);
    return backend.record("FusedMatMul", [a, b], {
      ...out,
      domain: MICROSOFT,
      attributes: { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 },
    });
  },
  Softmax: ({ inputs: { logits }, attrs: { dim }, backend }) =>
    backend.record("Softmax", [logits], {
      shape: logits.shape,
      dtype: "float32",
      attributes: { axis: dim },
    }),
};
