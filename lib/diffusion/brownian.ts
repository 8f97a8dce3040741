/**
 * Noise from one Brownian path a pixel, so that a sample does not depend on the number of steps.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { fillNormals } from "../engine/random.ts";
import { checkSeeds } from "./noise.ts";
import type { NoiseSource } from "./samplers/common.ts";

// The paths run over log2 sigma in [-16, 16], whatever the schedule, in ticks of 2^-11 octaves.
const OCTAVES = 16, TICKS_PER_OCTAVE = 2 ** 11, DEPTH = 16;
const SPAN = 2 ** DEPTH; // 2 * OCTAVES * TICKS_PER_OCTAVE
/** Nodes above this depth serve many ticks and are kept. */
const KEPT_DEPTH = 9;

function tickOf(sigma: number): number {
  const tick = Math.round((Math.log2(sigma) + OCTAVES) * TICKS_PER_OCTAVE);
  return Math.min(Math.max(tick, 0), SPAN);
}

/**
 * The noise that a sampler adds as increments of Brownian paths W over ln sigma, one path a pixel: from
 * `sigma` to `sigmaNext` it is (W(ln sigma) - W(ln sigmaNext)) / sqrt(ln sigma - ln sigmaNext).
 *
 * Each sample has its own seed, and its paths depend on nothing else: schedules of 20 and of 40 steps see
 * the same paths, finer ones only more of them, so that stochastic samplers converge as the steps grow.
 * Increments over adjoining intervals add up; over disjoint ones they are independent.
 *
 * A path is found by bisection (a virtual Brownian tree): W is the sum over 16 depths of tents, one for
 * each dyadic interval around a point, of heights drawn from the stream (seed, `brownian`) at the
 * interval's number. Levels are rounded to 2^-11 octaves, which steps must exceed: a RangeError else.
 *
 * Source: Lévy's construction; Li et al. 2020 ("Scalable gradients for stochastic differential
 * equations") for the tree.
 */
export function brownianNoise<R extends tf.Rank = tf.Rank.R4>(
  { seeds, shape }: { seeds: readonly number[]; shape: readonly number[] },
): NoiseSource<R> {
  checkSeeds({ seeds, shape });
  const path = brownianPath(seeds, shape.slice(1).reduce((a, b) => a * b, 1));
  let last: { tick: number; value: Float64Array } | undefined; // where the next step begins
  return ({ sigma, sigmaNext }) => {
    const from = tickOf(sigma), to = tickOf(sigmaNext);
    if (!(from > to)) {
      throw new RangeError(
        `Cannot draw Brownian noise as steps must exceed 2^-11 octaves: one is from ${sigma} to ${sigmaNext}`,
      );
    }
    const high = last?.tick === from ? last.value : path(from);
    const low = path(to), scale = 1 / Math.sqrt(from - to);
    last = { tick: to, value: low };
    const increment = new Float32Array(low.length);
    for (let i = 0; i < low.length; i++) increment[i] = (high[i] - low[i]) * scale;
    const noise: tf.Tensor = tf.tensor(increment, [...shape]);
    return noise as tf.Tensor<R>;
  };
}

/** W at a tick, `each` numbers a seed; Var W = ticks. */
function brownianPath(seeds: readonly number[], each: number): (tick: number) => Float64Array {
  const kept: { node: number; draws: Float32Array }[] = [];
  const drawsOf = (depth: number, node: number): Float32Array => {
    const found = kept[depth];
    if (found?.node === node) return found.draws;
    const draws = new Float32Array(each * seeds.length);
    seeds.forEach((seed, i) =>
      fillNormals(draws.subarray(i * each, (i + 1) * each), { seed, stream: "brownian" }, node)
    );
    if (depth < KEPT_DEPTH) kept[depth] = { node, draws };
    return draws;
  };
  return (tick) => {
    const sum = new Float64Array(each * seeds.length);
    const add = (weight: number, draws: Float32Array) => {
      for (let i = 0; i < sum.length; i++) sum[i] += weight * draws[i];
    };
    // Node 0 is the whole path's end; node 2^depth + k is the k-th interval at that depth.
    add(tick / Math.sqrt(SPAN), drawsOf(0, 0));
    for (let depth = 0; depth < DEPTH; depth++) {
      const length = SPAN / 2 ** depth, place = tick % length;
      const tent = 1 - Math.abs(2 * place / length - 1); // 0 at the ends, 1 in the middle
      if (tent === 0) break; // here the path is known, and at all depths below
      // the middle of a Brownian bridge has variance length / 4
      add(tent * Math.sqrt(length) / 2, drawsOf(depth + 1, 2 ** depth + (tick - place) / length));
    }
    return sum;
  };
}
