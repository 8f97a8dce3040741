/** What is beside the paper's model E, recorded and compiled by the default engine, against tfjs's own kernels. */
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose, treeEntries, treeMap } from "../../lib/engine/tree.ts";
import {
  hdit,
  type HditInputs,
  type HditParams,
  initHdit,
  isBuffer,
} from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";
import { assertClose, random } from "../nn/assert.ts";

/** Sums in another order, through two levels and back. */
const ENGINES = 1e-3;

const [outer, middle] = presets.smoke.levels;
const smoke: HditSpec = { ...presets.smoke, numClasses: 0 };
const attending = (attention: AttentionSpec): HditSpec => ({
  ...smoke,
  levels: [{ ...outer, depth: 2, attention }, middle],
});
const variants: Record<string, HditSpec> = {
  axial: attending({ kind: "axial", dHead: 8 }),
  "sliding window": attending({ kind: "sliding-window", dHead: 8, kernelSize: 5 }),
  "dilated neighborhood": attending({
    kind: "neighborhood",
    dHead: 8,
    kernelSize: 3,
    dilation: 2,
  }),
  DiT: {
    ...smoke,
    norm: { kind: "ada-layer-norm", gate: true },
    outNorm: { kind: "ada-layer-norm" },
    similarity: "dot-product",
    feedForward: { kind: "gelu" },
    position: { kind: "learned", grid: [3, 3] },
    skip: { kind: "none" },
  },
  conditions: {
    ...smoke,
    levels: [outer, { ...middle, crossAttention: { dHead: 8 } }],
    crossCondDim: 6,
    selfConditioning: true,
    patchBottleneck: 8,
    position: { kind: "rope", positions: "training-pitch", trainingGrid: [2, 2] },
  },
};

/** Output, and gradients of all parameters of Σ out · x. */
function outputAndGradients(spec: HditSpec) {
  return ({ params, inputs }: { params: HditParams; inputs: HditInputs }) => {
    const trained = treeEntries(params).filter(([path]) => !isBuffer(path));
    const grads = tf.grads((...leaves: tf.Tensor[]) => {
      const by = new Map(trained.map(([path], i) => [path, leaves[i]]));
      const tree = treeMap(params, (leaf, path) => by.get(path) ?? leaf);
      return tf.sum(tf.mul(hdit(tree, inputs, { spec }), inputs.x));
    })(trained.map(([, leaf]) => leaf));
    const named = Object.fromEntries(trained.map(([path], i) => [path, grads[i]]));
    return { out: hdit(params, inputs, { spec }), ...named } as Record<string, tf.Tensor>;
  };
}

async function run(spec: HditSpec, engine: "cpu" | "onnxruntime") {
  await setEngine(engine);
  const start = initHdit(spec, { seed: 0, stream: "model" });
  const params = treeMap(
    start,
    (t, path) => isBuffer(path) ? tf.clone(t) : tf.add(t, tf.mul(random(t.shape, path), 0.1)),
  );
  const inputs: HditInputs = { x: random([2, 24, 24, 3]), sigma: tf.tensor1d([0.4, 3]) };
  if (spec.crossCondDim) {
    inputs.crossCond = random([2, 5, spec.crossCondDim], "cross");
    inputs.crossCondPadding = tf.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]);
  }
  if (spec.selfConditioning) inputs.selfCond = random([2, 24, 24, 3], "self");
  const compiled = compile(outputAndGradients(spec));
  const out = await compiled({ params, inputs });
  const numbers = await Promise.all(
    Object.entries(out).map(async ([name, t]) =>
      [name, t.shape, Float32Array.from(await t.data())] as const
    ),
  );
  treeDispose([start, params, inputs, out]);
  compiled.dispose();
  return numbers;
}

for (const [name, spec] of Object.entries(variants)) {
  Deno.test(`hdit() gives on onnxruntime what it gives on cpu, gradients too: ${name}`, async () => {
    const wanted = await run(spec, "cpu"), found = await run(spec, "onnxruntime");
    await setEngine("cpu");
    tf.tidy(() => {
      for (const [i, [path, shape, values]] of wanted.entries()) {
        assertClose(tf.tensor(found[i][2], found[i][1]), tf.tensor(values, shape), {
          tolerance: ENGINES,
          what: path,
        });
      }
    });
  });
}
