import * as tf from "@tensorflow/tfjs";
import { fillNormals } from "../engine/random.ts";
import type { NoiseSource } from "./samplers/common.ts";

/**
 * Standard normal noise, each sample from its own seed, so that a sample does not depend on the batch
 * it is drawn in.
 *
 * Sample i is block `counter` of the stream (seeds[i], `stream`). `shape` is [B, ...], B = seeds.length.
 */
export function seededNormals<R extends tf.Rank = tf.Rank.R4>(
  { seeds, stream, counter, shape }: {
    seeds: readonly number[];
    stream: string;
    counter: number;
    shape: readonly number[];
  },
): tf.Tensor<R> {
  checkSeeds({ seeds, shape });
  const each = shape.slice(1).reduce((a, b) => a * b, 1);
  const data = new Float32Array(each * seeds.length);
  seeds.forEach((seed, i) =>
    fillNormals(data.subarray(i * each, (i + 1) * each), { seed, stream }, counter)
  );
  const noise: tf.Tensor = tf.tensor(data, [...shape]);
  return noise as tf.Tensor<R>;
}

/** The noise that a sampler adds: call k takes block k of each sample's stream `sampler`. */
export function seededNoise<R extends tf.Rank = tf.Rank.R4>(
  { seeds, shape }: { seeds: readonly number[]; shape: readonly number[] },
): NoiseSource<R> {
  return ({ call }) => seededNormals<R>({ seeds, stream: "sampler", counter: call, shape });
}

/** Throws a RangeError unless there is a seed a sample. */
export function checkSeeds(
  { seeds, shape }: { seeds: readonly number[]; shape: readonly number[] },
): void {
  if (!(shape[0] === seeds.length)) {
    throw new RangeError(
      `Cannot draw noise as each sample needs a seed: shape is [${shape}], there are ${seeds.length} seeds`,
    );
  }
}
