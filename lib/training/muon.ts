import * as tf from "@tensorflow/tfjs";
import type { AdamWOptions } from "./adamw.ts";

/**
 * Settings of Muon; its author's: lr 0.02, momentum 0.95, no decay. `adamw` is for the leaves that are not matrices
 * between the first layer and the last.
 */
export type MuonOptions = {
  lr: number;
  momentum: number;
  weightDecay: number;
  adamw: AdamWOptions;
};

/** Coefficients of a step a X + b (X X') X + c (X X')^2 X, chosen for the steepest slope at 0. */
const [A, B, C] = [3.4445, -4.7750, 2.0315];

/** Steps of the iteration. */
const STEPS = 5;

/**
 * The matrix with its singular values brought near 1: U V' of M = U S V', but for singular values between
 * some 0.7 and 1.2, which train as well.
 *
 * Newton-Schulz: X = M / |M|, then five times a quintic of X. Singular values under some thousandth of |M| end lower.
 * Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; there in bfloat16, here in
 * float32.
 */
export function orthogonalise(matrix: tf.Tensor2D): tf.Tensor2D {
  const [rows, columns] = matrix.shape, tall = rows > columns;
  let x = matrix.div(tf.norm(matrix).add(1e-7)) as tf.Tensor2D;
  for (let i = 0; i < STEPS; i++) {
    const gram = tf.matMul(x, x, tall, !tall); // of the shorter side
    const polynomial = gram.mul(B).add(tf.matMul(gram, gram).mul(C)) as tf.Tensor2D;
    const higher = tall ? tf.matMul(x, polynomial) : tf.matMul(polynomial, x);
    x = x.mul(A).add(higher) as tf.Tensor2D;
  }
  return x;
}

/**
 * One update of one matrix [out, in] by Muon: b = momentum b + (1 - momentum) g, Nesterov's g + momentum (b - g)
 * orthogonalised, times size sqrt(max(1, out / in)); `keep` is the decoupled decay.
 *
 * The query, key and value weights are one matrix here, as the reference's model has them. Source: as `orthogonalise`.
 */
export function muon(
  { param, grad, m }: { param: tf.Tensor; grad: tf.Tensor; m: tf.Tensor },
  { momentum, clip, size, keep }: {
    momentum: number;
    clip: tf.Scalar;
    size: tf.Scalar;
    keep?: tf.Scalar | undefined;
  },
): { param: tf.Tensor; m: tf.Tensor } {
  const [rows, columns] = param.shape;
  const fresh = grad.mul(clip.mul(1 - momentum));
  const newM = m.mul(momentum).add(fresh);
  const update = orthogonalise(fresh.add(newM.mul(momentum)) as tf.Tensor2D)
    .mul(size.mul(Math.sqrt(Math.max(1, rows / columns))));
  return { param: (keep ? param.mul(keep) : param).sub(update), m: newM };
}
