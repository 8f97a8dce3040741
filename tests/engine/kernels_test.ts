/**
 * Every kernel of the engine against tfjs's own `cpu` backend: values, and gradients of what has
 * one, over random shapes with broadcasts, axes of size 0 and 1, negative axes, int32 and bool.
 */
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import type { EngineName } from "../../lib/engine/engine.ts";
import { isTensorflowSetUp } from "../../lib/engine/tensorflow/register.ts";
import {
  assertClose,
  axesOf,
  axisOf,
  broadcastable,
  type Domain,
  type DType,
  type Input,
  input,
  onEngine,
  positiveLength,
  shapes,
  tensor,
} from "./arbitraries.ts";

/** `cpu` computes in double precision and rounds each result; sums here have up to 300 terms. */
const VALUE = 2e-5;
/** A gradient is a chain of some such operations. */
const GRADIENT = 1e-4;
const RUNS = 25;
const SEED = 20231121;

type Setting = { inputs: Input[]; run: (inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[] };
type Case = {
  name: string;
  arbitrary: fc.Arbitrary<Setting>;
  /** Whether tfjs has a gradient for it; asked for only when all inputs are float32. */
  gradient: boolean;
};

// deno-lint-ignore no-explicit-any -- operations are looked up by name
const ops = tf as any;

const floats: readonly DType[] = ["float32"];
const numeric: readonly DType[] = ["float32", "int32"];
const all: readonly DType[] = ["float32", "int32", "bool"];

type Options = {
  dtypes?: readonly DType[];
  domain?: Domain;
  /** The second operand's domain, if it is another. */
  other?: Domain;
  gradient?: boolean;
};

function unary(
  name: string,
  { dtypes = floats, domain = "any", gradient = true }: Options = {},
  run = (x: tf.Tensor): tf.Tensor => ops[name](x),
): Case {
  return {
    name,
    gradient,
    arbitrary: shapes().chain((shape) => input(shape, { dtypes, domain })).map((x) => ({
      inputs: [x],
      run: ([x]) => run(x),
    })),
  };
}

function binary(
  name: string,
  { dtypes = floats, domain = "any", other = domain, gradient = true }: Options = {},
  run = (a: tf.Tensor, b: tf.Tensor): tf.Tensor => ops[name](a, b),
): Case {
  return {
    name,
    gradient,
    arbitrary: broadcastable(2).chain(([a, b]) =>
      fc.tuple(input(a, { dtypes, domain }), input(b, { dtypes, domain: other }))
    ).map((inputs) => ({ inputs, run: ([a, b]) => run(a, b) })),
  };
}

function reduction(
  name: string,
  { dtypes = floats, domain = "any", gradient = true }: Options = {},
): Case {
  return {
    name,
    gradient,
    arbitrary: shapes({ min: 1 }).chain((shape) =>
      fc.record({
        x: input(shape, { dtypes, domain }),
        axes: fc.oneof(axesOf(shape.length), axisOf(shape.length), fc.constant(undefined)),
        keepDims: fc.boolean(),
      })
    ).map(({ x, axes, keepDims }) => ({
      inputs: [x],
      run: ([x]) => ops[name](x, axes, keepDims),
    })),
  };
}

/** A case whose setting is made from a shape. */
function of(
  name: string,
  options: Options & { shape: fc.Arbitrary<number[]> },
  more: (shape: number[]) => fc.Arbitrary<(x: tf.Tensor) => tf.Tensor | tf.Tensor[]>,
): Case {
  const { shape, dtypes = floats, domain = "any", gradient = true } = options;
  return {
    name,
    gradient,
    arbitrary: shape.chain((shape) => fc.tuple(input(shape, { dtypes, domain }), more(shape)))
      .map(([x, run]) => ({ inputs: [x], run: ([x]) => run(x) })),
  };
}

const ranked = (min: number, max = 4) => shapes({ min, max });
const filled = (min: number, max = 4) => shapes({ min, max, axis: positiveLength });

/** Whole numbers below `below`, as an int32 tensor made where it is used. */
function indices(count: number, below: number): fc.Arbitrary<number[]> {
  return fc.array(fc.integer({ min: 0, max: below - 1 }), { minLength: count, maxLength: count });
}
const int32 = (values: number[], shape: number[] = [values.length]) =>
  tf.tensor(values, shape, "int32");

const elementwise: Case[] = [
  unary("abs", { dtypes: numeric }),
  unary("neg", { dtypes: numeric }),
  unary("sign", { dtypes: numeric }),
  unary("square", { dtypes: numeric }),
  unary("exp"),
  unary("expm1"),
  unary("log", { domain: "positive" }),
  unary("log1p", { domain: "positive" }),
  unary("sqrt", { domain: "positive" }),
  unary("rsqrt", { domain: "positive" }),
  unary("reciprocal", { domain: "not zero" }),
  unary("erf"),
  unary("sin"),
  unary("cos"),
  unary("tan", { domain: "unit" }),
  unary("asin", { domain: "unit" }),
  unary("acos", { domain: "unit" }),
  unary("atan"),
  unary("sinh"),
  unary("cosh"),
  unary("tanh"),
  unary("asinh"),
  unary("acosh", { domain: "above one" }),
  unary("atanh", { domain: "unit" }),
  unary("sigmoid"),
  unary("logSigmoid"),
  unary("softplus"),
  unary("relu", { dtypes: numeric }),
  unary("relu6", { dtypes: numeric }),
  unary("elu"),
  unary("selu"),
  unary("floor"),
  unary("ceil"),
  unary("round", { dtypes: numeric }),
  unary("isNaN", { dtypes: numeric, gradient: false }),
  unary("isInf", { dtypes: numeric, gradient: false }),
  unary("isFinite", { dtypes: numeric, gradient: false }),
  unary("logicalNot", { dtypes: ["bool"], gradient: false }),
  unary("zerosLike", { dtypes: all }),
  unary("onesLike", { dtypes: all, gradient: false }),
  unary("step", { dtypes: numeric }, (x) => tf.step(x, 0.25)),
  unary("leakyRelu", { dtypes: numeric }, (x) => tf.leakyRelu(x, 0.3)),
  unary("clipByValue", { dtypes: numeric }, (x) => tf.clipByValue(x, -1, 1)),
  unary("cast to int32", { dtypes: all, gradient: false }, (x) => x.cast("int32")),
  unary("cast to bool", { dtypes: all, gradient: false }, (x) => x.cast("bool")),
  unary("cast to float32", { dtypes: all }, (x) => x.cast("float32")),
  binary("add", { dtypes: numeric }),
  binary("sub", { dtypes: numeric }),
  binary("mul", { dtypes: numeric }),
  binary("div", { dtypes: numeric, other: "not zero" }),
  binary("divNoNan", { dtypes: floats, gradient: false }),
  binary("floorDiv", { dtypes: numeric, other: "not zero", gradient: false }),
  binary("mod", { dtypes: numeric, other: "not zero", gradient: false }),
  binary("pow", { dtypes: floats, domain: "positive" }),
  binary("pow of int32", { dtypes: ["int32"], domain: "any", other: "positive" }, tf.pow),
  binary("maximum", { dtypes: all, domain: "distinct" }),
  binary("minimum", { dtypes: all, domain: "distinct" }),
  // tfjs's gradient forgets to sum over broadcasts
  binary("squaredDifference", { dtypes: numeric, gradient: false }),
  of(
    "squaredDifference of like shapes",
    { shape: shapes() },
    (shape) => input(shape).map((other) => (x) => tf.squaredDifference(x, tensor(other))),
  ),
  binary("atan2", { domain: "not zero" }),
  ...["greater", "greaterEqual", "less", "lessEqual", "equal", "notEqual"].map((name) =>
    binary(name, { dtypes: all, gradient: false })
  ),
  ...["logicalAnd", "logicalOr", "logicalXor"].map((name) =>
    binary(name, { dtypes: ["bool"], gradient: false })
  ),
  binary(
    "prelu",
    { domain: "not zero" },
    (x, alpha) => tf.prelu(tf.add(x, tf.zerosLike(alpha)), alpha),
  ),
  {
    name: "addN",
    gradient: true,
    arbitrary: shapes().chain((shape) => {
      const same = (dtype: DType) =>
        fc.array(input(shape, { dtypes: [dtype] }), { minLength: 1, maxLength: 4 });
      return fc.oneof(same("float32"), same("int32"));
    }).map((inputs) => ({ inputs, run: (xs) => tf.addN(xs) })),
  },
  {
    name: "where",
    gradient: true,
    arbitrary: broadcastable(2, positiveLength).chain(([a, b]) =>
      fc.record({
        inputs: fc.oneof(
          ...all.map((dtype) =>
            fc.tuple(input(a, { dtypes: [dtype] }), input(b, { dtypes: [dtype] }))
          ),
        ),
        condition: input(b, { dtypes: ["bool"] }),
      })
    ).map(({ inputs, condition }) => ({
      inputs,
      run: ([t, e]) => tf.where(tensor(condition).asType("bool"), t, e),
    })),
  },
];

const reductions: Case[] = [
  reduction("sum", { dtypes: all }),
  reduction("mean", { dtypes: all }),
  reduction("prod", { domain: "not zero", gradient: false }),
  of(
    "prod of int32",
    { shape: filled(1, 1), dtypes: ["int32", "bool"] },
    () => fc.constant((x) => tf.prod(x)),
  ),
  reduction("max", { dtypes: numeric, domain: "distinct" }),
  reduction("min", { dtypes: numeric, domain: "distinct" }),
  reduction("all", { dtypes: ["bool"], gradient: false }),
  reduction("any", { dtypes: ["bool"], gradient: false }),
  of(
    "logSumExp",
    { shape: filled(1) },
    (shape) => axesOf(shape.length).map((axes) => (x) => tf.logSumExp(x, axes)),
  ),
  of(
    "prod of one axis",
    { shape: filled(1), domain: "not zero" },
    (shape) =>
      fc.integer({ min: 0, max: shape.length - 1 }).map((axis) => (x) => {
        const perm = [...shape.keys()].filter((i) => i !== axis);
        return tf.prod(tf.transpose(x, [...perm, axis]), shape.length - 1);
      }),
  ),
  ...["argMax", "argMin"].map((name) =>
    of(
      name,
      { shape: filled(1), dtypes: numeric, domain: "any" },
      (shape) => axisOf(shape.length).map((axis) => (x) => ops[name](x, axis)),
    )
  ),
  ...["cumsum", "cumprod"].map((name) =>
    of(
      name,
      { shape: ranked(1), dtypes: numeric, gradient: false },
      (shape) =>
        fc.tuple(fc.integer({ min: 0, max: shape.length - 1 }), fc.boolean(), fc.boolean())
          .map(([axis, exclusive, reverse]) => (x) => ops[name](x, axis, exclusive, reverse)),
    )
  ),
  // tfjs's gradient is right for the last axis alone
  of(
    "cumsum of the last axis",
    { shape: ranked(1) },
    (shape) =>
      fc.tuple(fc.boolean(), fc.boolean()).map(([exclusive, reverse]) => (x) =>
        tf.cumsum(x, shape.length - 1, exclusive, reverse)
      ),
  ),
  of(
    "topk",
    { shape: filled(1), dtypes: numeric, gradient: false },
    (shape) =>
      fc.integer({ min: 1, max: shape[shape.length - 1] }).map((k) => (x) => {
        const { values, indices } = tf.topk(x, k, true);
        return [values, indices];
      }),
  ),
];

const layout: Case[] = [
  of("clone", { shape: ranked(0), dtypes: all }, () => fc.constant((x) => tf.clone(x))),
  of(
    "reshape",
    { shape: ranked(0), dtypes: all },
    (shape) => fc.constant((x) => tf.reshape(x, [...shape].reverse()).reshape([x.size])),
  ),
  of(
    "expandDims",
    { shape: ranked(0, 3), dtypes: all },
    (shape) =>
      fc.integer({ min: -shape.length - 1, max: shape.length }).map((axis) => (x) =>
        tf.expandDims(x, axis)
      ),
  ),
  of(
    "transpose",
    { shape: ranked(0, 5), dtypes: all },
    (shape) =>
      fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }).map((perm) => (x) =>
        tf.transpose(x, perm)
      ),
  ),
  of(
    "slice",
    { shape: ranked(1), dtypes: all },
    (shape) =>
      fc.tuple(
        ...shape.map((dim) =>
          fc.integer({ min: 0, max: dim }).chain((begin) =>
            fc.tuple(fc.constant(begin), fc.integer({ min: 0, max: dim - begin }))
          )
        ),
      ).map((box) => (x) => tf.slice(x, box.map(([begin]) => begin), box.map(([, size]) => size))),
  ),
  of("stridedSlice", { shape: filled(1), dtypes: all, gradient: false }, (shape) =>
    fc.record({
      bounds: fc.tuple(...shape.map((dim) =>
        fc.record({
          begin: fc.integer({ min: -dim, max: dim - 1 }),
          end: fc.integer({ min: -dim, max: dim }),
          stride: fc.constantFrom(1, 2, 3, -1, -2),
        })
      )),
      masks: fc.array(fc.integer({ min: 0, max: 2 ** shape.length - 1 }), {
        minLength: 2,
        maxLength: 2,
      }),
      shrink: fc.constantFrom(0, 1),
    }).map(({ bounds, masks, shrink }) => (x) =>
      tf.stridedSlice(
        x,
        bounds.map(({ begin }) => begin),
        bounds.map(({ end }) => end),
        bounds.map(({ stride }) => shrink ? 1 : stride),
        masks[0],
        masks[1],
        0,
        0,
        shrink,
      )
    )),
  {
    name: "concat",
    gradient: true,
    arbitrary: ranked(1).chain((shape) =>
      fc.record({
        axis: axisOf(shape.length),
        lengths: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }),
        dtype: fc.constantFrom(...all),
        seed: fc.nat(),
      }).map(({ axis, lengths, dtype, seed }) => ({
        inputs: lengths.map((length, i): Input => ({
          shape: shape.with(axis, length),
          dtype,
          domain: "any",
          seed: seed + i,
        })),
        run: (xs: tf.Tensor[]) => tf.concat(xs, axis),
      }))
    ),
  },
  {
    name: "stack",
    gradient: true,
    arbitrary: ranked(0, 3).chain((shape) =>
      fc.record({
        axis: fc.integer({ min: 0, max: shape.length }),
        inputs: fc.array(input(shape), { minLength: 1, maxLength: 3 }),
      }).map(({ axis, inputs }) => ({ inputs, run: (xs: tf.Tensor[]) => tf.stack(xs, axis) }))
    ),
  },
  of(
    "unstack",
    { shape: shapes({ min: 2, axis: fc.integer({ min: 2, max: 4 }) }), dtypes: all },
    (shape) => axisOf(shape.length).map((axis) => (x) => tf.unstack(x, axis)),
  ),
  of(
    "split",
    { shape: ranked(1), dtypes: all },
    (shape) =>
      axisOf(shape.length).chain((axis) =>
        fc.nat(shape.at(axis)!).map((first) => (x: tf.Tensor) =>
          tf.split(x, [first, shape.at(axis)! - first], axis)
        )
      ),
  ),
  of("pad", { shape: ranked(1, 3), dtypes: all }, (shape) =>
    fc.tuple(
      fc.array(fc.tuple(fc.nat(2), fc.nat(2)), {
        minLength: shape.length,
        maxLength: shape.length,
      }),
      fc.constantFrom(0, 1),
    ).map(([paddings, value]) => (x) => tf.pad(x, paddings, value))),
  of(
    "mirrorPad",
    { shape: shapes({ min: 1, max: 3, axis: fc.integer({ min: 2, max: 5 }) }), dtypes: numeric },
    (shape) =>
      fc.constantFrom("reflect" as const, "symmetric" as const).chain((mode) =>
        fc.tuple(...shape.map((dim) => {
          const most = fc.nat(mode === "reflect" ? dim - 1 : dim);
          return fc.tuple(most, most);
        })).map((paddings) => (x: tf.Tensor) => tf.mirrorPad(x, paddings, mode))
      ),
  ),
  of(
    "tile",
    { shape: ranked(1, 3), dtypes: all },
    (shape) =>
      fc.array(fc.integer({ min: 1, max: 3 }), { minLength: shape.length, maxLength: shape.length })
        .map((reps) => (x) => tf.tile(x, reps)),
  ),
  {
    name: "broadcastTo",
    gradient: true,
    arbitrary: filled(0).chain((shape) =>
      fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }).chain((ones) =>
        input(shape.map((dim, i) => ones[i] ? 1 : dim))
      ).map((x) => ({ inputs: [x], run: ([x]: tf.Tensor[]) => tf.broadcastTo(x, shape) }))
    ),
  },
  of(
    "reverse",
    { shape: ranked(0), dtypes: all },
    (shape) => axesOf(shape.length).map((axes) => (x) => tf.reverse(x, axes)),
  ),
  of("spaceToBatchND", {
    shape: fc.tuple(positiveLength, positiveLength, positiveLength).map((
      [b, h, c],
    ) => [b, 2 * h, 4, c]),
  }, () => fc.constant((x) => tf.spaceToBatchND(x, [2, 2], [[0, 0], [1, 1]]))),
  of("batchToSpaceND", {
    shape: fc.tuple(positiveLength, positiveLength, positiveLength).map((
      [b, h, c],
    ) => [4 * b, h, 3, c]),
  }, () => fc.constant((x) => tf.batchToSpaceND(x, [2, 2], [[0, 1], [1, 0]]))),
  of("depthToSpace", {
    shape: fc.tuple(positiveLength, positiveLength, positiveLength).map((
      [b, h, c],
    ) => [b, h, 3, 4 * c]),
    gradient: false,
  }, () => fc.constant((x) => tf.depthToSpace(x as tf.Tensor4D, 2, "NHWC"))),
];

const creation: Case[] = [
  {
    name: "fill, range and linspace",
    gradient: false,
    arbitrary: fc.record({
      shape: shapes(),
      value: fc.integer({ min: -3, max: 3 }),
      dtype: fc.constantFrom(...numeric),
      stop: fc.integer({ min: -9, max: 9 }),
      step: fc.constantFrom(0.3, 1, 2.5),
      count: fc.integer({ min: 1, max: 9 }),
    }).map(({ shape, value, dtype, stop, step, count }) => ({
      inputs: [],
      run: () => [
        tf.fill(shape, value, dtype),
        tf.range(0, stop, stop < 0 ? -step : step),
        tf.range(0, stop, stop < 0 ? -2 : 2, "int32"),
        tf.linspace(-1, stop, count),
      ],
    })),
  },
];

const indexing: Case[] = [
  of(
    "gather",
    { shape: filled(1), dtypes: all },
    (shape) =>
      axisOf(shape.length).chain((axis) =>
        shapes({ max: 2 }).chain((at) =>
          indices(at.reduce((a, b) => a * b, 1), shape.at(axis)!).map((values) => (x: tf.Tensor) =>
            tf.gather(x, int32(values, at), axis)
          )
        )
      ),
  ),
  of(
    "gather in batches",
    { shape: filled(2), dtypes: all, gradient: false },
    (shape) =>
      fc.integer({ min: 1, max: shape.length - 1 }).chain((axis) =>
        fc.integer({ min: 1, max: axis }).chain((batchDims) => {
          const at = [...shape.slice(0, batchDims), 3];
          return indices(at.reduce((a, b) => a * b, 1), shape[axis]).map(
            (values) => (x: tf.Tensor) => tf.gather(x, int32(values, at), axis, batchDims),
          );
        })
      ),
  ),
  of(
    "gatherND",
    { shape: filled(1), dtypes: all, gradient: false },
    (shape) =>
      fc.integer({ min: 1, max: shape.length }).chain((depth) =>
        fc.array(fc.tuple(...shape.slice(0, depth).map((dim) => fc.nat(dim - 1))), {
          minLength: 1,
          maxLength: 4,
        }).map((rows) => (x: tf.Tensor) => tf.gatherND(x, int32(rows.flat(), [rows.length, depth])))
      ),
  ),
  of(
    "scatterND",
    { shape: filled(1, 3), dtypes: numeric, gradient: false },
    ([count]) =>
      indices(count, 4).map((values) => (x) =>
        tf.scatterND(int32(values, [count, 1]), x, [4, ...x.shape.slice(1)])
      ),
  ),
  of(
    "tensorScatterUpdate",
    { shape: filled(2, 3), dtypes: all, gradient: false },
    (shape) =>
      fc.shuffledSubarray([...Array(shape[0]).keys()], { minLength: 1 }).map((rows) => (x) =>
        tf.tensorScatterUpdate(
          x,
          int32(rows, [rows.length, 1]),
          tf.ones([rows.length, ...shape.slice(1)], x.dtype),
        )
      ),
  ),
  of(
    "sparseToDense",
    { shape: filled(1, 1), dtypes: numeric, gradient: false },
    ([count]) =>
      fc.shuffledSubarray([...Array(12).keys()], { minLength: count, maxLength: count }).map(
        (places) => (x) =>
          tf.sparseToDense(
            int32(places.flatMap((place) => [Math.floor(place / 4), place % 4]), [count, 2]),
            x,
            [3, 4],
            tf.scalar(7, x.dtype),
          ),
      ),
  ),
  of(
    "unsortedSegmentSum",
    { shape: filled(1, 3), dtypes: floats },
    ([count]) =>
      fc.array(fc.integer({ min: -1, max: 4 }), { minLength: count, maxLength: count }).map(
        (segments) => (x) => tf.unsortedSegmentSum(x, tf.tensor1d(segments, "int32"), 5),
      ),
  ),
  {
    name: "oneHot",
    gradient: false,
    arbitrary: shapes({ max: 3 }).chain((shape) =>
      fc.record({
        x: input(shape, { dtypes: ["int32"] }),
        depth: fc.integer({ min: 2, max: 5 }),
        on: fc.constantFrom(1, 3),
        dtype: fc.constantFrom(...all),
      })
    ).map(({ x, depth, on, dtype }) => ({
      inputs: [x],
      run: ([x]) => tf.oneHot(x, depth, dtype === "bool" ? 1 : on, 0, dtype),
    })),
  },
];

/** Two factors of a matrix product, with batch axes that broadcast. */
const factors = (shared: boolean) =>
  fc.record({
    batch: shapes({ max: 2, axis: positiveLength }),
    sizes: fc.tuple(
      ...Array(3).fill(fc.oneof(
        { weight: 9, arbitrary: positiveLength },
        { weight: 1, arbitrary: fc.constant(0) },
      )) as fc.Arbitrary<number>[],
    ),
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    dtype: fc.constantFrom(...numeric),
  }).chain(({ batch, sizes: [m, k, n], transposeA, transposeB, dtype }) =>
    fc.tuple(
      input([...batch, ...(transposeA ? [k, m] : [m, k])], { dtypes: [dtype] }),
      input([...(shared ? batch.map(() => 1) : batch), ...(transposeB ? [n, k] : [k, n])], {
        dtypes: [dtype],
      }),
    ).map((inputs) => ({
      inputs,
      run: ([a, b]: tf.Tensor[]) => tf.matMul(a, b, transposeA, transposeB),
    }))
  );

const products: Case[] = [
  { name: "matMul", gradient: true, arbitrary: factors(false) },
  { name: "matMul of broadcast batches", gradient: false, arbitrary: factors(true) }, // not in tfjs
  {
    name: "fused.matMul",
    gradient: true,
    arbitrary: fc.record({
      sizes: fc.tuple(positiveLength, positiveLength, positiveLength),
      activation: fc.constantFrom("linear" as const, "relu" as const, "relu6" as const),
      seed: fc.nat(),
    }).map(({ sizes: [m, k, n], activation, seed }) => ({
      inputs: [[m, k], [k, n], [n]].map((shape, i): Input => ({
        shape,
        dtype: "float32",
        domain: "any",
        seed: seed + i,
      })),
      run: ([a, b, bias]: tf.Tensor[]) => tf.fused.matMul({ a, b, bias, activation }),
    })),
  },
  {
    name: "fused.matMul with other activations",
    gradient: false,
    arbitrary: fc.constantFrom("elu", "sigmoid", "prelu", "leakyrelu").chain((activation) =>
      fc.tuple(input([3, 4]), input([4, 2]), input([2])).map((inputs) => ({
        inputs,
        run: ([a, b, alpha]: tf.Tensor[]) =>
          tf.fused.matMul({
            a,
            b,
            activation: activation as "elu",
            leakyreluAlpha: 0.1,
            ...(activation === "prelu" ? { preluActivationWeights: alpha } : {}),
          }),
      }))
    ),
  },
  {
    name: "einsum",
    gradient: false,
    arbitrary: fc.tuple(
      fc.constantFrom(
        ["ij,jk->ik", "ij", "jk"],
        ["bij,bkj->bik", "bij", "bkj"],
        ["ij,ij->", "ij", "ij"],
        ["bhqd,bhkd->bhqk", "bhqd", "bhkd"],
        ["ij->ji", "ij"],
      ),
      fc.array(positiveLength, { minLength: 8, maxLength: 8 }),
    ).chain(([[equation, ...operands], lengths]) => {
      const shapeOf = (letters: string) =>
        [...letters].map((letter) => lengths["bhijkqd".indexOf(letter)]);
      return fc.tuple(...operands.map((letters) => input(shapeOf(letters)))).map((inputs) => ({
        inputs,
        run: (xs: tf.Tensor[]) => tf.einsum(equation, ...xs),
      }));
    }),
  },
  of("softmax", { shape: filled(1) }, () => fc.constant((x) => tf.softmax(x))),
  of("logSoftmax", { shape: filled(1) }, () => fc.constant((x) => tf.logSoftmax(x))),
  of("batchNorm", { shape: filled(4, 4) }, (shape) => {
    const vector = () => input([shape[3]]);
    return fc.tuple(vector(), input([shape[3]], { domain: "positive" }), vector(), vector()).map(
      ([mean, variance, offset, scale]) => (x) =>
        tf.batchNorm(x, tensor(mean), tensor(variance), tensor(offset), tensor(scale), 1e-2),
    );
  }),
];

type Window = {
  image: [number, number, number, number];
  filter: [number, number];
  strides: [number, number];
  pad: "same" | "valid" | number;
  rounding: "floor" | "ceil" | undefined;
};

/** Images with windows that fit. */
const windows: fc.Arbitrary<Window> = fc.record({
  batch: fc.integer({ min: 1, max: 2 }),
  sides: fc.tuple(fc.integer({ min: 3, max: 8 }), fc.integer({ min: 3, max: 8 })),
  channels: fc.integer({ min: 1, max: 3 }),
  filter: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
  strides: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
  pad: fc.constantFrom("same" as const, "valid" as const, 1),
  rounding: fc.constantFrom("floor" as const, "ceil" as const),
}).map(({ batch, sides, channels, filter, strides, pad, rounding }) => {
  const image: Window["image"] = [batch, ...sides, channels];
  // a number of pixels is for square windows in tfjs, and windows in the padding alone no use
  const square = filter[0] === filter[1] && strides[0] === strides[1] && filter[0] > 1;
  if (pad !== 1) return { image, filter, strides, pad, rounding: undefined };
  if (!square) return { image, filter, strides, pad: "same", rounding: undefined };
  return { image, filter, strides, pad, rounding };
});

function convolution(
  name: string,
  filterShape: (window: Window, out: number) => number[],
  run: (x: tf.Tensor, filter: tf.Tensor, window: Window) => tf.Tensor,
): Case {
  return {
    name,
    gradient: true,
    arbitrary: fc.tuple(windows, fc.integer({ min: 1, max: 3 })).chain(([window, out]) =>
      fc.tuple(input(window.image), input(filterShape(window, out))).map((inputs) => ({
        inputs,
        run: ([x, filter]: tf.Tensor[]) => run(x, filter, window),
      }))
    ),
  };
}

const image = (x: tf.Tensor) => x as tf.Tensor4D;

const vision: Case[] = [
  convolution(
    "conv2d",
    ({ image, filter }, out) => [...filter, image[3], out],
    (x, filter, { strides, pad, rounding }) =>
      tf.conv2d(image(x), image(filter), strides, pad, "NHWC", 1, rounding),
  ),
  convolution(
    "conv2d of pixels",
    ({ image }, out) => [1, 1, image[3], out],
    (x, filter, { strides }) => tf.conv2d(image(x), image(filter), strides, "same"),
  ),
  {
    ...convolution(
      "conv2d with dilation",
      ({ image }, out) => [2, 2, image[3], out],
      (x, filter) => tf.conv2d(image(x), image(filter), 1, "same", "NHWC", [2, 1]),
    ),
    gradient: false,
  },
  convolution(
    "conv2d of planes",
    ({ image, filter }, out) => [...filter, image[3], out],
    (x, filter, { strides, pad, rounding }) =>
      tf.conv2d(
        image(tf.transpose(x, [0, 3, 1, 2])),
        image(filter),
        strides,
        pad,
        "NCHW",
        1,
        rounding,
      ),
  ),
  convolution(
    "depthwiseConv2d",
    ({ image, filter }, out) => [...filter, image[3], out],
    (x, filter, { strides: [stride], pad, rounding }) =>
      tf.depthwiseConv2d(image(x), image(filter), stride, pad, "NHWC", 1, rounding),
  ),
  convolution(
    "fused.conv2d",
    ({ image, filter }, out) => [...filter, image[3], out],
    (x, filter, { strides, pad, rounding }) =>
      tf.fused.conv2d({
        x: image(x),
        filter: image(filter),
        strides,
        pad,
        ...(rounding ? { dimRoundingMode: rounding } : {}),
        bias: tf.tensor1d([0.1, -0.2, 0.3].slice(0, filter.shape[3])),
        activation: "relu",
      }),
  ),
  convolution(
    "fused.depthwiseConv2d",
    ({ image, filter }) => [...filter, image[3], 1],
    (x, filter, { strides: [stride] }) =>
      tf.fused.depthwiseConv2d({
        x: image(x),
        filter: image(filter),
        strides: stride,
        pad: "same",
        activation: "relu6",
      }),
  ),
  {
    name: "conv2dTranspose",
    gradient: true,
    arbitrary: windows.filter(({ pad }) => typeof pad === "string").chain((window) => {
      const { image: [batch, height, width, channels], filter, strides, pad } = window;
      const out = tf.backend_util.computeConv2DInfo(
        [batch, height, width, channels],
        [...filter, channels, 2],
        strides,
        1,
        pad,
      ).outShape;
      return fc.tuple(input(out), input([...filter, channels, 2])).map((inputs) => ({
        inputs,
        run: ([y, filter]: tf.Tensor[]) =>
          tf.conv2dTranspose(image(y), image(filter), window.image, strides, pad),
      }));
    }),
  },
  {
    name: "maxPool",
    gradient: true,
    arbitrary: windows.chain(({ image: shape, filter, strides, pad, rounding }) =>
      input(shape, { domain: "distinct" }).map((x) => ({
        inputs: [x],
        run: ([x]: tf.Tensor[]) => tf.maxPool(image(x), filter, strides, pad, rounding),
      }))
    ),
  },
  {
    name: "avgPool without padding",
    gradient: true,
    arbitrary: windows.chain(({ image: shape, filter, strides }) =>
      input(shape).map((x) => ({
        inputs: [x],
        run: ([x]: tf.Tensor[]) => tf.avgPool(image(x), filter, strides, "valid"),
      }))
    ),
  },
  {
    name: "avgPool with padding",
    gradient: false, // of tfjs's `cpu` is not the function's: see below
    arbitrary: windows.chain(({ image: shape, filter, strides, pad, rounding }) =>
      input(shape).map((x) => ({
        inputs: [x],
        run: ([x]: tf.Tensor[]) => tf.avgPool(image(x), filter, strides, pad, rounding),
      }))
    ),
  },
  ...(["resizeBilinear", "resizeNearestNeighbor"] as const).map((name): Case => ({
    name: `image.${name}`,
    gradient: false, // as above
    arbitrary: fc.record({
      x: filled(4, 4).chain((shape) => input(shape)),
      size: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
      grid: fc.constantFrom([false, false], [true, false], [false, true]),
    }).map(({ x, size, grid: [corners, centres] }) => ({
      inputs: [x],
      run: ([x]) => tf.image[name](image(x), size, corners, centres),
    })),
  })),
  ...(["resizeBilinear", "resizeNearestNeighbor"] as const).map((name): Case => ({
    name: `image.${name} of a square`,
    gradient: true, // right in `cpu` for one square without halfPixelCenters
    arbitrary: fc.record({
      x: fc.tuple(fc.integer({ min: 2, max: 5 }), positiveLength).chain(([side, channels]) =>
        input([1, side, side, channels])
      ),
      size: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
      corners: fc.boolean(),
    }).map(({ x, size, corners }) => ({
      inputs: [x],
      run: ([x]) => tf.image[name](image(x), size, corners),
    })),
  })),
  {
    name: "image.flipLeftRight",
    gradient: false,
    arbitrary: filled(4, 4).chain((shape) => input(shape)).map((x) => ({
      inputs: [x],
      run: ([x]) => tf.image.flipLeftRight(image(x)),
    })),
  },
];

/** Σ weights · outputs, so that each element of each output counts differently. */
function weighted(outputs: tf.Tensor[]): tf.Scalar {
  const sums = outputs.map((out, i) =>
    tf.sum(tf.mul(
      tf.cast(out, "float32"),
      tensor({ shape: out.shape, dtype: "float32", domain: "any", seed: 77 + i }),
    ))
  );
  return tf.addN(sums).asScalar();
}

const cases = [
  ...elementwise,
  ...reductions,
  ...layout,
  ...creation,
  ...indexing,
  ...products,
  ...vision,
];

async function checkCase(engine: EngineName, { arbitrary, gradient }: Case): Promise<void> {
  await fc.assert(
    fc.asyncProperty(arbitrary, async ({ inputs, run }) => {
      const outputs = (xs: tf.Tensor[]) => [run(xs)].flat();
      const differentiable = gradient && inputs.every(({ dtype }) => dtype === "float32");
      const compute = () => {
        const xs = inputs.map(tensor);
        const values = outputs(xs);
        if (!differentiable) return values;
        return [...values, ...tf.grads((...xs) => weighted(outputs(xs)))(xs)];
      };
      const expected = await onEngine("cpu", compute);
      const actual = await onEngine(engine, compute);
      const values = actual.length - (differentiable ? inputs.length : 0);
      actual.forEach((numbers, i) =>
        assertClose(numbers, expected[i], i < values ? VALUE : GRADIENT)
      );
    }),
    { numRuns: RUNS, seed: SEED },
  );
}

for (const engine of ["onnxruntime", "tensorflow"] as const) {
  for (const each of cases) {
    const what = each.gradient ? "values and gradients" : "values";
    Deno.test({
      name: `${each.name} gives ${what} of tfjs's cpu on ${engine}`,
      ignore: engine === "tensorflow" && !isTensorflowSetUp(), // tensorflow_test.ts says how
      fn: () => checkCase(engine, each),
    });
  }
}
