import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import { uniforms } from "../engine/random.ts";
import type { DropoutSource } from "../nn/dropout.ts";
import { type BatchTensors, condOf } from "./train_batch.ts";

/** The places of a model that drop something out, for one input shape; samples are the first dimension. */
export type DropoutSites = { site: string; shape: number[]; rate: number }[];

/**
 * Finds where a model drops out, by running it once on the batch with masks that drop nothing.
 *
 * Masks are inputs of the compiled step, so their shapes must be known before it is traced. On a
 * recording engine nothing is computed.
 */
export function findDropoutSites<P>(
  model: DiffusionModel<P>,
  { params, batch }: { params: P; batch: BatchTensors },
): DropoutSites {
  const sites: DropoutSites = [];
  const { images: x, sigma } = batch, cond = condOf(batch);
  const source: DropoutSource = (site, shape, rate) => {
    sites.push({ site, shape: [...shape], rate });
    return tf.ones(shape);
  };
  tf.tidy(() => void model.apply(params, { x, sigma, cond, dropout: source }));
  return sites;
}

/**
 * Masks of one step for the samples `rows` of its batch, by place, already divided by the share that is kept. Each
 * sample has a stream of its own, (seed, place, row), so that they are the same however the batch is split.
 */
export function dropoutMasks(
  sites: DropoutSites,
  { seed, step, rows }: { seed: number; step: number; rows: readonly number[] },
): Record<string, tf.Tensor> {
  const maskOf = ({ site, shape: [, ...sample], rate }: DropoutSites[number]) => {
    const each = sample.reduce((a, b) => a * b, 1), keep = 1 / (1 - rate);
    const mask = new Float32Array(rows.length * each);
    rows.forEach((row, i) => {
      const u = uniforms({ seed, stream: `train/dropout/${site}/${row}` }, step, each);
      mask.set(u.map((u) => u < rate ? 0 : keep), i * each);
    });
    return tf.tensor(mask, [rows.length, ...sample]);
  };
  return Object.fromEntries(sites.map((at) => [at.site, maskOf(at)]));
}
