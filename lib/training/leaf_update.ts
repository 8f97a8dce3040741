import type * as tf from "@tensorflow/tfjs";
import { adam } from "./adam.ts";
import { adamw, type AdamWOptions, type AdamWStep, adamwStep } from "./adamw.ts";
import { muon } from "./muon.ts";
import type { Optimiser } from "./optimisers.ts";
import { sgd } from "./sgd.ts";

/**
 * How a leaf is treated: a factor of its learning rate, whether it decays, and whether it is a matrix between the first
 * layer and the last, which Muon orthogonalises.
 */
export type ParamGroup = { lrScale: number; weightDecay: boolean; hidden: boolean };

/** Which moments an optimiser keeps of a leaf: momenta and means of gradients are `m`, of their squares `v`. */
export function momentsOf(
  optimiser: Optimiser,
  { hidden }: ParamGroup,
): { m: boolean; v: boolean } {
  switch (optimiser.kind) {
    case "adamw":
    case "adam":
      return { m: true, v: true };
    case "sgd":
      return { m: optimiser.momentum > 0, v: false };
    case "muon":
      return { m: true, v: !hidden };
  }
}

/** The numbers of optimiser step `step` (from 0) for a group, in AdamW's terms: see `AdamWStep`. */
export function optimiserStep(
  optimiser: Optimiser,
  { step, group: { lrScale, weightDecay: decays, hidden } }: { step: number; group: ParamGroup },
): AdamWStep {
  switch (optimiser.kind) {
    case "adamw":
    case "adam":
      return adamwStep(optimiser, { step, lrScale, decays });
    case "sgd":
      return { size: optimiser.lr * lrScale, epsilon: 0, keep: 1 };
    case "muon": {
      if (!hidden) return adamwStep(optimiser.adamw, { step, lrScale, decays });
      const size = optimiser.lr * lrScale;
      return { size, epsilon: 0, keep: decays ? 1 - size * optimiser.weightDecay : 1 };
    }
  }
}

/** A parameter with its gradient, the gradient's square, and the moments that are kept of it. */
export type Leaf = {
  param: tf.Tensor;
  grad: tf.Tensor;
  square: tf.Tensor;
  m: tf.Tensor | undefined;
  v: tf.Tensor | undefined;
};

/** The update of a leaf; `scalars` are `AdamWStep` as tensors, so that it may change without tracing again. */
export type LeafUpdate = (
  leaf: Leaf,
  at: { group: ParamGroup; scalars: { size: tf.Scalar; epsilon: tf.Scalar; keep: tf.Scalar } },
) => { param: tf.Tensor; m?: tf.Tensor; v?: tf.Tensor };

/** Makes the update of a leaf by an optimiser, for gradients that are clipped by the factor `clip`. */
export function leafUpdate(optimiser: Optimiser, clip: tf.Scalar): LeafUpdate {
  switch (optimiser.kind) {
    case "adamw":
      return adamwUpdate(optimiser, clip);
    case "adam":
      return ({ param, grad, m, v }, { group, scalars: { size, epsilon } }) => {
        const weightDecay = group.weightDecay ? optimiser.weightDecay : 0;
        return adam(
          { param, grad, m: m!, v: v! },
          { betas: optimiser.betas, clip, weightDecay, size, epsilon },
        );
      };
    case "sgd":
      return ({ param, grad, m }, { group, scalars: { size } }) => {
        const weightDecay = group.weightDecay ? optimiser.weightDecay : 0;
        return sgd({ param, grad, m }, { ...optimiser, clip, weightDecay, size });
      };
    case "muon": {
      const others = adamwUpdate(optimiser.adamw, clip), { momentum } = optimiser;
      return (leaf, at) => {
        if (!at.group.hidden) return others(leaf, at);
        const { size, keep } = at.scalars, decays = at.group.weightDecay;
        return muon(
          { param: leaf.param, grad: leaf.grad, m: leaf.m! },
          { momentum, clip, size, keep: decays ? keep : undefined },
        );
      };
    }
  }
}

function adamwUpdate({ betas }: AdamWOptions, clip: tf.Scalar): LeafUpdate {
  const scale = clip.mul(1 - betas[0]) as tf.Scalar;
  const scaleSquared = clip.square().mul(1 - betas[1]) as tf.Scalar;
  return ({ m, v, ...leaf }, { group, scalars: { size, epsilon, keep } }) =>
    adamw(
      { ...leaf, m: m!, v: v! },
      { betas, scale, scaleSquared, size, epsilon, keep: group.weightDecay ? keep : undefined },
    );
}
