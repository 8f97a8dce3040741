import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import { linear, type LinearParams } from "./linear.ts";

// Both activations get their argument divided by √2. The division is done on the weights, which are small,
// not on the activations; with g = gate / √2 and a = value / √2,
//   value · gelu(gate) = value · gate (1 + erf(gate / √2)) / 2 = a · g (1 + erf g).

/** log(2 / √π): d erf(g) / dg = exp(log(2/√π) − g²). */
const LOG_ERF_SLOPE = Math.log(2 / Math.sqrt(Math.PI));

/**
 * GEGLU(x) = value · gelu(gate), (value, gate) the first and the second half of x Wᵀ (+ b), with the exact
 * (erf) GELU (paper, §4.3).
 *
 * The weight is [2·out, in].
 */
export function linearGEGLU({ weight, bias }: LinearParams, x: tf.Tensor): tf.Tensor {
  const [wValue, wGate] = tf.split(tf.mul(weight, Math.SQRT1_2), 2, 0);
  if (!bias) return gatedByErf(linear({ weight: wValue }, x), linear({ weight: wGate }, x));
  const [bValue, bGate] = tf.split(tf.mul(bias, Math.SQRT1_2), 2, 0);
  return gatedByErf(
    linear({ weight: wValue, bias: bValue }, x),
    linear({ weight: wGate, bias: bGate }, x),
  );
}

/** √2 · gelu(x Wᵀ), exact (erf); the caller divides its next weight by √2. */
export function linearGELU({ weight }: LinearParams, x: tf.Tensor): tf.Tensor {
  const g = linear({ weight: tf.mul(weight, Math.SQRT1_2) }, x);
  return applyWithAdjoint([g], (g) => {
    const onePlusErf = tf.add(tf.erf(g), 1);
    return {
      value: tf.mul(g, onePlusErf),
      save: [g, onePlusErf],
      adjoint: (dy, [g, onePlusErf]) => [tf.mul(dy, gateSlope(g, onePlusErf))],
    };
  });
}

/** a · g (1 + erf g) = value · gelu(gate) where a = value / √2 and g = gate / √2. */
function gatedByErf(a: tf.Tensor, g: tf.Tensor): tf.Tensor {
  return applyWithAdjoint([a, g], (a, g) => {
    const onePlusErf = tf.add(tf.erf(g), 1);
    const gated = tf.mul(g, onePlusErf);
    return {
      value: tf.mul(a, gated),
      save: [a, g, onePlusErf, gated],
      adjoint: (dy, [a, g, onePlusErf, gated]) => [
        tf.mul(dy, gated),
        tf.mul(tf.mul(dy, a), gateSlope(g, onePlusErf)),
      ],
    };
  });
}

/** d/dg of g (1 + erf g) = 1 + erf g + g · (2/√π) exp(−g²). */
function gateSlope(g: tf.Tensor, onePlusErf: tf.Tensor): tf.Tensor {
  const erfSlope = tf.exp(tf.sub(LOG_ERF_SLOPE, tf.square(g)));
  return tf.add(onePlusErf, tf.mul(g, erfSlope));
}
