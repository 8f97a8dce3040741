import { denoisingLoss } from "../diffusion/loss.ts";
import { compile, type CompileStats } from "../engine/compile.ts";
import { treeDispose } from "../engine/tree.ts";
import { addStats, makeMicroStep, microBatches, zeroGradients } from "./accumulate.ts";
import { dropoutMasks, type DropoutSites, findDropoutSites } from "./dropout_masks.ts";
import { type BatchTensors, batchTensors, condOf, type StepBatch } from "./train_batch.ts";
import type { TrainSettings } from "./train_options.ts";
import {
  type Leaves,
  type Loss,
  makeTrainStep,
  makeUpdate,
  type StepScalars,
  type TrainState,
} from "./train_step.ts";

/** What is known of a batch's gradient besides the gradient. */
export type BatchResult = {
  losses: Float32Array; // [B], in the order of the batch
  gradNorm: number; // of the mean loss over the batch, before clipping
  microNorms: number[]; // of the gradients of its parts, where it was split
};

/** The compiled parts of a step of training, run over whole batches. */
export type Stepper<P> = {
  /** One step; disposes nothing of what it is given. */
  step(
    args: { state: TrainState<P>; batch: StepBatch; scalars: StepScalars },
  ): Promise<BatchResult & { state: TrainState<P> }>;
  /** The gradient that a step would follow; its leaves are the caller's to dispose. */
  gradients(
    args: { params: P; batch: StepBatch },
  ): Promise<{ grads: Leaves } & Omit<BatchResult, "gradNorm">>;
  readonly stats: CompileStats;
  dispose(): void;
};

/**
 * Makes the step of a run: one graph where the batch is taken whole; else, for `accumulate` parts, a graph that adds
 * up the gradients of one part after the other, and one that updates the state.
 */
export function makeStepper<P>(settings: TrainSettings<P>): Stepper<P> {
  const { model: rules, accumulate: parts } = settings;
  const loss = lossOf(settings), options = { ...settings, rules };
  const whole = compile(makeTrainStep<P, BatchTensors>({ ...options, loss }));
  const micro = compile(makeMicroStep<P, BatchTensors>({ loss, rules, parts }));
  const update = compile(makeUpdate<P>(options));
  const sitesBySize = new Map<string, DropoutSites>();

  const tensorsOf = (params: P, { batch, rows }: { batch: StepBatch; rows: number[] }) => {
    const tensors = batchTensors(batch, rows);
    const size = `${tensors.images.shape}`;
    const sites = sitesBySize.get(size) ??
      findDropoutSites(settings.model, { params, batch: tensors });
    sitesBySize.set(size, sites);
    if (sites.length === 0) return tensors;
    const { seed } = settings, { step } = batch;
    return { ...tensors, dropout: dropoutMasks(sites, { seed, step, rows }) };
  };

  const gradients: Stepper<P>["gradients"] = async ({ params, batch }) => {
    const [B] = batch.shape, losses = new Float32Array(B), microNorms: number[] = [];
    let sum = zeroGradients(params, rules);
    for (const rows of microBatches(B, parts)) {
      const tensors = tensorsOf(params, { batch, rows });
      const out = await micro({ params, batch: tensors, sum });
      const each = await out.losses.data();
      rows.forEach((row, i) => losses[row] = each[i]);
      microNorms.push((await out.norm.data())[0]);
      treeDispose([tensors, sum, out.losses, out.norm]);
      sum = out.sum;
    }
    return { grads: sum, losses, microNorms };
  };

  const stepWhole: Stepper<P>["step"] = async ({ state, batch, scalars }) => {
    const rows = Array.from({ length: batch.shape[0] }, (_, i) => i);
    const tensors = tensorsOf(state.params, { batch, rows });
    const out = await whole({ state, batch: tensors, scalars });
    const losses = Float32Array.from(await out.losses.data());
    const gradNorm = (await out.gradNorm.data())[0];
    treeDispose([tensors, out.loss, out.losses, out.gradNorm]);
    return { state: out.state, losses, gradNorm, microNorms: [] };
  };

  const stepInParts: Stepper<P>["step"] = async ({ state, batch, scalars }) => {
    const { grads, ...result } = await gradients({ params: state.params, batch });
    const out = await update({ state, grads, scalars });
    const gradNorm = (await out.gradNorm.data())[0];
    treeDispose([grads, out.gradNorm]);
    return { state: out.state, gradNorm, ...result };
  };

  return {
    step: parts === 1 ? stepWhole : stepInParts,
    gradients,
    get stats() {
      return addStats([whole.stats, micro.stats, update.stats]);
    },
    dispose: () => [whole, micro, update].forEach((compiled) => compiled.dispose()),
  };
}

/** The loss of a run's settings, one number a sample. */
function lossOf<P>(
  { model, sigmaData, weighting, lossScales: scales }: TrainSettings<P>,
): Loss<P, BatchTensors> {
  return (params, batch) => {
    const { images, noise, sigma, dropout } = batch;
    return denoisingLoss(
      (x, sigma, cond) =>
        model.apply(params, { x, sigma, cond, dropout: dropout && ((site) => dropout[site]) }),
      { images, noise, sigma, cond: condOf(batch) },
      { sigmaData, weighting, scales, prediction: model.prediction },
    );
  };
}
