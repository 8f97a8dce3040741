/**
 * What a step of training takes in memory on the embedded engine, found without running it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { denoisingLoss } from "../diffusion/loss.ts";
import { hditModel } from "../diffusion/diffusion_model.ts";
import type { Cond } from "../diffusion/types.ts";
import { currentEngine, setEngine } from "../engine/engine.ts";
import { type DType, lower, type Shape, sizeOf, subgraph } from "../engine/onnxruntime/graph.ts";
import { graphPeak } from "../engine/onnxruntime/peak_memory.ts";
import { registerOnnxRuntime } from "../engine/onnxruntime/register.ts";
import { treeEntries } from "../engine/tree.ts";
import { dropoutSites } from "../models/dropout_sites.ts";
import { describeHdit, type HditParams } from "../models/hdit.ts";
import { checkSpec, type HditSpec } from "../models/spec.ts";
import { initEntries, mapInits } from "../nn/init.ts";
import { paperOptimiser } from "./optimisers.ts";
import { type Leaves, makeTrainStep, stepScalars } from "./train_step.ts";

/** Bytes of a step of training, at the moment at which they are most. */
export type Memory = {
  /** The sum of what follows. */
  total: number;
  /** Parameters with their buffers. */
  parameters: number;
  /** Both moments and the averages. */
  optimiser: number;
  /** Images, noise, noise levels, classes, dropout masks. */
  inputs: number;
  /** Masks and tables of attention, and what else is baked into the graph. */
  constants: number;
  /** Results of the forward pass that are held at the moment at which the graph holds most. */
  activations: number;
  /** What the backward pass and the optimiser hold then: gradients, products, new state as far as it is there. */
  gradients: number;
  /** The first state, where it is so large that it is not collected with what lies about anyway. */
  generations: number;
  /** The compiled graph, by the number of nodes. */
  graph: number;
  /** What V8 lets lie before it collects, and what the trace leaves of its heap: the same for all models. */
  uncollected: number;
};

/**
 * What the process takes before there is a model: Deno, TensorFlow.js and ONNX Runtime. Measured, as the three constants
 * below, on Linux (x86-64, 2 cores, 24 GiB) with Deno 2.9 and ONNX Runtime 1.30.
 */
export const PROCESS_BYTES = 113e6;

/** Memory of a node in the runtime. */
const NODE_BYTES = 8e3;
/**
 * V8 does not begin to collect arrays of other owners before there are some 64 MB of them. A first state that is smaller
 * lies among them; a larger one outlives the first collection, and is not gone before there are 64 MB of others.
 */
const COLLECTED_FROM = 64e6;
/**
 * What the trace leaves of V8's heap, and the time that V8 takes to collect. With the two constants above it fits nine
 * models of 30 thousand to 117 million parameters within 6 %, once they have taken so many steps that memory does not grow
 * any more: some ten for large models, some hundred for small ones. A busy machine collects earlier at times, and takes up
 * to 60 MB less.
 */
const HEAP = 65e6;

/**
 * The memory that a step of training takes on the embedded engine, on top of `PROCESS_BYTES`.
 *
 * The step is traced as `compile` does, with tensors that have no numbers, and its graph followed in the order in
 * which the runtime will run it: what the graph holds is within 4 % of the runtime's own count. Loss, optimiser and
 * averages are those of `openTraining`. Memory of the data set is not part of it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { presets } from "../models/presets.ts";
 * import { memory } from "./memory.ts";
 *
 * const one = await memory(presets.smoke, [32, 32], { batch: 1 });
 * const eight = await memory(presets.smoke, [32, 32], { batch: 8 });
 * assert.equal(eight.parameters, one.parameters);
 * assert.ok(eight.activations > 7 * one.activations);
 * ```
 */
export async function memory(
  spec: HditSpec,
  size: readonly [height: number, width: number],
  { batch }: { batch: number },
): Promise<Memory> {
  checkSpec(spec, size);
  if (!(Number.isInteger(batch) && batch >= 1)) {
    throw new RangeError(
      `Cannot count the memory as batch must be a whole number >= 1: batch is ${batch}`,
    );
  }
  const before = currentEngine();
  await setEngine("onnxruntime");
  try {
    return count(traceStep(spec, { size, batch }));
  } finally {
    if (before && before !== "onnxruntime") await setEngine(before);
  }
}

type Traced = ReturnType<typeof traceStep>;

/** What a step takes besides the state; dropout masks by their place. */
type StepBatch = {
  images: tf.Tensor4D; // [B, H, W, C]
  noise: tf.Tensor4D;
  sigma: tf.Tensor1D; // [B]
  cond: Cond;
  masks: Map<string, tf.Tensor>;
};

/** The graph of a step, with the number of its first node that is not of the forward pass. */
function traceStep(
  spec: HditSpec,
  { size: [H, W], batch: B }: { size: readonly [number, number]; batch: number },
) {
  const backend = registerOnnxRuntime(), model = hditModel(spec);
  const inits = describeHdit(spec), leaves = initEntries(inits);
  const trained = leaves.filter(([path]) => !model.isBuffer(path));
  const images: Shape = [B, H, W, spec.inChannels];
  const sites = dropoutSites(spec, { size: [H, W], batch: B });
  const float = (shape: Shape) => ({ shape, dtype: "float32" as DType });
  const shapes = {
    params: leaves.map(([, { shape }]) => float(shape)),
    optimiser: [1, 2, 3].flatMap(() => trained.map(([, { shape }]) => float(shape))),
    batch: [
      float(images),
      float(images),
      float([B]),
      ...(spec.numClasses > 0 ? [{ shape: [B], dtype: "int32" as DType }] : []),
      ...(spec.mappingCondDim > 0 ? [float([B, spec.mappingCondDim])] : []),
      ...sites.map(({ shape }) => float(shape)),
    ],
  };
  let forwardEnd = Infinity;
  const step = makeTrainStep<HditParams, StepBatch>({
    loss: (params, { masks, ...batch }) => {
      const losses = denoisingLoss(
        (x, sigma, cond) =>
          model.apply(params, { x, sigma, cond, dropout: (site) => masks.get(site)! }),
        batch,
        { sigmaData: 0.5, weighting: { kind: "soft-min-snr" } },
      );
      forwardEnd = backend.storage(losses.dataId).node?.id ?? Infinity;
      return losses;
    },
    rules: model,
    optimiser: paperOptimiser,
  });
  const { placeholders, outputs } = backend.recordCall(
    [...shapes.params, ...shapes.optimiser, ...shapes.batch],
    (tensors) =>
      tf.tidy(() => {
        let next = 0;
        const take = <T extends tf.Tensor>() => tensors[next++] as T;
        const params = mapInits<HditParams>(inits, take);
        const byPath = (): Leaves => Object.fromEntries(trained.map(([path]) => [path, take()]));
        const state = { params, m: byPath(), v: byPath(), ema: byPath(), powerEma: [] };
        const batch = {
          images: take<tf.Tensor4D>(),
          noise: take<tf.Tensor4D>(),
          sigma: take<tf.Tensor1D>(),
        };
        const cond: Cond = {};
        if (spec.numClasses > 0) cond.classCond = take<tf.Tensor1D>();
        if (spec.mappingCondDim > 0) cond.mappingCond = take<tf.Tensor2D>();
        const masks = new Map(sites.map(({ site }) => [site, take()]));
        const scalars = stepScalars(params, {
          rules: model,
          optimiser: paperOptimiser,
          step: 0,
          emaDecay: 0.5,
        });
        const result = step({ state, batch: { ...batch, cond, masks }, scalars });
        return treeEntries(result).map(([, leaf]) => leaf);
      }),
  );
  const computed = [...new Set(outputs.map(({ storage }) => storage))].filter(({ node }) => node);
  const graph = subgraph(computed), given = new Set(placeholders);
  return { graph, lowered: lower(graph, (leaf) => !given.has(leaf)), shapes, forwardEnd };
}

function count({ graph, lowered, shapes, forwardEnd }: Traced): Memory {
  const results = new Map(
    graph.nodes.flatMap(({ id, outputs }, i) =>
      outputs.map(({ shape, dtype }, k) =>
        [k === 0 ? `n${i}` : `n${i}_${k}`, {
          shape,
          bytes: sizeOf(shape) * (dtype === "bool" ? 1 : 4),
          forward: id <= forwardEnd,
        }] as const
      )
    ),
  );
  const peak = graphPeak(lowered.model, (name) => results.get(name)!);
  const activations = sum(peak.held.filter(({ name }) => results.get(name)!.forward));
  const bytes = (of: { shape: Shape }[]) => 4 * of.reduce((n, { shape }) => n + sizeOf(shape), 0);
  const state = bytes(shapes.params) + bytes(shapes.optimiser);
  const parts = {
    parameters: bytes(shapes.params),
    optimiser: bytes(shapes.optimiser),
    inputs: bytes(shapes.batch),
    constants: peak.constantBytes,
    activations,
    gradients: peak.bytes - activations,
    generations: state > COLLECTED_FROM ? state : 0,
    graph: lowered.model.nodes.length * NODE_BYTES,
    uncollected: HEAP + COLLECTED_FROM,
  };
  return { total: Object.values(parts).reduce((a, b) => a + b, 0), ...parts };
}

function sum(held: { bytes: number }[]): number {
  return held.reduce((total, { bytes }) => total + bytes, 0);
}
