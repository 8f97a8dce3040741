import * as tf from "@tensorflow/tfjs";
import { compile } from "../engine/compile.ts";

/**
 * Log-likelihood of each sample under the probability-flow ODE, in nats, [B].
 *
 * Integrates dx/ds = (x - D(x; s)) / s from sigmaMin to sigmaMax together with the divergence of its
 * right-hand side, estimated as v^T J v with `v` fixed (Hutchinson; Rademacher entries +-1), by the
 * adaptive Runge-Kutta method of Dormand and Prince, order 5(4); the end is scored under
 * N(0, sigmaMax^2). The denoiser must be a differentiable function of tensors, not asynchronous.
 *
 * Computed in float32, so that tolerances below about 1e-6 gain nothing. Throws a RangeError when the
 * step length underflows. Source: Song et al. 2021, Section 4.3; EDM's noise levels as time.
 */
export async function logLikelihood<R extends tf.Rank>(
  denoiser: (x: tf.Tensor<R>, sigma: tf.Tensor1D) => tf.Tensor<R>,
  x: tf.Tensor<R>,
  { sigmaMin, sigmaMax, v, atol = 1e-4, rtol = 1e-4 }: {
    sigmaMin: number;
    sigmaMax: number;
    v: tf.Tensor<R>;
    atol?: number;
    rtol?: number;
  },
): Promise<{ logLikelihood: Float32Array; calls: number }> {
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && sigmaMax < Infinity)) {
    throw new RangeError(
      `Cannot integrate as 0 < sigmaMin < sigmaMax must hold: sigmaMin is ${sigmaMin}, sigmaMax is ${sigmaMax}`,
    );
  }
  const B = x.shape[0], each = x.size / B;
  const slope = compile(slopeOf(denoiser));
  let calls = 0;
  // The state is one flat array: the samples, then a log-likelihood a sample.
  const f = async (sigma: number, y: Float64Array): Promise<Float64Array> => {
    calls++;
    const at = tf.tensor(Float32Array.from(y.subarray(0, x.size)), x.shape) as tf.Tensor<R>;
    const levels = tf.tensor1d(new Float32Array(B).fill(sigma));
    const { dx, divergence } = await slope({ x: at, sigma: levels, v });
    const out = new Float64Array(y.length);
    out.set(await dx.data(), 0);
    out.set(await divergence.data(), x.size);
    tf.dispose([at, levels, dx, divergence]);
    return out;
  };
  const start = new Float64Array(x.size + B);
  start.set(await x.data(), 0);
  const end = await dormandPrince(f, start, { from: sigmaMin, to: sigmaMax, atol, rtol });
  slope.dispose();
  const result = Float32Array.from({ length: B }, (_, b) => {
    let sum = -each * Math.log(sigmaMax * Math.sqrt(2 * Math.PI));
    for (let i = b * each; i < (b + 1) * each; i++) sum -= (end[i] / sigmaMax) ** 2 / 2;
    return sum + end[x.size + b];
  });
  return { logLikelihood: result, calls };
}

type SlopeInputs<R extends tf.Rank> = { x: tf.Tensor<R>; sigma: tf.Tensor1D; v: tf.Tensor<R> };

function slopeOf<R extends tf.Rank>(
  denoiser: (x: tf.Tensor<R>, sigma: tf.Tensor1D) => tf.Tensor<R>,
) {
  return ({ x, sigma, v }: SlopeInputs<R>) => {
    const axes = Array.from({ length: x.rank - 1 }, (_, i) => i + 1);
    const derivative = (x: tf.Tensor) =>
      x.sub(denoiser(x as tf.Tensor<R>, sigma)).div(sigma.reshape([-1, ...axes.map(() => 1)]));
    const vJ = tf.grad((x) => derivative(x).mul(v).sum())(x); // v^T J
    return { dx: derivative(x), divergence: vJ.mul(v).sum(axes) };
  };
}

// Dormand & Prince 1980, RK5(4)7M: nodes, stages, and the difference of the two orders.
const NODES = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const STAGES = [
  [],
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const ERROR = [
  71 / 57600,
  0,
  -71 / 16695,
  71 / 1920,
  -17253 / 339200,
  22 / 525,
  -1 / 40,
];

type Slope = (t: number, y: Float64Array) => Promise<Float64Array>;

/** Integrates y' = f(t, y) with adaptive steps of order 5, error of order 4. */
async function dormandPrince(
  f: Slope,
  start: Float64Array,
  { from, to, atol, rtol }: { from: number; to: number; atol: number; rtol: number },
): Promise<Float64Array> {
  let t = from, y = start, k0 = await f(t, y), h = (to - from) * 1e-3;
  while (t < to) {
    h = Math.min(h, to - t);
    if (!(h > 1e-12 * to)) {
      throw new RangeError(`Cannot integrate as the step length underflows: step is ${h} at ${t}`);
    }
    const k = [k0];
    let next = y;
    for (let s = 1; s < 7; s++) {
      next = y.map((v, i) => v + h * STAGES[s].reduce((sum, a, j) => sum + a * k[j][i], 0));
      k.push(await f(t + NODES[s] * h, next));
    }
    let square = 0;
    for (let i = 0; i < y.length; i++) {
      const error = h * ERROR.reduce((sum, e, j) => sum + e * k[j][i], 0);
      square += (error / (atol + rtol * Math.max(Math.abs(y[i]), Math.abs(next[i])))) ** 2;
    }
    const error = Math.sqrt(square / y.length);
    if (error <= 1) {
      t = h === to - t ? to : t + h;
      y = next;
      k0 = k[6]; // first same as last
    }
    h *= Math.min(10, Math.max(0.2, 0.9 * Math.max(error, 1e-10) ** -0.2));
  }
  return y;
}
