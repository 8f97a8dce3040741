import type * as tf from "@tensorflow/tfjs";
import type { Stream } from "../engine/random.ts";
import { hdit, type HditParams, initHdit, isBuffer, paramGroup } from "../models/hdit.ts";
import { isHidden } from "../models/hidden_weights.ts";
import { checkSpec, type HditSpec } from "../models/spec.ts";
import type { DropoutSource } from "../nn/dropout.ts";
import type { Prediction } from "./preconditioning.ts";
import type { Cond } from "./types.ts";

/**
 * What training and sampling need to know of a network: how to make its parameters, run it, and treat them.
 *
 * Parameters are a tree of tensors; `config` is plain JSON that says which model this is.
 */
export type DiffusionModel<P> = {
  config: unknown;
  channels: number; // of the images, in and out
  numClasses: number; // without the null class; 0: unconditional
  /** What the network is trained to predict; `edm` when left out. */
  prediction?: Prediction;
  /** Throws a RangeError unless the network can take images of this size. */
  check(size: readonly [height: number, width: number]): void;
  init(random: Stream): P;
  /** The inner network F: [B, H, W, channels] to the same shape. */
  apply(
    params: P,
    inputs: {
      x: tf.Tensor4D;
      sigma: tf.Tensor1D;
      cond: Cond;
      dropout?: DropoutSource | undefined;
      /** To be recorded for all sizes that fit, see `hdit`. */
      anySize?: boolean;
    },
  ): tf.Tensor4D;
  /** Whether a leaf, by its path, is constant: copied to the EMA, not trained. */
  isBuffer(path: string): boolean;
  /** Learning-rate factor and weight decay of a leaf. */
  paramGroup(path: string): { lrScale: number; weightDecay: boolean };
  /** Whether a leaf is a matrix between the first layer and the last; Muon asks. */
  isHidden?(path: string): boolean;
};

/** The Hourglass Diffusion Transformer as a model to train and sample. */
export function hditModel(
  spec: HditSpec,
  { prediction = "edm" }: { prediction?: Prediction } = {},
): DiffusionModel<HditParams> {
  if (!(spec.inChannels === spec.outChannels)) {
    throw new RangeError(
      `Cannot denoise as the model must give back the channels it takes: inChannels is ${spec.inChannels}, outChannels is ${spec.outChannels}`,
    );
  }
  return {
    config: spec,
    channels: spec.inChannels,
    numClasses: spec.numClasses,
    prediction,
    check: (size) => checkSpec(spec, size),
    init: (random) => initHdit(spec, random),
    apply: (params, { x, sigma, cond, dropout, anySize = false }) =>
      hdit(params, { x, sigma, ...cond }, { spec, anySize, ...(dropout ? { dropout } : {}) }),
    isBuffer,
    paramGroup,
    isHidden,
  };
}
