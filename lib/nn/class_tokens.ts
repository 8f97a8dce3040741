/**
 * In-context class tokens (JiT: Li & He 2025, "Back to Basics"): tokens of the class join those of the image, attend and
 * are attended to, and leave at the end.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Inits } from "./init.ts";

/** What tells the tokens of a class apart. */
export type ClassTokensParams = { pos_emb: tf.Tensor }; // [tokens, C]
/** The class tokens of a batch, and the layer that they join before. */
export type ClassTokens = { from: number; tokens: tf.Tensor }; // [B, n, C]

/** Vectors from N(0, 0.02²). */
export function initClassTokens(
  { tokens, features }: { tokens: number; features: number },
): Inits<ClassTokensParams> {
  return { pos_emb: { shape: [tokens, features], start: { kind: "normal", std: 0.02 } } };
}

/** The embedding of the class [B, C] plus each token's vector: [B, n, C]. */
export function classTokens({ pos_emb }: ClassTokensParams, embedding: tf.Tensor): tf.Tensor {
  const [B, C] = embedding.shape as [number, number];
  return tf.add(tf.reshape(embedding, [B, 1, C]), pos_emb);
}

/** Tokens and positions with the class tokens before them, in the middle of the grid: rotary positions leave them as they are. */
export function joinClassTokens(
  { tokens: added }: ClassTokens,
  { tokens, pos }: { tokens: tf.Tensor; pos: tf.Tensor },
): { tokens: tf.Tensor; pos: tf.Tensor } {
  const n = added.shape[1]!, axes = pos.shape[1]!;
  return {
    tokens: tf.concat([added, tokens], 1),
    pos: tf.concat([tf.zeros([n, axes]), pos]),
  };
}

/** The tokens of the image alone again. */
export function leaveClassTokens({ tokens: added }: ClassTokens, tokens: tf.Tensor): tf.Tensor {
  const [B, all, C] = tokens.shape as [number, number, number], n = added.shape[1]!;
  return tf.slice(tokens, [0, n, 0], [B, all - n, C]);
}
