/**
 * DINOv2 (Oquab et al. 2023, arXiv 2304.07193): a vision transformer whose features distances are
 * taken on.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { globalAttention } from "../nn/global_attention.ts";
import { linear, type LinearParams } from "../nn/linear.ts";
import { patchify } from "../nn/token_merge.ts";
import { type Dinov2Positions, dinov2Positions } from "./dinov2_positions.ts";

export type { Dinov2Positions } from "./dinov2_positions.ts";

/** A scale and a shift for each channel, or a linear map with bias. */
type Affine = Required<LinearParams>;

/** Weights by the names of facebookresearch/dinov2; C is the width. */
export type Dinov2Params = {
  cls_token: tf.Tensor; // [1, 1, C]
  pos_embed: tf.Tensor; // [1, 1 + M², C]
  patch_embed: { proj: Affine }; // [C, 3, p, p]
  blocks: Dinov2BlockParams[];
  norm: Affine;
};
export type Dinov2BlockParams = {
  norm1: Affine;
  attn: { qkv: Affine; proj: Affine }; // [3·C, C]: q, k, v, each by heads
  ls1: { gamma: tf.Tensor }; // [C]
  norm2: Affine;
  mlp: { fc1: Affine; fc2: Affine } | { w12: Affine; w3: Affine }; // GELU, or SwiGLU
  ls2: { gamma: tf.Tensor };
};

/** Tokens [B, 1 + h·w, C], the class token first, then the patches row by row. */
export type Dinov2Activations = {
  /** With their positions, before the first block. */
  embeddings: tf.Tensor;
  /** After each block. */
  blocks: tf.Tensor[];
  /** After the last norm. Its first token is the feature of the image. */
  tokens: tf.Tensor;
};

const EPS = 1e-6;

/**
 * Runs the network on images [B, H, W, 3] that have been normalised by channel.
 *
 * A block is x + γ₁ attention(norm x), then x + γ₂ mlp(norm x). Dropout and stochastic depth are
 * left out. What is not used of the result costs nothing once compiled.
 *
 * Throws a RangeError unless the patch divides H and W.
 */
export function dinov2(
  params: Dinov2Params,
  images: tf.Tensor4D,
  { heads, positions = "torch.hub" }: { heads: number; positions?: Dinov2Positions },
): Dinov2Activations {
  const embeddings = embed(params, images, positions);
  const blocks: tf.Tensor[] = [];
  for (const block of params.blocks) {
    const x = blocks.at(-1) ?? embeddings;
    const attended = selfAttention(block.attn, layerNorm(block.norm1, x), heads);
    const y = tf.add(x, tf.mul(attended, block.ls1.gamma));
    const fed = feedForward(block.mlp, layerNorm(block.norm2, y));
    blocks.push(tf.add(y, tf.mul(fed, block.ls2.gamma)));
  }
  return { embeddings, blocks, tokens: layerNorm(params.norm, blocks.at(-1) ?? embeddings) };
}

/** The class token and a token for each patch, with their positions. */
function embed(
  { cls_token, pos_embed, patch_embed: { proj: { weight, bias } } }: Dinov2Params,
  images: tf.Tensor4D,
  rule: Dinov2Positions,
): tf.Tensor {
  const [C, , p, q] = weight.shape as [number, number, number, number];
  const patches = patchify(images, [p, q]); // [B, h, w, p·q·3]
  const [B, h, w, features] = patches.shape as [number, number, number, number];
  const flat = tf.reshape(tf.transpose(weight, [0, 2, 3, 1]), [C, features]); // channels last
  const tokens = tf.reshape(linear({ weight: flat, bias }, patches), [B, h * w, C]);
  const all = tf.concat([tf.tile(cls_token, [B, 1, 1]), tokens], 1);
  return tf.add(all, dinov2Positions(pos_embed, { grid: [h, w], rule }));
}

/** W_proj softmax(q kᵀ / √d) v of x [B, N, C]. */
function selfAttention(
  { qkv, proj }: Dinov2BlockParams["attn"],
  x: tf.Tensor,
  heads: number,
): tf.Tensor {
  const [B, N, C] = x.shape as [number, number, number];
  const d = C / heads;
  const biases = tf.split(qkv.bias, 3, 0);
  // three projections rather than one that is cut up: activations are larger than weights
  const [q, k, v] = tf.split(qkv.weight, 3, 0)
    .map((weight, i) => tf.reshape(linear({ weight, bias: biases[i] }, x), [B, N, heads, d]));
  const attended = globalAttention().attend(tf.mul(q, 1 / Math.sqrt(d)), k, v, 0);
  return linear(proj, tf.reshape(attended, [B, N, C]));
}

/** W₂ gelu(W₁ x) with the exact (erf) GELU, or W₃ (silu(a) · b) with a, b the halves of W₁₂ x. */
function feedForward(p: Dinov2BlockParams["mlp"], x: tf.Tensor): tf.Tensor {
  if ("fc1" in p) {
    const y = linear(p.fc1, x);
    return linear(p.fc2, tf.mul(tf.mul(y, tf.add(tf.erf(tf.div(y, Math.SQRT2)), 1)), 0.5));
  }
  const biases = tf.split(p.w12.bias, 2, 0);
  const [a, b] = tf.split(p.w12.weight, 2, 0)
    .map((weight, i) => linear({ weight, bias: biases[i] }, x));
  return linear(p.w3, tf.mul(tf.mul(a, tf.sigmoid(a)), b));
}

/** (x − mean x) / √(var x + 1e-6) · weight + bias, over the last axis. */
function layerNorm({ weight, bias }: Affine, x: tf.Tensor): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const deviation = tf.sqrt(tf.add(tf.mean(tf.square(centred), -1, true), EPS));
  return tf.add(tf.mul(tf.div(centred, deviation), weight), bias);
}
