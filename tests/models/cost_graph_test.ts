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
import { hdit, type HditInputs, initHdit } from "../../lib/models/hdit.ts";
import type { AttentionSpec, HditSpec } from "../../lib/models/spec.ts";
import { attentionKind } from "../../lib/nn/attention_spec.ts";
import { neighborhoodGroups } from "../../lib/nn/neighborhood_attention.ts";
import { slidingWindowGroups } from "../../lib/nn/sliding_window_attention.ts";

/** Multiply-adds of a recorded product: every number of the output sums over the inner dimension. */
function products({ op, inputs, outputs, attributes }: GraphNode): number {
  if (!["MatMul", "FusedMatMul", "Gemm"].includes(op)) return 0;
  const [a] = inputs;
  assert.ok(a && !isConstant(a));
  return sizeOf(outputs[0].shape) * a.shape.at(attributes.transA ? -2 : -1)!;
}

const dHead = 8;
const attention: fc.Arbitrary<AttentionSpec> = fc.constantFrom<AttentionSpec>(
  { kind: "global", dHead },
  { kind: "none" },
  { kind: "axial", dHead },
  { kind: "shifted-window", dHead, windowSize: 2 },
  { kind: "neighborhood", dHead, kernelSize: 3 },
  { kind: "neighborhood", dHead, kernelSize: 1, dilation: 2 },
  { kind: "sliding-window", dHead, kernelSize: 3 },
);
const level = fc.record({
  depth: fc.integer({ min: 1, max: 2 }),
  width: fc.constantFrom(8, 16, 24),
  dFf: fc.integer({ min: 1, max: 40 }),
  attention,
  dropout: fc.constant(0),
});
const activation = fc.constantFrom("geglu" as const, "gelu" as const).map((kind) => ({ kind }));
const norm = fc.record({
  kind: fc.constantFrom("ada-rms-norm" as const, "ada-layer-norm" as const),
  gate: fc.boolean(),
});
const CROSS_DIM = 5, CROSS_TOKENS = 3;
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
    feedForward: activation,
  }),
  numClasses: fc.constant(0),
  mappingCondDim: fc.constantFrom(0, 4),
  position: fc.constantFrom<HditSpec["position"]>({ kind: "rope" }, { kind: "sincos" }),
  skip: fc.constantFrom<HditSpec["skip"]>(
    { kind: "lerp" },
    { kind: "add" },
    { kind: "concat" },
    { kind: "none" },
  ),
  feedForward: activation,
  norm,
  outNorm: norm.map((norm) => ({ ...norm, gate: false })),
  similarity: fc.constantFrom("cosine" as const, "dot-product" as const),
  patchBottleneck: fc.integer({ min: 1, max: 6 }),
  crossCondDim: fc.constantFrom(0, CROSS_DIM),
  selfConditioning: fc.boolean(),
}).chain((spec) =>
  fc.boolean().map((join): HditSpec => {
    const crossAttention = spec.crossCondDim > 0 ? { crossAttention: { dHead: 8 } } : {};
    const levels = spec.levels.map((level) => ({ ...level, ...crossAttention }));
    const { depth, width, attention } = levels.at(-1)!;
    if (!join || !["global", "none"].includes(attention.kind)) return { ...spec, levels };
    const inContext = { tokens: 3, from: depth - 1 };
    const mapping = { ...spec.mapping, width };
    return { ...spec, levels, mapping, numClasses: 2, inContext };
  })
);

/** Products of queries and keys that tiles hold beside those that see each other: what masks take away again. */
function masked({ levels, patchSize }: HditSpec, size: readonly number[]): number {
  return levels.reduce((sum, { attention, depth, width }, i) => {
    const grid = size.map((side, axis) => side / patchSize[axis] / 2 ** i);
    if (attention.kind !== "neighborhood" && attention.kind !== "sliding-window") return sum;
    const { queries, keys, groups } = attention.kind === "neighborhood"
      ? neighborhoodGroups({ grid, ...attention })
      : slidingWindowGroups({ grid, ...attention });
    const held = queries.length * keys.length / groups;
    const { pairs } = attentionKind(attention);
    const layers = i < levels.length - 1 ? 2 * depth : depth;
    return sum + 2 * width * layers * (held - pairs(attention, { grid, layer: 0 }));
  }, 0);
}

Deno.test("cost() equals the multiply-adds of the products in the recorded graph", async () => {
  await setEngine("onnxruntime");
  const backend = tf.backend() as OnnxRuntimeBackend;
  fc.assert(
    fc.property(spec, fc.constantFrom(2, 4), (spec, scale) => {
      const size = spec.patchSize.map((side) => side * 2 ** (spec.levels.length - 1) * 2 * scale);
      const { width } = spec.mapping, { mappingCondDim, crossCondDim = 0, selfConditioning } = spec;
      const params = initHdit(spec, { seed: 0, stream: "init" });
      const inputs = {
        x: [1, ...size, spec.inChannels],
        sigma: [1],
        ...(spec.numClasses > 0 && { classCond: [1] }),
        ...(mappingCondDim > 0 && { mappingCond: [1, mappingCondDim] }),
        ...(crossCondDim > 0 && { crossCond: [1, CROSS_TOKENS, crossCondDim] }),
        ...(selfConditioning && { selfCond: [1, ...size, spec.outChannels] }),
      };
      const names = Object.keys(inputs);
      const { outputs } = backend.recordCall(
        Object.entries(inputs).map(([name, shape]) => ({
          shape,
          dtype: name === "classCond" ? "int32" : "float32",
        })),
        (tensors) => {
          const given = Object.fromEntries(names.map((name, i) => [name, tensors[i]]));
          return [hdit(params, given as HditInputs, { spec })];
        },
      );
      const { nodes } = subgraph(outputs.map(({ storage }) => storage));
      treeDispose(params);
      const counted = nodes.reduce((sum, node) => sum + products(node), 0);
      // Fourier features and the choice of a class are products as well, which the paper's rule leaves out
      const choice = spec.numClasses > 0 ? spec.numClasses + 1 : 0;
      const uncounted = width / 2 * (1 + AUG_FEATURES) + choice * width + masked(spec, size);
      const { macs } = cost(spec, size, { crossTokens: CROSS_TOKENS });
      assert.equal(counted - uncounted, macs);
    }),
    { numRuns: 80 },
  );
});
