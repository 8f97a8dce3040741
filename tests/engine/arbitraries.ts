/** Random tensors for properties, as plain data that any engine can be given. */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type EngineName, setEngine } from "../../lib/engine/engine.ts";
import { uniforms } from "../../lib/engine/random.ts";

export type DType = "float32" | "int32" | "bool";
/** What the numbers of a tensor are drawn from; "distinct" has no two alike, for maxima. */
export type Domain = "any" | "positive" | "unit" | "above one" | "distinct" | "not zero";
export type Input = { shape: number[]; dtype: DType; domain: Domain; seed: number };

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function draw({ shape, dtype, domain, seed }: Input): number[] {
  const u = [...uniforms({ seed, stream: "kernels" }, 0, size(shape))];
  if (dtype === "bool") return u.map((v) => v < 0.5 ? 0 : 1);
  if (dtype === "int32") {
    switch (domain) {
      case "positive":
      case "above one":
        return u.map((v) => Math.floor(v * 5) + 1);
      case "not zero":
        return u.map((v) => (Math.floor(v * 5) + 1) * (v * 64 % 1 < 0.5 ? 1 : -1));
      default:
        return u.map((v) => Math.floor(v * 13) - 6);
    }
  }
  switch (domain) {
    case "any":
      return u.map((v) => 4 * v - 2);
    case "positive":
      return u.map((v) => 0.2 + 2 * v);
    case "unit":
      return u.map((v) => 1.8 * v - 0.9);
    case "above one":
      return u.map((v) => 1.1 + 2 * v);
    case "not zero":
      return u.map((v) => (0.5 + v) * (v * 64 % 1 < 0.5 ? 1 : -1));
    case "distinct": {
      const order = [...u.keys()].sort((i, j) => u[i] - u[j]);
      return order.map((place) => place / 8 - 1);
    }
  }
}

/** The tensor on the engine in use. */
export function tensor(input: Input): tf.Tensor {
  return tf.tensor(draw(input), input.shape, input.dtype);
}

/** The length of an axis: often 1, sometimes 0. */
export const axisLength = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 2, max: 5 }) },
  { weight: 3, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.constant(0) },
);
export const positiveLength = fc.integer({ min: 1, max: 5 });

export function shapes(
  { min = 0, max = 4, axis = axisLength }: {
    min?: number;
    max?: number;
    axis?: fc.Arbitrary<number>;
  } = {},
): fc.Arbitrary<number[]> {
  return fc.array(axis, { minLength: min, maxLength: max });
}

export function input(
  shape: number[],
  { dtypes = ["float32"], domain = "any" }: { dtypes?: readonly DType[]; domain?: Domain } = {},
): fc.Arbitrary<Input> {
  return fc.record({
    shape: fc.constant(shape),
    dtype: fc.constantFrom(...dtypes),
    domain: fc.constant(domain),
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
  });
}

/** Shapes that broadcast to a common one. */
export function broadcastable(count: number, axis = axisLength): fc.Arbitrary<number[][]> {
  return shapes({ max: 4, axis }).chain((shape) =>
    fc.tuple(
      ...Array.from({ length: count }, () =>
        fc.tuple(
          fc.integer({ min: 0, max: shape.length }),
          fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
        ).map(([dropped, ones]) =>
          shape.map((dim, i) => ones[i] && i % 2 === 0 ? 1 : dim).slice(dropped)
        )),
    )
  );
}

/** An axis of a shape, counted from either end. */
export function axisOf(rank: number): fc.Arbitrary<number> {
  return fc.integer({ min: -rank, max: rank - 1 });
}

/** Some axes of a shape, each once, in any order, counted from either end. */
export function axesOf(rank: number, minLength = 0): fc.Arbitrary<number[]> {
  return fc.shuffledSubarray([...Array(rank).keys()], { minLength }).chain((axes) =>
    fc.array(fc.boolean(), { minLength: axes.length, maxLength: axes.length })
      .map((flip) => axes.map((axis, i) => flip[i] ? axis - rank : axis))
  );
}

export type Numbers = { shape: number[]; dtype: string; values: number[] };

/** What `fn` computes on an engine, read. */
export async function onEngine(name: EngineName, fn: () => tf.Tensor[]): Promise<Numbers[]> {
  await setEngine(name);
  let numbers: Numbers[] = [];
  tf.tidy(() => {
    numbers = fn().map((t) => ({
      shape: t.shape,
      dtype: t.dtype,
      values: [...t.dataSync()].map(Number),
    }));
  });
  return numbers;
}

export function assertClose(actual: Numbers, expected: Numbers, tolerance: number): void {
  assert.deepEqual(actual.shape, expected.shape, "shape");
  assert.equal(actual.dtype, expected.dtype, "dtype");
  assert.equal(actual.values.length, expected.values.length, "size");
  expected.values.forEach((wanted, i) => {
    const got = actual.values[i];
    if (Object.is(got, wanted) || got === wanted) return;
    const bound = expected.dtype === "float32" ? tolerance * (1 + Math.abs(wanted)) : 0;
    assert.ok(
      Math.abs(got - wanted) <= bound,
      `element ${i} of [${expected.shape}]: ${got}, and ${wanted} on cpu`,
    );
  });
}
