import * as tf from "@tensorflow/tfjs";
import { treeDispose } from "../engine/tree.ts";
import type { HditParams } from "../models/hdit_params.ts";
import type { HditSpec } from "../models/spec.ts";
import { hditParamsFromStateDict } from "../models/state_dict.ts";
import type { StoredTensor } from "./stored_tensor.ts";

/** Number formats of weights in a file, in the reference's words; in memory they are float32. */
export type WeightsDtype = "fp32" | "fp16" | "bf16";

/** A parameter tree from the tensors of a file. */
export function paramsFromStored(
  stored: Record<string, StoredTensor>,
  spec: HditSpec,
): { params: HditParams; dtype: WeightsDtype | "mixed" } {
  const floats: Record<string, WeightsDtype | undefined> = {
    F32: "fp32",
    F16: "fp16",
    BF16: "bf16",
  };
  checkPlausible(stored, spec);
  // names and shapes are looked at before any number is read
  hditParamsFromStateDict(stored as unknown as Record<string, tf.Tensor>, spec);
  const dtypes = new Set<WeightsDtype>();
  const tensors: Record<string, tf.Tensor> = {};
  try {
    for (const [name, { dtype, shape, read }] of Object.entries(stored)) {
      const format = floats[dtype];
      if (!format) {
        throw new TypeError(
          `Cannot load the checkpoint as weights must be F32, F16 or BF16: ${name} is ${dtype}`,
        );
      }
      dtypes.add(format);
      tensors[name] = tf.tensor(read() as Float32Array, shape, "float32");
    }
    const params = hditParamsFromStateDict(tensors, spec);
    return { params, dtype: dtypes.size === 1 ? [...dtypes][0] : "mixed" };
  } catch (error) {
    treeDispose(tensors);
    throw error;
  }
}

/** A configuration may lie: one that asks for more layers or channels than the file has numbers is not built. */
function checkPlausible(stored: Record<string, StoredTensor>, { levels, mapping }: HditSpec): void {
  const tensors = Object.values(stored);
  const numbers = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const layers = levels.reduce((sum, { depth }) => sum + depth, mapping.depth);
  const widest = Math.max(...[mapping, ...levels].flatMap(({ width, dFf }) => [width, dFf]));
  if (!(layers <= tensors.length && widest <= numbers)) {
    throw new RangeError(
      `Cannot load the checkpoint as its tensors are not those of its config: ${tensors.length} tensors of ${numbers} numbers, the config has ${layers} layers, up to ${widest} wide`,
    );
  }
}
