import * as tf from "@tensorflow/tfjs";
import { treeEntries, treeMap } from "../engine/tree.ts";
import { clipFactor, globalNorm } from "./clip.ts";
import { emaLerp } from "./ema.ts";
import { leafUpdate, momentsOf, optimiserStep, type ParamGroup } from "./leaf_update.ts";
import { type Optimiser, paperOptimiser } from "./optimisers.ts";

/** Tensors by the path of the leaf they belong to. */
export type Leaves = Record<string, tf.Tensor>;

/** All that training changes: parameters (buffers among them), the moments that the optimiser keeps, and averages. */
export type TrainState<P> = {
  params: P;
  m: Leaves; // momenta, means of gradients
  v: Leaves; // means of squared gradients
  ema: Leaves;
  powerEma: Leaves[]; // averages to be stored, one for each length; see `PowerProfile`
};

/** How parameters are treated, by path. */
export type LeafRules = {
  isBuffer(path: string): boolean;
  paramGroup(path: string): { lrScale: number; weightDecay: boolean };
  /** Whether a leaf is a matrix between the first layer and the last; Muon asks. */
  isHidden?(path: string): boolean;
};

/** The state before the first step: zero moments, averages equal to the parameters. */
export function initTrainState<P>(
  params: P,
  { optimiser = paperOptimiser, powerAverages = 0, ...rules }: LeafRules & {
    optimiser?: Optimiser;
    powerAverages?: number;
  },
): TrainState<P> {
  const powerEma = Array.from({ length: powerAverages }, (): Leaves => ({}));
  const state: TrainState<P> = { params, m: {}, v: {}, ema: {}, powerEma };
  for (const [path, leaf] of trainedLeaves(params, rules)) {
    const zeros = () => tf.tensor(new Float32Array(leaf.size), leaf.shape);
    const keeps = momentsOf(optimiser, groupOf(rules, path));
    if (keeps.m) state.m[path] = zeros();
    if (keeps.v) state.v[path] = zeros();
    for (const average of [state.ema, ...powerEma]) average[path] = leaf.clone();
  }
  return state;
}

/** The numbers that change from step to step, as scalars, by group of parameters. */
export type StepScalars = {
  ema: EmaScalars;
  powerEma: EmaScalars[];
  groups: Record<string, { size: tf.Scalar; epsilon: tf.Scalar; keep: tf.Scalar }>;
};

/** The weights of an average and of the new value: decay and 1 - decay. */
type EmaScalars = { decay: tf.Scalar; rate: tf.Scalar };

/** Makes the scalars of one step; the caller disposes them. */
export function stepScalars<P>(
  params: P,
  { rules, optimiser, step, emaDecay, powerDecays = [] }: {
    rules: LeafRules;
    optimiser: Optimiser;
    step: number;
    emaDecay: number;
    powerDecays?: readonly number[];
  },
): StepScalars {
  const groups: StepScalars["groups"] = {};
  for (const [path] of trainedLeaves(params, rules)) {
    const group = groupOf(rules, path), key = groupKey(group);
    if (key in groups) continue;
    const { size, epsilon, keep } = optimiserStep(optimiser, { step, group });
    groups[key] = { size: tf.scalar(size), epsilon: tf.scalar(epsilon), keep: tf.scalar(keep) };
  }
  const weights = (decay: number) => ({ decay: tf.scalar(decay), rate: tf.scalar(1 - decay) });
  return { ema: weights(emaDecay), powerEma: powerDecays.map(weights), groups };
}

/** One number a sample, to be lowered. */
export type Loss<P, Batch> = (params: P, batch: Batch) => tf.Tensor1D;

/** What one step gives back. */
export type TrainStepOutput<P> = {
  state: TrainState<P>;
  loss: tf.Scalar; // the mean over the batch
  losses: tf.Tensor1D; // [B]
  gradNorm: tf.Scalar; // before clipping
};

/**
 * Makes one step of training as a pure function of tensors, fit for `compile()`: gradient of the mean
 * loss, clipping by the global norm, the optimiser with parameter groups, and the average of the new
 * parameters, in the reference's order.
 *
 * Nothing that changes between steps is baked in: see `stepScalars`. With AdamW, each parameter-sized tensor
 * is passed over 16 times (13 without averages), all elementwise.
 */
export function makeTrainStep<P, Batch>(
  { loss, ...options }: UpdateOptions & { loss: Loss<P, Batch> },
): (args: { state: TrainState<P>; batch: Batch; scalars: StepScalars }) => TrainStepOutput<P> {
  const gradients = makeGradients({ loss, rules: options.rules });
  const update = makeUpdate<P>(options);
  return ({ state, batch, scalars }) => {
    const { grads, ...losses } = gradients({ params: state.params, batch });
    return { ...update({ state, grads, scalars }), ...losses };
  };
}

/** Makes the first half of a step: the gradient of the mean loss with respect to all that is trained. */
export function makeGradients<P, Batch>(
  { loss, rules }: { loss: Loss<P, Batch>; rules: LeafRules },
): (args: { params: P; batch: Batch }) => { loss: tf.Scalar; losses: tf.Tensor1D; grads: Leaves } {
  return ({ params, batch }) => {
    const trained = trainedLeaves(params, rules);
    const index = new Map(trained.map(([path], i) => [path, i]));
    let losses: tf.Tensor1D | undefined;
    const { value, grads } = tf.valueAndGrads((...leaves: tf.Tensor[]) => {
      const each = loss(
        treeMap(params, (leaf, path) => {
          const i = index.get(path);
          return i === undefined ? leaf : leaves[i];
        }),
        batch,
      ); // [B]
      losses = tf.keep(each.clone());
      return each.mean() as tf.Scalar;
    })(trained.map(([, leaf]) => leaf));
    const shown = losses!.clone(); // `losses` was kept from the gradient's own clean-up
    losses!.dispose();
    return {
      loss: value as tf.Scalar,
      losses: shown,
      grads: Object.fromEntries(trained.map(([path], i) => [path, grads[i]])),
    };
  };
}

/** What the update must know that does not change from step to step. */
export type UpdateOptions = { rules: LeafRules; optimiser: Optimiser; maxNorm?: number };

/** Makes the second half of a step: from gradients to the next state. */
export function makeUpdate<P>(
  { rules, optimiser, maxNorm = 1 }: UpdateOptions,
): (args: { state: TrainState<P>; grads: Leaves; scalars: StepScalars }) => {
  state: TrainState<P>;
  gradNorm: tf.Scalar;
} {
  return ({ state, grads, scalars }) => {
    const squares: Leaves = {};
    for (const [path, grad] of Object.entries(grads)) squares[path] = grad.square();
    const gradNorm = globalNorm(Object.values(squares));
    const update = leafUpdate(optimiser, clipFactor(gradNorm, maxNorm));
    const trained: Leaves = {},
      next: Omit<TrainState<P>, "params"> = {
        m: {},
        v: {},
        ema: {},
        powerEma: state.powerEma.map(() => ({})),
      };
    for (const [path, param] of trainedLeaves(state.params, rules)) {
      const group = groupOf(rules, path);
      const leaf = { param, grad: grads[path], square: squares[path] };
      const updated = update(
        { ...leaf, m: state.m[path], v: state.v[path] },
        { group, scalars: scalars.groups[groupKey(group)] },
      );
      trained[path] = updated.param;
      if (updated.m) next.m[path] = updated.m;
      if (updated.v) next.v[path] = updated.v;
      next.ema[path] = emaLerp(state.ema[path], updated.param, scalars.ema);
      state.powerEma.forEach((average, i) => {
        next.powerEma[i][path] = emaLerp(average[path], updated.param, scalars.powerEma[i]);
      });
    }
    // Buffers are handed through; a clone is another name of the same memory.
    const params = treeMap(state.params, (leaf, path) => trained[path] ?? leaf.clone());
    return { state: { params, ...next }, gradNorm };
  };
}

function trainedLeaves<P>(params: P, { isBuffer }: Pick<LeafRules, "isBuffer">) {
  return treeEntries(params).filter(([path]) => !isBuffer(path));
}

function groupOf(rules: LeafRules, path: string): ParamGroup {
  return { ...rules.paramGroup(path), hidden: rules.isHidden?.(path) ?? false };
}

function groupKey({ lrScale, weightDecay, hidden }: ParamGroup): string {
  const rate = lrScale.toFixed(6).replace(".", "_");
  return `${rate}${weightDecay ? "_decay" : ""}${hidden ? "_hidden" : ""}`;
}
