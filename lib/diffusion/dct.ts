import * as tf from "@tensorflow/tfjs";

/**
 * Matrix of the orthonormal DCT-II: row k is sqrt(2 / n) cos(pi (i + 1/2) k / n), row 0 over sqrt(2).
 *
 * Row-major, n times n.
 */
export function dctMatrix(n: number): Float32Array {
  if (!(Number.isInteger(n) && n >= 1)) {
    throw new RangeError(`Cannot make a DCT matrix as n must be a whole number >= 1: n is ${n}`);
  }
  return Float32Array.from({ length: n * n }, (_, at) => {
    const k = Math.floor(at / n), i = at % n;
    return Math.sqrt((k === 0 ? 1 : 2) / n) * Math.cos(Math.PI * (i + 0.5) * k / n);
  });
}

/** Two-dimensional orthonormal DCT-II over the height and width of `x`. */
export function dct2(x: tf.Tensor4D): tf.Tensor4D {
  return tf.tidy(() => {
    const [B, H, W, C] = x.shape;
    const rows = tf.tensor2d(dctMatrix(H), [H, H]), columns = tf.tensor2d(dctMatrix(W), [W, W]);
    const overRows = tf.matMul(rows.expandDims(0), x.reshape([B, H, W * C])); // [B, H, W * C]
    const rowMajor = overRows.reshape([B * H, W, C]);
    return tf.matMul(columns.expandDims(0), rowMajor).reshape([B, H, W, C]); // [B, H, W, C]
  });
}

/**
 * Weights of the squared DCT coefficients in the multi-scale loss, [H, W] row-major.
 *
 * Along an axis of n the frequencies run evenly from 1 / (2 n) to 1/2 and weigh -log2(frequency),
 * capped at `scales` when that is at least 1; in two dimensions the lesser of the two axes counts.
 */
export function frequencyWeights([H, W]: [number, number], scales: number): Float32Array {
  const axis = (n: number) =>
    Float64Array.from({ length: n }, (_, i) => {
      const first = 0.5 / n, ramp = n === 1 ? first : first + (0.5 - first) * i / (n - 1);
      const weight = -Math.log2(ramp);
      return scales >= 1 ? Math.min(weight, scales) : weight;
    });
  const rows = axis(H), columns = axis(W);
  return Float32Array.from(
    { length: H * W },
    (_, at) => Math.min(rows[Math.floor(at / W)], columns[at % W]),
  );
}
