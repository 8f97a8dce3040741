import * as tf from "@tensorflow/tfjs";
import { type Stream, substream, uniforms } from "../engine/random.ts";

/**
 * Where dropout masks come from: the mask for one place of the model (`down_levels.0.1.ff`), already divided by
 * the share that is kept. Masks are arguments, so that a compiled step takes them as inputs.
 */
export type DropoutSource = (site: string, shape: number[], rate: number) => tf.Tensor;

/** x times its mask; x itself where there is no source or the rate is 0. */
export function dropout(
  x: tf.Tensor,
  { source, site, rate }: { source?: DropoutSource | undefined; site: string; rate: number },
): tf.Tensor {
  return source && rate > 0 ? tf.mul(x, source(site, x.shape, rate)) : x;
}

/** Masks drawn from a stream: the same for the same stream, counter and place. */
export function randomDropout(random: Stream, counter: number): DropoutSource {
  return (site, shape, rate) => {
    const n = shape.reduce((a, b) => a * b, 1);
    const keep = 1 / (1 - rate);
    return tf.tensor(
      uniforms(substream(random, site), counter, n).map((u) => u < rate ? 0 : keep),
      shape,
    );
  };
}
