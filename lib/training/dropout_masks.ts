import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import type { Cond } from "../diffusion/types.ts";
import { type DropoutSource, randomDropout } from "../nn/dropout.ts";

/** The places of a model that drop something out, for one input shape. */
export type DropoutSites = { site: string; shape: number[]; rate: number }[];

/**
 * Finds where a model drops out, by running it once on the batch with masks that drop nothing.
 *
 * Masks are inputs of the compiled step, so their shapes must be known before it is traced. On a
 * recording engine nothing is computed.
 */
export function findDropoutSites<P>(
  model: DiffusionModel<P>,
  { params, batch: { images, sigma, classCond, augCond } }: {
    params: P;
    batch: {
      images: tf.Tensor4D;
      sigma: tf.Tensor1D;
      classCond?: tf.Tensor1D;
      augCond?: tf.Tensor2D;
    };
  },
): DropoutSites {
  const sites: DropoutSites = [];
  const cond: Cond = { ...(classCond ? { classCond } : {}), ...(augCond ? { augCond } : {}) };
  const source: DropoutSource = (site, shape, rate) => {
    sites.push({ site, shape: [...shape], rate });
    return tf.ones(shape);
  };
  tf.tidy(() => void model.apply(params, { x: images, sigma, cond, dropout: source }));
  return sites;
}

/** Masks for one step, by place, drawn from the stream (seed, step). */
export function dropoutMasks(
  sites: DropoutSites,
  { seed, step }: { seed: number; step: number },
): Record<string, tf.Tensor> {
  const draw = randomDropout({ seed, stream: "train/dropout" }, step);
  return Object.fromEntries(
    sites.map(({ site, shape, rate }) => [site, draw(site, shape, rate)]),
  );
}
