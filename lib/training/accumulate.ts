import * as tf from "@tensorflow/tfjs";
import type { CompileStats } from "../engine/compile.ts";
import { treeEntries } from "../engine/tree.ts";
import { globalNorm } from "./clip.ts";
import { type LeafRules, type Leaves, type Loss, makeGradients } from "./train_step.ts";

/**
 * The samples of each of `parts` equal parts of a batch of B: part j has j, j + parts, j + 2 parts …, so that
 * each part is stratified over the noise levels as the whole is.
 *
 * Throws a RangeError when the batch does not split.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(microBatches(6, 2), [[0, 2, 4], [1, 3, 5]]);
 * ```
 */
export function microBatches(B: number, parts: number): number[][] {
  if (!(B % parts === 0)) {
    throw new RangeError(
      `Cannot accumulate gradients as the batch must split into equal parts: it has ${B} images, accumulate is ${parts}`,
    );
  }
  return Array.from(
    { length: parts },
    (_, j) => Array.from({ length: B / parts }, (_, i) => j + i * parts),
  );
}

/** What the parts of a batch have added up to so far, and what the last of them gave. */
export type MicroStepOutput = {
  sum: Leaves;
  losses: tf.Tensor1D; // [B / parts]
  norm: tf.Scalar; // of this part's own gradient
};

/**
 * Makes the gradient of one of `parts` parts of a batch, added to the sum of those before: after the last, the sum is
 * the gradient of the mean loss over the whole batch. A pure function of tensors, fit for `compile()`.
 */
export function makeMicroStep<P, Batch>(
  { loss, rules, parts }: { loss: Loss<P, Batch>; rules: LeafRules; parts: number },
): (args: { params: P; batch: Batch; sum: Leaves }) => MicroStepOutput {
  const gradients = makeGradients({ loss, rules });
  return ({ params, batch, sum }) => {
    const { grads, losses } = gradients({ params, batch });
    const norm = globalNorm(Object.values(grads).map((g) => g.square()));
    const next = Object.entries(grads).map(([path, g]) => [path, sum[path].add(g.div(parts))]);
    return { sum: Object.fromEntries(next), losses, norm };
  };
}

/** A sum to begin with. */
export function zeroGradients<P>(params: P, { isBuffer }: Pick<LeafRules, "isBuffer">): Leaves {
  return Object.fromEntries(
    treeEntries(params).filter(([path]) => !isBuffer(path))
      .map(([path, leaf]) => [path, tf.tensor(new Float32Array(leaf.size), leaf.shape)]),
  );
}

/** What several compiled functions cost together. */
export function addStats(all: readonly CompileStats[]): CompileStats {
  const sum = { ...all[0] };
  for (const stats of all.slice(1)) {
    for (const key of Object.keys(sum) as (keyof CompileStats)[]) sum[key] += stats[key];
  }
  return sum;
}
