/** State dicts of Inception-v3 with drawn numbers, as tests need them. */
import type { StoredTensor } from "../../lib/io/stored_tensor.ts";
import { inceptionConvolutions } from "../../lib/metrics/inception.ts";
import { formulaUniform } from "../parity/formula_weights.ts";

/** All tensors that the network uses, by pytorch-fid's names; read anew each time. */
export function drawnState(): Record<string, StoredTensor> {
  const state: Record<string, StoredTensor> = {};
  const add = (name: string, shape: number[], of: (u: number) => number) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const read = () => Float32Array.from(formulaUniform(name, size), of);
    state[name] = { dtype: "F32", shape, read };
  };
  for (const { name, shape: [height, width, inputs, outputs] } of inceptionConvolutions()) {
    const scale = Math.sqrt(6 / (height * width * inputs));
    add(`${name}.conv.weight`, [outputs, inputs, height, width], (u) => u * scale);
    add(`${name}.bn.weight`, [outputs], (u) => 1 + 0.2 * u);
    add(`${name}.bn.bias`, [outputs], (u) => 0.1 * u);
    add(`${name}.bn.running_mean`, [outputs], (u) => 0.1 * u);
    add(`${name}.bn.running_var`, [outputs], (u) => 1 + 0.5 * u);
  }
  return state;
}
