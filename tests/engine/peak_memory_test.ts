import assert from "node:assert/strict";
import { executionOrder, graphPeak } from "../../lib/engine/onnxruntime/peak_memory.ts";
import type { ModelProto, NodeProto } from "../../lib/engine/onnxruntime/proto.ts";

const node = (op: string, inputs: string[], output: string): NodeProto => ({
  op,
  domain: "",
  inputs,
  outputs: [output],
  attributes: {},
});
const model = (nodes: NodeProto[], outputs: string[]): ModelProto => ({
  nodes,
  initializers: [],
  inputs: [{ name: "x", type: "float32", dims: [4] }],
  outputs: outputs.map((name) => ({ name, type: "float32", dims: [4] })),
});
const sizes = (bytes: Record<string, number>) => (name: string) => ({
  shape: [bytes[name] / 4],
  bytes: bytes[name],
});

Deno.test("executionOrder() runs a node after its inputs, the latest input first", () => {
  const nodes = [
    node("Neg", ["x"], "a"),
    node("Exp", ["x"], "b"),
    node("Add", ["a", "b"], "c"),
    node("Log", ["x"], "d"),
  ];
  assert.deepEqual(executionOrder(nodes), [3, 1, 0, 2]);
});

Deno.test("graphPeak() holds a result from its node to its last use", () => {
  const nodes = [
    node("MatMul", ["x", "x"], "a"),
    node("MatMul", ["a", "x"], "b"),
    node("MatMul", ["b", "x"], "c"),
  ];
  const { bytes, held } = graphPeak(model(nodes, ["c"]), sizes({ a: 100, b: 40, c: 20 }));
  assert.equal(bytes, 140);
  assert.deepEqual(held, [{ name: "a", bytes: 100 }, { name: "b", bytes: 40 }]);
});

Deno.test("graphPeak() lets a sum take its operand's place, but not where it is needed again", () => {
  const sum = (again: string[]) => [
    node("MatMul", ["x", "x"], "a"),
    node("Add", ["a", "x"], "b"),
    node("MatMul", ["b", "x", ...again], "c"),
  ];
  const size = sizes({ a: 100, b: 100, c: 20 });
  assert.equal(graphPeak(model(sum([]), ["c"]), size).bytes, 120);
  assert.equal(graphPeak(model(sum(["a"]), ["c"]), size).bytes, 220);
});

Deno.test("graphPeak() counts a reshaped result once, for as long as either name is needed", () => {
  const nodes = [
    node("MatMul", ["x", "x"], "a"),
    node("Reshape", ["a", "s"], "a2"),
    node("MatMul", ["a", "x"], "b"),
    node("MatMul", ["b", "a2"], "c"),
  ];
  assert.equal(graphPeak(model(nodes, ["c"]), sizes({ a: 100, b: 40, c: 20 })).bytes, 160);
});

Deno.test("graphPeak() leaves out what follows from constants alone", () => {
  const nodes = [node("Exp", ["k"], "a"), node("MatMul", ["x", "a"], "b")];
  const given = model(nodes, ["b"]);
  const constant = { name: "k", type: "float32", dims: [4], bytes: new Uint8Array(16) } as const;
  const { bytes, constantBytes } = graphPeak(
    { ...given, initializers: [constant] },
    sizes({ a: 16, b: 24 }),
  );
  assert.deepEqual({ bytes, constantBytes }, { bytes: 24, constantBytes: 16 });
});
