import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../../lib/diffusion/diffusion_model.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeDispose, treeMap } from "../../lib/engine/tree.ts";

/** Parameters of which every one matters: those of a new model, which is silent, with noise added. */
export function livelyParams<P>(model: DiffusionModel<P>, { seed = 0 } = {}): P {
  const fresh = model.init({ seed, stream: "init" });
  const params = treeMap(fresh, (leaf, path) => {
    if (model.isBuffer(path)) return leaf.clone();
    const noise = normals({ seed, stream: `lively/${path}` }, 0, leaf.size);
    return tf.tidy(() => leaf.add(tf.tensor(noise, leaf.shape).mul(0.1)));
  });
  treeDispose(fresh);
  return params;
}
