import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { setEngine } from "../../lib/engine/engine.ts";
import type { OnnxRuntimeBackend } from "../../lib/engine/onnxruntime/backend.ts";
import {
  type GraphNode,
  isConstant,
  sizeOf,
  subgraph,
} from "../../lib/engine/onnxruntime/graph.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import { cost } from "../../lib/models/cost.ts";
import { AUG_FEATURES } from "../../lib/models/hdit_params.ts";
import { hdit, initHdit } from "../../lib/models/hdit.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";

/** Multiply-adds of a recorded product: every number of the output sums over the inner dimension. */
function products({ op, inputs, outputs, attributes }: GraphNode): number {
  if (!["MatMul", "FusedMatMul", "Gemm"].includes(op)) return 0;
  const [a] = inputs;
  assert.ok(a && !isConstant(a));
  return sizeOf(outputs[0].shape) * a.shape.at(attributes.transA ? -2 : -1)!;
}

/** Kinds that compute just the pairs that they count; tiles of neighborhoods compute more. */
const attention: fc.Arbitrary<AttentionSpec> = fc.oneof(
  fc.constant<AttentionSpec>({ kind: "global", dHead: 8 }),
  fc.constant<AttentionSpec>({ kind: "none" }),
  fc.constant<AttentionSpec>({ kind: "shifted-window", dHead: 8, windowSize: 2 }),
);
const level = fc.record({
  depth: fc.integer({ min: 1, max: 2 }),
  width: fc.constantFrom(8, 16, 24),
  dFf: fc.integer({ min: 1, max: 40 }),
  attention,
  dropout: fc.constant(0),
});
const spec: fc.Arbitrary<HditSpec> = fc.record({
  inChannels: fc.integer({ min: 1, max: 3 }),
  outChannels: fc.integer({ min: 1, max: 3 }),
  patchSize: fc.constantFrom<[number, number]>([1, 1], [2, 2], [2, 1]),
  levels: fc.array(level, { minLength: 1, maxLength: 3 }),
  mapping: fc.record({
    depth: fc.integer({ min: 0, max: 2 }),
    width: fc.constantFrom(8, 12),
    dFf: fc.integer({ min: 1, max: 20 }),
    dropout: fc.constant(0),
  }),
  numClasses: fc.constant(0),
  mappingCondDim: fc.constant(0),
  position: fc.constantFrom<HditSpec["position"]>({ kind: "rope" }, { kind: "sincos" }),
  skip: fc.constantFrom<HditSpec["skip"]>({ kind: "lerp" }, { kind: "add" }, { kind: "concat" }),
  feedForward: fc.constantFrom<HditSpec["feedForward"]>({ kind: "geglu" }, { kind: "gelu" }),
}).chain((spec) =>
  fc.record({ activation: fc.constantFrom("geglu" as const, "gelu" as const), join: fc.boolean() })
    .map(({ activation, join }): HditSpec => {
      const { depth, width, attention } = spec.levels.at(-1)!;
      const mapping = { ...spec.mapping, feedForward: { kind: activation } };
      if (!join || attention.kind === "shifted-window") return { ...spec, mapping };
      const inContext = { tokens: 3, from: depth - 1 };
      return { ...spec, mapping: { ...mapping, width }, numClasses: 2, inContext };
    })
);

Deno.test("cost() equals the multiply-adds of the products in the recorded graph", async () => {
  await setEngine("onnxruntime");
  const backend = tf.backend() as OnnxRuntimeBackend;
  fc.assert(
    fc.property(spec, fc.constantFrom(1, 2), (spec, scale) => {
      const [p, q] = spec.patchSize;
      const unit = 2 ** spec.levels.length * scale; // windows of 2 divide every level's grid
      const size: [number, number] = [p * unit, q * unit];
      const params = initHdit(spec, { seed: 0, stream: "init" });
      const { outputs } = backend.recordCall([
        { shape: [1, ...size, spec.inChannels], dtype: "float32" },
        { shape: [1], dtype: "float32" },
        { shape: [1], dtype: "int32" },
      ], ([x, sigma, classes]) => {
        const classCond = spec.numClasses > 0 ? classes as tf.Tensor1D : undefined;
        return [hdit(params, { x, sigma, classCond }, { spec })];
      });
      const { nodes } = subgraph(outputs.map(({ storage }) => storage));
      treeDispose(params);
      const counted = nodes.reduce((sum, node) => sum + products(node), 0);
      // Fourier features and the choice of a class are products as well, which the paper's rule leaves out
      const { width } = spec.mapping, choice = spec.numClasses > 0 ? spec.numClasses + 1 : 0;
      const uncounted = width / 2 * (1 + AUG_FEATURES) + choice * width;
      assert.equal(counted - uncounted, cost(spec, size).macs);
    }),
    { numRuns: 60 },
  );
});
