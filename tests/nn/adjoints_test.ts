/** Every derivative written by hand, against tfjs's own over the plain formula. */
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { softmaxAttention } from "../../lib/nn/attention.ts";
import { axialRoPE } from "../../lib/nn/axial_rope.ts";
import { scaleForCosineSim } from "../../lib/nn/cosine_sim.ts";
import { linearGEGLU } from "../../lib/nn/geglu.ts";
import { upDown } from "../../lib/nn/feed_forward.ts";
import { adaRMSNorm, rmsNorm } from "../../lib/nn/rms_norm.ts";
import { lerpSkip } from "../../lib/nn/skips.ts";
import { assertCentralDifferences, assertSameWithGradients, random } from "./assert.ts";

await setEngine("cpu");

const gelu = (x: tf.Tensor) => tf.mul(x, tf.mul(0.5, tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2)))));
const times = (x: tf.Tensor, w: tf.Tensor) => {
  const rows = tf.matMul(tf.reshape(x, [-1, x.shape[x.rank - 1]]), w, false, true);
  return tf.reshape(rows, [...x.shape.slice(0, -1), w.shape[0]]);
};
const normalised = (x: tf.Tensor) =>
  tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6)));

Deno.test("rmsNorm() equals its formula, gradients too", () => {
  const inputs = [random([2, 3, 5, 8]), random([8], "scale")];
  assertSameWithGradients(
    (x, scale) => rmsNorm({ scale }, x),
    (x, scale) => tf.mul(normalised(x), scale),
    inputs,
  );
});

Deno.test("adaRMSNorm() equals its formula, gradients of weights and condition too", () => {
  const inputs = [random([2, 6, 8]), random([2, 5], "cond"), random([8, 5], "weight")];
  assertSameWithGradients(
    (x, cond, weight) => adaRMSNorm({ linear: { weight } }, x, cond),
    (x, cond, weight) =>
      tf.mul(normalised(x), tf.reshape(tf.add(times(cond, weight), 1), [2, 1, 8])),
    inputs,
  );
});

Deno.test("adaRMSNorm() stays finite and right where a token is zero or tiny", () => {
  const x = tf.mul(random([1, 4, 8]), tf.tensor([0, 1e-4, 1e-3, 1], [1, 4, 1]));
  assertSameWithGradients(
    (x, scale) => rmsNorm({ scale }, x),
    (x, scale) => tf.mul(normalised(x), scale),
    [x, random([8], "scale")],
  );
});

Deno.test("linearGEGLU() equals value times gelu(gate), gradients too", () => {
  const inputs = [random([3, 4, 6]), random([10, 6], "weight"), random([10], "bias")];
  assertSameWithGradients(
    (x, weight, bias) => linearGEGLU({ weight, bias }, x),
    (x, weight, bias) => {
      const [value, gate] = tf.split(tf.add(times(x, weight), bias), 2, -1);
      return tf.mul(value, gelu(gate));
    },
    inputs,
  );
});

Deno.test("linearGEGLU() keeps its tails: gates of ±9 neither overflow nor vanish", () => {
  const weight = tf.tensor([[1], [9]]); // value x, gate 9 x
  const inputs = [tf.tensor([[-1], [-0.3], [0.2], [1]]), weight];
  assertSameWithGradients(
    (x, weight) => linearGEGLU({ weight }, x),
    (x, weight) => {
      const [value, gate] = tf.split(times(x, weight), 2, -1);
      return tf.mul(value, gelu(gate));
    },
    inputs,
  );
});

Deno.test("upDown() with GELU equals W gelu(V x), gradients too", () => {
  const inputs = [random([3, 4, 6]), random([8, 6], "up"), random([6, 8], "down")];
  assertSameWithGradients(
    (x, up, down) =>
      upDown({ up_proj: { weight: up }, down_proj: { weight: down } }, x, {
        kind: "gelu",
        site: "",
        rate: 0,
      }),
    (x, up, down) => times(gelu(times(x, up)), down),
    inputs,
  );
});

Deno.test("scaleForCosineSim() equals its formula, gradients too, tiny vectors included", () => {
  const x = tf.mul(random([2, 3, 2, 8]), tf.tensor([1e-4, 1, 3], [1, 3, 1, 1]));
  assertSameWithGradients(
    scaleForCosineSim,
    (x, scale) => {
      const norm = tf.sqrt(tf.add(tf.sum(tf.square(x), -1, true), 1e-6));
      return tf.div(tf.mul(x, tf.reshape(tf.sqrt(scale), [2, 1])), norm);
    },
    [x, tf.tensor([10, 3.5])],
  );
});

Deno.test("axialRoPE() equals the rotation of pairs (i, i + d/4), gradients too", () => {
  const theta = random([6, 2, 4], "theta");
  const [cos, sin] = [tf.cos(theta), tf.sin(theta)];
  assertSameWithGradients(
    (x) => axialRoPE(x, { cos, sin }),
    (x) => {
      const a = tf.slice(x, [0, 0, 0, 0], [2, 6, 2, 4]),
        b = tf.slice(x, [0, 0, 0, 4], [2, 6, 2, 4]);
      return tf.concat([
        tf.sub(tf.mul(a, cos), tf.mul(b, sin)),
        tf.add(tf.mul(b, cos), tf.mul(a, sin)),
        tf.slice(x, [0, 0, 0, 8], [2, 6, 2, 8]),
      ], -1);
    },
    [random([2, 6, 2, 16])],
  );
});

Deno.test("softmaxAttention() equals softmax(q kᵀ + mask) v, gradients too", () => {
  const mask = tf.tensor(Array.from({ length: 20 }, (_, i) => i % 3 === 1 ? -1e9 : 0), [1, 4, 5]);
  assertSameWithGradients(
    (q, k, v) => softmaxAttention(q, k, v, mask),
    (q, k, v) => tf.matMul(tf.softmax(tf.add(tf.matMul(q, k, false, true), mask)), v),
    [random([3, 4, 6], "q"), random([3, 5, 6], "k"), random([3, 5, 6], "v")],
  );
});

Deno.test("lerpSkip() equals (1 − fac) skip + fac up, gradients too", () => {
  assertSameWithGradients(
    (skip, up, fac) => lerpSkip({ fac }, skip, up),
    (skip, up, fac) => tf.add(tf.mul(skip, tf.sub(1, fac)), tf.mul(up, fac)),
    [random([2, 7, 4], "skip"), random([2, 7, 4], "up"), tf.tensor([0.3])],
  );
});

Deno.test("linearGEGLU(), adaRMSNorm() and softmaxAttention() have the gradients of central differences", () => {
  assertCentralDifferences((x, weight) => linearGEGLU({ weight }, x), [
    random([3, 4]),
    random([6, 4], "weight"),
  ]);
  assertCentralDifferences((x, cond, weight) => adaRMSNorm({ linear: { weight } }, x, cond), [
    random([2, 3, 4]),
    random([2, 3], "cond"),
    random([4, 3], "weight"),
  ]);
  assertCentralDifferences((q, k, v) => softmaxAttention(q, k, v), [
    random([1, 3, 4], "q"),
    random([1, 3, 4], "k"),
    random([1, 3, 4], "v"),
  ]);
});
