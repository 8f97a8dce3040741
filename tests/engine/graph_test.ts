/** The written model and the key of a graph's structure. */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import fc from "fast-check";
import { setEngine } from "../../lib/engine/engine.ts";
import { OnnxRuntimeBackend } from "../../lib/engine/onnxruntime/backend.ts";
import {
  type Constant,
  int64s,
  lower,
  type Operand,
  scalar,
  structureKey,
  subgraph,
} from "../../lib/engine/onnxruntime/graph.ts";
import { encodeModel } from "../../lib/engine/onnxruntime/proto.ts";
import { Session } from "../../lib/engine/onnxruntime/session.ts";

await setEngine("onnxruntime");

const recorder = new OnnxRuntimeBackend();
const leaf = (shape: number[]): Operand =>
  recorder.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, "float32");

/** Runs the graph of one output. */
function run(output: Operand): number[] {
  const lowered = lower(subgraph([output.storage]), () => true);
  const session = new Session(lowered);
  const result = [...session.run({})[lowered.fetches[0].name].data].map(Number);
  session.release();
  return result;
}

Deno.test("encodeModel() writes whole numbers of any sign and size as ONNX Runtime reads them", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        fc.constantFrom(0, 1, -1, 127, 128, -128, 2 ** 31 - 1, -(2 ** 31)),
      ),
      (number) => { // as an attribute
        const out = recorder.record("Constant", [], {
          shape: [2],
          dtype: "int32",
          attributes: { value_ints: [number, 5] },
        });
        const narrow = recorder.record("Cast", [out], {
          shape: [2],
          dtype: "int32",
          attributes: { to: 6 },
        });
        assert.deepEqual(run(narrow), [number, 5]);
      },
    ),
    { numRuns: 30, seed: 4 },
  );
});

Deno.test("encodeModel() writes attributes beyond 32 bits", () => {
  for (const number of [2 ** 31, 2 ** 40 + 3, -(2 ** 40) - 3, Number.MAX_SAFE_INTEGER]) {
    const out = recorder.record("Constant", [], {
      shape: [1],
      dtype: "int32",
      attributes: { value_ints: [number] },
    });
    const equal = recorder.record("Equal", [out, int64s([number])], { shape: [1], dtype: "bool" });
    assert.deepEqual(run(equal), [1], `${number}`);
  }
});

Deno.test("encodeModel() writes floats, strings and constants of each type", () => {
  const x = scalar(-2);
  const leaky = recorder.record("LeakyRelu", [x], {
    shape: [],
    dtype: "float32",
    attributes: { alpha: { float: 0.25 } },
  });
  assert.deepEqual(run(leaky), [-0.5]);
  const product = recorder.record("Einsum", [leaf([2, 3]), leaf([3, 2])], {
    shape: [2, 2],
    dtype: "float32",
    attributes: { equation: "ij,jk->ik" },
  });
  assert.deepEqual(run(product), [0, 0, 0, 0]);
  const constants: Constant[] = [
    scalar(1),
    scalar(-7, "int32"),
    scalar(1, "bool"),
    scalar(250, "uint8"),
    scalar(2 ** 40, "int64"),
    scalar(0.1, "float64"),
  ];
  assert.deepEqual(
    constants.map((constant) =>
      run(recorder.record("Cast", [constant], {
        shape: [],
        dtype: "float32",
        attributes: { to: 1 },
      }))[0]
    ),
    [1, -7, 1, 250, 2 ** 40, Math.fround(0.1)],
  );
});

Deno.test("encodeModel() grows beyond its first buffer", () => {
  const big = recorder.constant(new Float32Array(100_000).fill(3), [100_000], "float32");
  const sum = recorder.record("ReduceSum", [big, int64s([0])], {
    shape: [],
    dtype: "float32",
    attributes: { keepdims: 0 },
  });
  const { model } = lower(subgraph([sum.storage]), () => true);
  assert.ok(encodeModel(model).length > 400_000);
  assert.deepEqual(run(sum), [300_000]);
});

type Recipe = {
  shape: number[];
  op: string;
  axis: number;
  scale: number;
  twice: boolean;
  view: boolean;
};

function build({ shape, op, axis, scale, twice, view }: Recipe): string {
  const x = leaf(shape), y = twice ? x : leaf(shape);
  const out = { shape, dtype: "float32" as const };
  const a = recorder.record(op, [x, y], out);
  const b = recorder.record("Mul", [a, scalar(scale)], out);
  const seen = view ? { ...b, shape: [...shape].reverse() } : b;
  const c = recorder.record("Softmax", [seen], {
    ...out,
    shape: seen.shape,
    attributes: { axis },
  });
  return structureKey(subgraph([c.storage]));
}

const recipes: fc.Arbitrary<Recipe> = fc.record({
  shape: fc.constantFrom([2, 3], [3, 2], [1, 6]),
  op: fc.constantFrom("Add", "Sub"),
  axis: fc.constantFrom(0, 1),
  scale: fc.constantFrom(1, 2, 0.1, 0.30000001192092896),
  twice: fc.boolean(),
  view: fc.boolean(),
});

Deno.test("structureKey() is equal for equal structures and differs for different ones", () => {
  fc.assert(
    fc.property(recipes, recipes, (a, b) => {
      assert.equal(build(a), build(a));
      assert.equal(build(a) === build(b), JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 400, seed: 5 },
  );
});

Deno.test("structureKey() tells operands' order, outputs' order, dtypes and optional inputs", () => {
  const out = { shape: [2], dtype: "float32" as const };
  const x = leaf([2]), y = leaf([2]);
  const sum = recorder.record("Add", [x, y], out), difference = recorder.record("Sub", [x, y], out);
  const key = (...outputs: Operand[]) => structureKey(subgraph(outputs.map((o) => o.storage)));
  assert.notEqual(key(sum, difference), key(difference, sum));
  assert.notEqual(key(sum), key(sum, difference));
  const clip = (...bounds: (Constant | undefined)[]) =>
    key(recorder.record("Clip", [x, ...bounds], out));
  assert.notEqual(clip(scalar(0)), clip(undefined, scalar(0)));
  assert.notEqual(clip(scalar(0)), clip(scalar(-0)));
  assert.notEqual(clip(int64s([1, 2])), clip(int64s([12])));
  const ints = recorder.constant(new Int32Array(2), [2], "int32");
  assert.notEqual(
    key(recorder.record("Abs", [x], out)),
    key(recorder.record("Abs", [ints], { ...out, dtype: "int32" })),
  );
});

Deno.test("subgraph() holds each node once, inputs before the nodes that use them", () => {
  const out = { shape: [2], dtype: "float32" as const };
  let x = leaf([2]);
  for (let i = 0; i < 60; i++) x = recorder.record("Add", [x, x], out); // 2^60 paths
  const { nodes, leaves } = subgraph([x.storage]);
  assert.equal(nodes.length, 60);
  assert.equal(leaves.length, 1);
  assert.ok(nodes.every(({ id }, i) => i === 0 || nodes[i - 1].id < id));
});

Deno.test("lower() writes a view once, and none where the shape is the same", () => {
  const x = leaf([2, 3]);
  const out = { shape: [6], dtype: "float32" as const };
  const flat = { ...x, shape: [6] };
  const sum = recorder.record("Add", [flat, flat], out);
  const ops = lower(subgraph([sum.storage]), () => false).model.nodes.map(({ op }) => op);
  assert.deepEqual(ops, ["Reshape", "Add"]);
});

Deno.test("tensors of tfjs keep NaN, infinities and the sign of zero through a graph", () => {
  tf.tidy(() => {
    const given = [NaN, Infinity, -Infinity, -0, 1.5];
    const got = [...tf.tensor1d(given).mul(1).dataSync()];
    given.forEach((value, i) => assert.ok(Object.is(got[i], value), `${value}: ${got[i]}`));
  });
});
