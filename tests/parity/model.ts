/** Cases of the room `model`: whole models of the reference, with the gradient of every parameter. */
import * as tf from "@tensorflow/tfjs";
import { treeEntries, treeMap } from "../../lib/engine/tree.ts";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { hdit, type HditInputs, hditParamsFromStateDict, isBuffer } from "../../lib/models/hdit.ts";
import { compareTensors, type Fixture, type Handler, toleranceOf, toTensor } from "./run.ts";

const base = (fixture: Fixture) => fixture.name.replace(/\.(io|weights|grads)$/, "");

export const handlers: Handler[] = [
  {
    room: "model",
    stem: "",
    when: ({ name, json }) => name.endsWith(".io") && "levels" in (json.config ?? {}),
    run: model,
  },
  {
    room: "model",
    stem: "",
    when: (fixture) => fixture.name.endsWith(".weights") && isModel(fixture),
    run: weights,
  },
  {
    room: "model",
    stem: "",
    when: (fixture) => fixture.name.endsWith(".grads") && isModel(fixture),
    run: async function* () {}, // compared with the outputs, by the case of the `.io` file
  },
];

function isModel(fixture: Fixture): boolean {
  return "levels" in (fixture.sibling(`${base(fixture)}.io`)?.json.config ?? {});
}

/** Output, gradient of the input and of every parameter. */
async function* model(fixture: Fixture) {
  const io = fixture.tensors();
  const grads = fixture.sibling(`${base(fixture)}.grads`)?.tensors() ?? new Map();
  const spec = specFromKDiffusion(fixture.json.config);
  const loaded = tensorsOf(fixture.sibling(`${base(fixture)}.weights`)!.tensors());
  const inputs = tensorsOf(io);
  const actual = tf.tidy(() => {
    const params = hditParamsFromStateDict(loaded, spec);
    const entries = treeEntries(params).filter(([path]) => !isBuffer(path));
    const run = (x: tf.Tensor, trained: Record<string, tf.Tensor>) => {
      const given: HditInputs = {
        x: tf.transpose(x, [0, 2, 3, 1]), // the reference is channels-first
        sigma: inputs.sigma,
        augCond: inputs.aug_cond,
        classCond: inputs.class_cond,
        mappingCond: inputs.mapping_cond,
      };
      const tree = treeMap(params, (leaf, path) => trained[path] ?? leaf);
      return tf.transpose(hdit(tree, given, { spec }), [0, 3, 1, 2]);
    };
    const leaves = [inputs.x, ...entries.map(([, leaf]) => leaf)];
    const { value, grads } = tf.valueAndGrads((x: tf.Tensor, ...tensors: tf.Tensor[]) => {
      const out = run(x, Object.fromEntries(tensors.map((t, i) => [entries[i][0], t])));
      return tf.sum(tf.mul(out, inputs.g));
    })(leaves);
    value.dispose();
    return {
      out: run(inputs.x, {}),
      grad_x: grads[0],
      ...Object.fromEntries(entries.map(([path], i) => [`param.${path}`, grads[i + 1]])),
    } as Record<string, tf.Tensor>;
  });
  const expected: Record<string, SafetensorsTensor> = {
    ...Object.fromEntries([...io].filter(([name]) => name === "out" || name === "grad_x")),
    ...Object.fromEntries(grads),
  };
  const label = fixture.label.replace(/\.io$/, "");
  yield await compareTensors(label, { actual, expected, tolerance: toleranceOf(fixture) });
  tf.dispose([loaded, inputs, actual]);
}

/** The state dict's names and numbers come back from a loaded tree as they were. */
async function* weights(fixture: Fixture) {
  const expected = Object.fromEntries(fixture.tensors());
  const loaded = tensorsOf(fixture.tensors());
  const spec = specFromKDiffusion(fixture.sibling(`${base(fixture)}.io`)!.json.config);
  const actual = Object.fromEntries(treeEntries(hditParamsFromStateDict(loaded, spec)));
  yield await compareTensors(fixture.label, {
    actual,
    expected,
    tolerance: toleranceOf(fixture),
  });
  tf.dispose(loaded);
}

function tensorsOf(tensors: Map<string, SafetensorsTensor>): Record<string, tf.Tensor> {
  return Object.fromEntries([...tensors].map(([name, tensor]) => [name, toTensor(tensor)]));
}
