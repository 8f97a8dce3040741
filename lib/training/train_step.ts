import * as tf from "@tensorflow/tfjs";
import { treeEntries, treeMap } from "../engine/tree.ts";
import { adamw, type AdamWOptions, adamwStep } from "./adamw.ts";
import { clipFactor, globalNorm } from "./clip.ts";
import { emaLerp } from "./ema.ts";

/** Tensors by the path of the leaf they belong to. */
export type Leaves = Record<string, tf.Tensor>;

/** All that training changes: parameters (buffers among them), both moments, and averages. */
export type TrainState<P> = { params: P; m: Leaves; v: Leaves; ema: Leaves };

/** How parameters are treated, by path. */
export type LeafRules = {
  isBuffer(path: string): boolean;
  paramGroup(path: string): { lrScale: number; weightDecay: boolean };
};

/** The state before the first step: zero moments, the average equal to the parameters. */
export function initTrainState<P>(
  params: P,
  { isBuffer }: Pick<LeafRules, "isBuffer">,
): TrainState<P> {
  const trained = treeEntries(params).filter(([path]) => !isBuffer(path));
  const by = (make: (leaf: tf.Tensor) => tf.Tensor): Leaves =>
    Object.fromEntries(trained.map(([path, leaf]) => [path, make(leaf)]));
  const zeros = (leaf: tf.Tensor) => tf.tensor(new Float32Array(leaf.size), leaf.shape);
  return { params, m: by(zeros), v: by(zeros), ema: by((leaf) => leaf.clone()) };
}

/** The numbers that change from step to step, as scalars, by group of parameters. */
export type StepScalars = {
  emaDecay: tf.Scalar;
  emaRate: tf.Scalar; // 1 - emaDecay
  epsilon: tf.Scalar;
  groups: Record<string, { size: tf.Scalar; keep: tf.Scalar }>;
};

const groupKey = ({ lrScale, weightDecay }: { lrScale: number; weightDecay: boolean }) =>
  `${lrScale.toFixed(6).replace(".", "_")}${weightDecay ? "_decay" : ""}`;

/** Makes the scalars of one step; the caller disposes them. */
export function stepScalars<P>(
  params: P,
  { rules, optimiser, step, emaDecay }: {
    rules: LeafRules;
    optimiser: AdamWOptions;
    step: number;
    emaDecay: number;
  },
): StepScalars {
  const groups: StepScalars["groups"] = {};
  for (const [path] of treeEntries(params)) {
    if (rules.isBuffer(path)) continue;
    const group = rules.paramGroup(path), key = groupKey(group);
    if (key in groups) continue;
    const { size, keep } = adamwStep(optimiser, {
      step,
      lrScale: group.lrScale,
      decays: group.weightDecay,
    });
    groups[key] = { size: tf.scalar(size), keep: tf.scalar(keep) };
  }
  return {
    emaDecay: tf.scalar(emaDecay),
    emaRate: tf.scalar(1 - emaDecay),
    epsilon: tf.scalar(adamwStep(optimiser, { step }).epsilon),
    groups,
  };
}

/** What one step gives back. */
export type TrainStepOutput<P> = {
  state: TrainState<P>;
  loss: tf.Scalar; // the mean over the batch
  losses: tf.Tensor1D; // [B]
  gradNorm: tf.Scalar; // before clipping
};

/**
 * Makes one step of training as a pure function of tensors, fit for `compile()`: gradient of the mean
 * loss, clipping by the global norm, AdamW with parameter groups, and the average of the new
 * parameters, in the reference's order.
 *
 * `loss` gives one number a sample. Nothing that changes between steps is baked in: see `stepScalars`.
 * Each parameter-sized tensor is passed over 16 times (13 without averages), all elementwise.
 */
export function makeTrainStep<P, Batch>(
  { loss, rules, betas, maxNorm = 1 }: {
    loss: (params: P, batch: Batch) => tf.Tensor1D;
    rules: LeafRules;
    betas: readonly [number, number];
    maxNorm?: number;
  },
): (args: { state: TrainState<P>; batch: Batch; scalars: StepScalars }) => TrainStepOutput<P> {
  return ({ state, batch, scalars }) => {
    const trained = treeEntries(state.params).filter(([path]) => !rules.isBuffer(path));
    const index = new Map(trained.map(([path], i) => [path, i]));
    let losses: tf.Tensor1D | undefined;
    const { value, grads } = tf.valueAndGrads((...leaves: tf.Tensor[]) => {
      const params = treeMap(state.params, (leaf, path) => {
        const i = index.get(path);
        return i === undefined ? leaf : leaves[i];
      });
      const each = loss(params, batch); // [B]
      losses = tf.keep(each.clone());
      return each.mean() as tf.Scalar;
    })(trained.map(([, leaf]) => leaf));

    const squares = grads.map((g) => g.square());
    const gradNorm = globalNorm(squares);
    const clip = clipFactor(gradNorm, maxNorm);
    const scale = clip.mul(1 - betas[0]) as tf.Scalar;
    const scaleSquared = clip.square().mul(1 - betas[1]) as tf.Scalar;

    const next: { params: Leaves; m: Leaves; v: Leaves; ema: Leaves } = {
      params: {},
      m: {},
      v: {},
      ema: {},
    };
    trained.forEach(([path, param], i) => {
      const group = rules.paramGroup(path);
      const { size, keep } = scalars.groups[groupKey(group)];
      const leaf = {
        param,
        grad: grads[i],
        square: squares[i],
        m: state.m[path],
        v: state.v[path],
      };
      const updated = adamw(leaf, {
        betas,
        scale,
        scaleSquared,
        size,
        epsilon: scalars.epsilon,
        keep: group.weightDecay ? keep : undefined,
      });
      next.params[path] = updated.param;
      next.m[path] = updated.m;
      next.v[path] = updated.v;
      next.ema[path] = emaLerp(state.ema[path], updated.param, {
        decay: scalars.emaDecay,
        rate: scalars.emaRate,
      });
    });
    // Buffers are handed through; a clone is another name of the same memory.
    const params = treeMap(state.params, (leaf, path) => next.params[path] ?? leaf.clone());
    const shown = losses!.clone(); // `losses` was kept from the gradient's own clean-up
    losses!.dispose();
    return { state: { ...next, params }, loss: value as tf.Scalar, losses: shown, gradNorm };
  };
}
