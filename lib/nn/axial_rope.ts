import * as tf from "@tensorflow/tfjs";
import { applyWithAdjoint } from "./adjoint.ts";
import type { Inits } from "./init.ts";

/** Frequencies of every head, shared by all axes: a buffer. */
export type AxialRoPEParams = { freqs: tf.Tensor }; // [heads, d / (4 axes)]: d / 8 for images
/** Cosine and sine of each token's angles. */
export type RotaryTable = { cos: tf.Tensor; sin: tf.Tensor }; // [tokens, heads, d / 4]

/** The frequencies of the paper, in units of π a unit of position: from half a turn to five, from edge to centre. */
export const ROPE_FREQUENCIES: readonly [lowest: number, highest: number] = [1, 10];

/**
 * Frequency j of head h is π · a · (b/a)^((j·heads + h) / (heads·n)) for the range [a, b] and n = d/8 frequencies:
 * log-spaced from π to 10 π, the end excluded, dealt out to the heads in turn. With one or three axes, n = d/4 or d/12.
 */
export function initAxialRoPE(
  { dHead, heads, axes = 2, frequencies: [lowest, highest] = ROPE_FREQUENCIES }: {
    dHead: number;
    heads: number;
    axes?: number;
    frequencies?: readonly [lowest: number, highest: number];
  },
): Inits<AxialRoPEParams> {
  const n = dHead / (4 * axes), ratio = highest / lowest;
  const data = Float32Array.from(
    { length: heads * n },
    (_, i) => Math.PI * lowest * ratio ** (((i % n) * heads + Math.floor(i / n)) / (heads * n)),
  );
  return { freqs: { shape: [heads, n], start: { kind: "data", data } } };
}

/** Angles of the rotation: [y·f, x·f], for positions [N, 2], or as many as there are axes; [N, heads, d / 4]. */
export function axialRoPEAngles({ freqs }: AxialRoPEParams, pos: tf.Tensor): tf.Tensor {
  const axes = pos.shape[pos.rank - 1];
  const places = tf.split(tf.reshape(pos, [-1, axes, 1]), axes, 1); // of [N, 1, 1]
  return tf.concat(places.map((place) => tf.mul(place, freqs)), -1);
}

/** The table that {@link axialRoPE} needs, for positions [N, axes] in the order of the tokens. */
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
