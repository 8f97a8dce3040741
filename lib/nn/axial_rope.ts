import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import type { Inits } from "./init.ts";

/** Frequencies of every head, shared by both axes: a buffer. */
export type AxialRoPEParams = { freqs: tf.Tensor }; // [heads, d / 8]
/** Cosine and sine of each token's angles. */
export type RotaryTable = { cos: tf.Tensor; sin: tf.Tensor }; // [tokens, heads, d / 4]

/**
 * Frequency j of head h is π · 10^((j·heads + h) / (heads·d/8)): log-spaced from π to 10 π, the end excluded,
 * dealt out to the heads in turn.
 */
export function initAxialRoPE(
  { dHead, heads }: { dHead: number; heads: number },
): Inits<AxialRoPEParams> {
  const n = dHead / 8;
  const data = Float32Array.from(
    { length: heads * n },
    (_, i) => Math.PI * 10 ** (((i % n) * heads + Math.floor(i / n)) / (heads * n)),
  );
  return { freqs: { shape: [heads, n], start: { kind: "data", data } } };
}

/** Angles of the rotation: [y·f, x·f], for positions [N, 2]; [N, heads, d / 4]. */
export function axialRoPEAngles({ freqs }: AxialRoPEParams, pos: tf.Tensor): tf.Tensor {
  const [y, x] = tf.split(tf.reshape(pos, [-1, 2, 1]), 2, 1); // [N, 1, 1]
  return tf.concat([tf.mul(y, freqs), tf.mul(x, freqs)], -1);
}

/** The table that {@link axialRoPE} needs, for positions [N, 2] in the order of the tokens. */
export function rotaryTable(p: AxialRoPEParams, pos: tf.Tensor): RotaryTable {
  const theta = axialRoPEAngles(p, pos);
  return { cos: tf.cos(theta), sin: tf.sin(theta) };
}

/**
 * Axial rotary position embedding (paper, §4.2): of each head's d numbers, i and i + d/4 turn together by
 * angle θ_i for i < d/4, the second half stays.
 *
 * x is [B, tokens, heads, d]; the table is a constant, no gradient goes to it.
 */
export function axialRoPE(x: tf.Tensor, { cos, sin }: RotaryTable): tf.Tensor {
  return applyWithAdjoint([x], (x) => ({
    value: rotate(x, cos, sin),
    save: [cos, sin],
    adjoint: (dy, [cos, sin]) => [rotate(dy, cos, tf.neg(sin))],
  }));
}

function rotate(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const d = x.shape[x.rank - 1];
  const [a, b, rest] = tf.split(x, [d / 4, d / 4, d / 2], -1);
  const turnedA = tf.sub(tf.mul(a, cos), tf.mul(b, sin));
  const turnedB = tf.add(tf.mul(b, cos), tf.mul(a, sin));
  return tf.concat([turnedA, turnedB, rest], -1);
}
