/**
 * Training on at a larger resolution: a model of more levels that starts from trained weights.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Stream } from "../engine/random.ts";
import { treeEntries } from "../engine/tree.ts";
import { type Init, mapInits, startTensor } from "../nn/init.ts";
import { learnedPositions } from "../nn/learned_positions.ts";
import { describeHdit, type HditParams } from "./hdit_params.ts";
import type { HditSpec } from "./spec.ts";

/**
 * Parameters for `to`, a spec with more fine levels than `from` (see `growLevels`), from trained ones for `from`. The
 * result is new tensors; the given ones stay as they are.
 *
 * | parameter | starts from |
 * |---|---|
 * | layers of a new level | those of the shallowest level, way down and up (of the middle where it is the only level) |
 * | merge of a new boundary | the mean of the tokens of a block |
 * | split of a new boundary | a copy to all tokens of a block, which the skip then tells apart |
 * | skip of a new boundary | lerp ½; concat the mean of both |
 * | learned position table | the trained one, interpolated |
 * | what `from` does not have (a class embedding, cross-attention …) | what `initHdit` starts it from |
 * | all else | the trained tensor |
 *
 * To train on, give the result as the first parameters: `{ ...hditModel(to), init: () => grown }`. The paper trains every
 * resolution from scratch; that the shallowest level is the one to repeat is from it (§4.2). That new layers should
 * start as copies and not as blocks that add nothing was measured: `emoji-64`, 400 steps at 32 px, grown to 64 px; held-out
 * loss at once and after 120 steps 0.64 and 0.44 with copies, 0.90 and 0.46 with blocks that add nothing, 1.53 and 0.75
 * from scratch.
 *
 * Throws a RangeError where a trained tensor has another shape than `to` needs.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { growLevelsParams } from "./grow_levels.ts";
 * import { initHdit } from "./hdit.ts";
 * import { presets } from "./presets.ts";
 * import { growLevels } from "./spec.ts";
 *
 * const random = { seed: 0, stream: "model" };
 * const from = presets.smoke, to = growLevels(from, { doublings: 1 });
 * const grown = growLevelsParams(initHdit(from, random), { from, to, random });
 * assert.equal(grown.down_levels.length, 2);
 * ```
 */
export function growLevelsParams(
  params: HditParams,
  { from, to, random }: { from: HditSpec; to: HditSpec; random: Stream },
): HditParams {
  const added = to.levels.length - from.levels.length;
  if (!(added >= 0)) {
    throw new RangeError(
      `Cannot grow the model as it must not lose levels: it has ${from.levels.length}, the larger one ${to.levels.length}`,
    );
  }
  const trained = new Map(treeEntries(params));
  const block = 2 ** to.patchSize.length;
  return tf.tidy(() =>
    mapInits<HditParams>(describeHdit(to), (init, path) => {
      const source = trained.get(sourceOf(path, { added, isotropic: from.levels.length === 1 }));
      const start = source && path === "pos_emb.weight"
        ? learnedPositions({ weight: source }, init.shape.slice(0, -1))
        : source ?? boundary(path, init, { block }) ?? startTensor(init, { random, path });
      if (`${start.shape}` !== `${init.shape}`) {
        throw new RangeError(
          `Cannot grow the model as ${path} must be [${init.shape}]: the trained one is [${start.shape}]`,
        );
      }
      return tf.clone(start);
    })
  );
}

/** The path in the smaller model of what a parameter of the larger one starts from. */
function sourceOf(
  path: string,
  { added, isotropic }: { added: number; isotropic: boolean },
): string {
  const [part, level, ...rest] = path.split(".");
  if (!/^(down_levels|up_levels|merges|splits)$/.test(part)) return path;
  const before = Number(level) - added;
  if (before >= 0) return [part, before, ...rest].join(".");
  if (!part.endsWith("_levels")) return ""; // a new boundary
  return isotropic ? ["mid_level", ...rest].join(".") : [part, 0, ...rest].join(".");
}

/** Projections at a new boundary with blocks of `block` tokens, where its sides are equally wide. */
function boundary(
  path: string,
  { shape: [out, inner] }: Init,
  { block }: { block: number },
): tf.Tensor | undefined {
  const stacked = (n: number, axis: number, share: number) =>
    tf.mul(tf.concat(Array(n).fill(tf.eye(Math.min(out, inner))), axis), share);
  const [part, , ...name] = path.split(".");
  switch (`${part}.${name.join(".")}`) {
    case "merges.proj.weight":
      return inner === block * out ? stacked(block, 1, 1 / block) : undefined;
    case "splits.proj.weight":
      return out === block * inner ? stacked(block, 0, 1) : undefined;
    case "splits.skip_proj.weight":
      return stacked(2, 1, 1 / 2);
    default:
      return undefined;
  }
}
