/** Cases of the room `module`: single layers of the reference, with gradients of sum(out · g). */
import * as tf from "@tensorflow/tfjs";
import type { Attention } from "../../lib/nn/attention.ts";
import { axialPositions, downscalePositions } from "../../lib/nn/axial_positions.ts";
import { axialRoPE, axialRoPEAngles } from "../../lib/nn/axial_rope.ts";
import { scaleForCosineSim } from "../../lib/nn/cosine_sim.ts";
import { feedForward } from "../../lib/nn/feed_forward.ts";
import { fourierFeatures } from "../../lib/nn/fourier_features.ts";
import { linearGEGLU } from "../../lib/nn/geglu.ts";
import { globalAttention } from "../../lib/nn/global_attention.ts";
import { mappingNetwork } from "../../lib/nn/mapping_network.ts";
import { neighborhoodAttention } from "../../lib/nn/neighborhood_attention.ts";
import { adaRMSNorm, rmsNorm } from "../../lib/nn/rms_norm.ts";
import { selfAttention } from "../../lib/nn/self_attention.ts";
import {
  shiftedWindowAttention,
  shiftedWindowGroups,
} from "../../lib/nn/shifted_window_attention.ts";
import { lerpSkip } from "../../lib/nn/skips.ts";
import { tokenMerge } from "../../lib/nn/token_merge.ts";
import { tokenSplitWithoutSkip } from "../../lib/nn/token_split.ts";
import { attentionOnGrid } from "../nn/grid_attention.ts";
import {
  caseTensors,
  compareTensors,
  failed,
  type Fixture,
  type Handler,
  type Json,
  toleranceOf,
  toTensor,
} from "./run.ts";

type Tensors = Record<string, tf.Tensor>;
/** Computes everything a case expects from its tensors, by name. */
type Compute = (tensors: Tensors, settings: Json) => Tensors;

/** A handler for one file of numbered cases. */
function cases(stem: string, compute: Compute): Handler {
  return {
    room: "module",
    stem,
    async *run(fixture: Fixture) {
      for (let index = 0; index < fixture.json.cases.length; index++) {
        const name = `${fixture.label}[${index}]`;
        const settings = fixture.json.cases[index];
        const given = caseTensors(fixture, index);
        let tensors: Tensors = {}, actual: Tensors = {};
        try {
          tensors = Object.fromEntries([...given].map(([key, value]) => [key, toTensor(value)]));
          actual = tf.tidy(() => compute(tensors, settings));
          const expected = [...given].filter(([key]) => isExpected(key));
          yield await compareTensors(name, {
            actual,
            expected: Object.fromEntries(expected),
            tolerance: toleranceOf(fixture, index),
          });
        } catch (error) {
          yield failed(name, error);
        }
        tf.dispose([Object.values(tensors), Object.values(actual)]);
      }
    },
  };
}

/** Outputs, as opposed to inputs, parameters and the weights g of the scalar that is differentiated. */
function isExpected(key: string): boolean {
  return !/^(in\.|param\.)|^(g|x|q|k|v|scale|weight|freqs|pos)$/.test(key);
}

/** `out` and the gradients of sum(out · g) for the inputs named (those the case has gradients for). */
function withGradients(
  tensors: Tensors,
  names: string[],
  forward: (tensors: Tensors) => tf.Tensor,
): Tensors {
  const grads = tf.grads((...inputs: tf.Tensor[]) => {
    const given = { ...tensors };
    names.forEach((name, i) => given[name] = inputs[i]);
    return tf.sum(tf.mul(forward(given), tensors.g));
  })(names.map((name) => tensors[name]));
  return {
    out: forward(tensors),
    ...Object.fromEntries(names.map((name, i) => [`grad.${name}`, grads[i]])),
  };
}

/** A case whose inputs are `in.*` and parameters `param.*`; `forward` gets both as trees without the prefix. */
// deno-lint-ignore no-explicit-any
type Forward = (p: any, inputs: Tensors, settings: Json) => tf.Tensor;
function layer(stem: string, forward: Forward): Handler {
  return cases(stem, (tensors, settings) => {
    const differentiated = Object.keys(tensors).filter((key) => key.startsWith("grad.")).map((
      key,
    ) => key.slice("grad.".length));
    return withGradients(tensors, differentiated, (given) => {
      const inputs: Tensors = {};
      const params: Json = {};
      for (const [key, value] of Object.entries(given)) {
        if (key.startsWith("in.")) inputs[key.slice(3)] = value;
        if (key.startsWith("param.")) put(params, key.slice(6).split("."), value);
      }
      return forward(params, inputs, settings);
    });
  });
}

/** Sets a value deep in a tree; numeric keys make arrays. */
function put(tree: Json, [key, ...rest]: string[], value: tf.Tensor): void {
  if (rest.length === 0) tree[key] = value;
  else put(tree[key] ??= /^\d+$/.test(rest[0]) ? [] : {}, rest, value);
}

type Make = (
  grid: { grid: [h: number, w: number]; heads: number },
  settings: Json,
) => { attention: Attention; layer?: number };

/** A self-attention block on a grid [B, h, w, C] with positions [h, w, 2]. */
function attentionBlock(stem: string, make: Make): Handler {
  return layer(stem, (p, { x, pos, cond }, settings) => {
    const [B, h, w, C] = x.shape as [number, number, number, number];
    const { attention, layer = 0 } = make({ grid: [h, w], heads: C / settings.d_head }, settings);
    const tokens = tf.reshape(x, [B, h * w, C]);
    const places = tf.reshape(pos, [h * w, 2]);
    const options = { cond, pos: places, attention, layer, site: "", rate: 0 };
    return tf.reshape(selfAttention(p, tokens, options), x.shape);
  });
}

const shifted: Make = (grid, { window_size: windowSize, window_shift: shift }) => ({
  attention: shiftedWindowAttention({ ...grid, windowSize, shift }),
  layer: shift > 0 ? 1 : 0,
});

export const handlers: Handler[] = [
  layer("rms_norm", (p, { x }) => rmsNorm(p, x)),
  layer("ada_rms_norm", (p, { x, cond }) => adaRMSNorm(p, x, cond)),
  layer("linear_geglu", (p, { x }) => linearGEGLU(p, x)),
  layer(
    "feed_forward_block",
    (p, { x, cond }) => feedForward(p, x, { cond, kind: "geglu", site: "", rate: 0 }),
  ),
  layer(
    "mapping_network",
    (p, { x }) => mappingNetwork({ blocks: [], ...p }, x, { kind: "geglu" }),
  ),
  layer("token_merge", (p, { x }, { patch_size }) => tokenMerge(p, x, { patchSize: patch_size })),
  layer(
    "token_split_without_skip",
    (p, { x }, { patch_size }) => tokenSplitWithoutSkip(p, x, { patchSize: patch_size }),
  ),
  layer(
    "token_split",
    (p, { x, skip }, { patch_size }) =>
      lerpSkip(p, skip, tokenSplitWithoutSkip(p, x, { patchSize: patch_size })),
  ),
  attentionBlock("self_attention_block", () => ({ attention: globalAttention() })),
  attentionBlock(
    "neighborhood_self_attention_block",
    (grid, { kernel_size: kernelSize }) => ({
      attention: neighborhoodAttention({ ...grid, kernelSize }),
    }),
  ),
  attentionBlock("shifted_window_self_attention_block", shifted),
  cases(
    "neighborhood_attention_core",
    (tensors, { kernel_size: kernelSize, softmax_scale }) =>
      withGradients(tensors, ["q", "k", "v"], ({ q, k, v }) => {
        const [, h, w, heads] = q.shape as number[];
        const attention = neighborhoodAttention({ grid: [h, w], heads, kernelSize });
        return attentionOnGrid(attention, { q: tf.mul(q, softmax_scale), k, v });
      }),
  ),
  cases("shifted_window_attention_core", (tensors, settings) => {
    const { window_size: windowSize, window_shift: shift, softmax_scale } = settings;
    const [, heads, h, w] = tensors.q.shape as number[];
    const { attention, layer = 0 } = shifted({ grid: [h, w], heads }, settings);
    const gridFirst = (x: tf.Tensor) => tf.transpose(x, [0, 2, 3, 1, 4]); // heads come before h, w
    const [ny, nx] = [h / windowSize, w / windowSize];
    return {
      ...withGradients(tensors, ["q", "k", "v"], ({ q, k, v }) => {
        const y = attentionOnGrid(attention, {
          q: gridFirst(tf.mul(q, softmax_scale)),
          k: gridFirst(k),
          v: gridFirst(v),
          layer,
        });
        return tf.transpose(y, [0, 3, 1, 2, 4]);
      }),
      mask: tf.tensor(
        Int32Array.from(shiftedWindowGroups({ grid: [h, w], windowSize, shift }).sees),
        [ny, nx, windowSize ** 2, windowSize ** 2],
        "int32",
      ),
    };
  }),
  cases("scale_for_cosine_sim", (tensors) => {
    // the reference scales q and k in one call; so g and out are stacked
    const grads = tf.grads((q, k, scale) => {
      const out = tf.stack([scaleForCosineSim(q, scale), scaleForCosineSim(k, scale)]);
      return tf.sum(tf.mul(out, tensors.g));
    })([tensors.q, tensors.k, tensors.scale]);
    const { q, k, scale } = tensors;
    return {
      out: tf.stack([scaleForCosineSim(q, scale), scaleForCosineSim(k, scale)]),
      "grad.q": grads[0],
      "grad.k": grads[1],
      "grad.scale": grads[2],
    };
  }),
  cases("axial_rope", ({ freqs, pos, x }) => {
    const [h, w] = pos.shape as number[];
    const [heads, n] = freqs.shape as number[];
    const theta = axialRoPEAngles({ freqs }, pos); // [h·w, heads, d / 4]
    const cos = tf.cos(theta), sin = tf.sin(theta);
    const [B, , , , d] = x.shape as number[];
    const turn = (sin: tf.Tensor) =>
      tf.reshape(axialRoPE(tf.reshape(x, [B, h * w, heads, d]), { cos, sin }), x.shape);
    return {
      theta: tf.reshape(theta, [h, w, heads, 2 * n]),
      y: turn(sin),
      y_conj: turn(tf.neg(sin)),
    };
  }),
  cases("fourier_features", ({ weight, x }) => ({
    out: fourierFeatures({ weight }, x),
    out_for_zero_input: fourierFeatures({ weight }, tf.zeros([1, weight.shape[1]!])),
  })),
  {
    room: "module",
    stem: "axial_pos",
    async *run(fixture) {
      for (const [index, settings] of fixture.json.cases.entries()) {
        const expected = Object.fromEntries(caseTensors(fixture, index));
        const { pixel_aspect_ratio: pixelAspectRatio, align_corners: alignCorners } = settings;
        const pos = axialPositions([settings.h, settings.w], { pixelAspectRatio, alignCorners });
        const actual: Record<string, Float32Array> = { pos: pos.data };
        if (expected.downscaled) actual.downscaled = downscalePositions(pos).data;
        const tolerance = toleranceOf(fixture, index);
        yield await compareTensors(`${fixture.label}[${index}]`, { actual, expected, tolerance });
      }
    },
  },
];
