import * as tf from "@tensorflow/tfjs";
import type { Stream } from "../engine/random.ts";
import { treeEntries } from "../engine/tree.ts";
import { mapInits, startTensor } from "../nn/init.ts";
import { describeHdit, type HditParams } from "./hdit_params.ts";
import type { HditSpec } from "./spec.ts";

/**
 * Parameters for `to`, a spec that differs from `from` in its number of classes, from trained ones for `from`. The
 * result is new tensors; the given ones stay as they are.
 *
 * Classes keep their numbers: those that both have keep their embeddings, new ones start as `initHdit` starts them, and
 * the null class, which is the last row, moves with its embedding. Where `from` has no classes, the null class adds
 * nothing, so that without a class the model is as before; where `to` has none, all embeddings are left away, and
 * with them what the null class added.
 *
 * Throws a RangeError where another trained tensor has another shape than `to` needs.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { adaptClasses } from "./adapt_classes.ts";
 * import { initHdit } from "./hdit.ts";
 * import { presets } from "./presets.ts";
 *
 * const random = { seed: 0, stream: "model" };
 * const from = { ...presets.smoke, numClasses: 2 }, to = { ...from, numClasses: 5 };
 * const adapted = adaptClasses(initHdit(from, random), { from, to, random });
 * assert.equal(adapted.class_emb!.weight.shape[0], 6); // five classes and the null class
 * ```
 */
export function adaptClasses(
  params: HditParams,
  { from, to, random }: { from: HditSpec; to: HditSpec; random: Stream },
): HditParams {
  const trained = new Map(treeEntries(params));
  return tf.tidy(() =>
    mapInits<HditParams>(describeHdit(to), (init, path) => {
      const source = trained.get(path);
      const start = path === "class_emb.weight"
        ? classRows(source, { from, to, fresh: startTensor(init, { random, path }) })
        : source ?? startTensor(init, { random, path });
      if (`${start.shape}` !== `${init.shape}`) {
        throw new RangeError(
          `Cannot adapt the classes as ${path} must be [${init.shape}]: the trained one is [${start.shape}]`,
        );
      }
      return tf.clone(start);
    })
  );
}

/** Embeddings of `to`'s classes and of the null class, the last row. */
function classRows(
  trained: tf.Tensor | undefined,
  { from, to, fresh }: { from: HditSpec; to: HditSpec; fresh: tf.Tensor },
): tf.Tensor {
  const rows = (of: tf.Tensor, first: number, count: number) =>
    tf.slice(of, [first, 0], [count, of.shape[1]!]);
  const kept = trained ? Math.min(from.numClasses, to.numClasses) : 0;
  return tf.concat([
    ...(trained ? [rows(trained, 0, kept)] : []),
    rows(fresh, kept, to.numClasses - kept),
    trained ? rows(trained, from.numClasses, 1) : tf.zeros([1, fresh.shape[1]!]),
  ]);
}
