import type * as tf from "@tensorflow/tfjs";
import { initEntries, mapInits } from "../nn/init.ts";
import { describeHdit, type HditParams } from "./hdit_params.ts";
import type { HditSpec } from "./spec.ts";

/** Whether a parameter path names a buffer: saved with the model, copied into the EMA, never trained. */
export function isBuffer(path: string): boolean {
  return path === "time_emb.weight" || path === "aug_emb.weight" || path.endsWith(".pos_emb.freqs");
}

/**
 * How the optimiser treats a parameter (the reference's groups): a third of the learning rate for the mapping network and
 * the conditioned norms; weight decay on projections only.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { paramGroup } from "./state_dict.ts";
 *
 * assert.deepEqual(paramGroup("mid_level.0.ff.up_proj.weight"), { lrScale: 1, weightDecay: true });
 * assert.deepEqual(paramGroup("mapping.out_norm.scale"), { lrScale: 1 / 3, weightDecay: false });
 * ```
 */
export function paramGroup(path: string): { lrScale: number; weightDecay: boolean } {
  const mapping = path.startsWith("mapping.");
  const conditionedNorm = path.endsWith("norm.linear.weight");
  const decayed =
    /(?:^|\.)(?:qkv_proj|q_proj|kv_proj|out_proj|up_proj|down_proj|skip_proj|proj)\.(?:weight)$/;
  return {
    lrScale: mapping || conditionedNorm ? 1 / 3 : 1,
    weightDecay: conditionedNorm || decayed.test(path),
  };
}

/** Names and shapes of a model's state dict, buffers included, in the reference's order. */
export function stateDictShapes(spec: HditSpec): Map<string, number[]> {
  return new Map(initEntries(describeHdit(spec)).map(([path, { shape }]) => [path, shape]));
}

/**
 * A parameter tree from a state dict; the tensors are those given, not copies.
 *
 * Throws a RangeError that lists every missing, unexpected and mis-shaped name.
 */
export function hditParamsFromStateDict(
  stateDict: Record<string, tf.Tensor>,
  spec: HditSpec,
): HditParams {
  const shapes = stateDictShapes(spec);
  const problems = [
    ...[...shapes.keys()].filter((name) => !(name in stateDict)).map((name) =>
      `${name} is missing`
    ),
    ...Object.keys(stateDict).filter((name) => !shapes.has(name))
      .map((name) => `${name} is not expected`),
    ...[...shapes].filter(([name, shape]) =>
      name in stateDict && `${stateDict[name].shape}` !== `${shape}`
    ).map(([name, shape]) => `${name} must be [${shape}] but is [${stateDict[name].shape}]`),
  ];
  if (problems.length > 0) {
    const shown = problems.slice(0, 8);
    const more = problems.length > shown.length
      ? `; and ${problems.length - shown.length} more`
      : "";
    throw new RangeError(
      `Cannot load the state dict as its names and shapes must be those of the spec: ${
        shown.join("; ")
      }${more}`,
    );
  }
  return mapInits<HditParams>(describeHdit(spec), (_, path) => stateDict[path]);
}
