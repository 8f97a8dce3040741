/** What the comparison with `cpu` cannot say: known values, and gradients that `cpu` has wrong. */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import fc from "fast-check";
import { setEngine } from "../../lib/engine/engine.ts";
import { compile } from "../../lib/engine/compile.ts";
import { kernelNames } from "../../lib/engine/onnxruntime/register.ts";
import { tensor } from "./arbitraries.ts";

/** Two float32 sums of some hundred terms in different orders. */
const ADJOINT = 1e-4;

await setEngine("onnxruntime");

const values = (t: tf.Tensor) => tf.tidy(() => [...t.dataSync()]);

Deno.test("div() of int32 by 0 gives 0 as in JavaScript, and does not end the process", () => {
  const a = tf.tensor1d([7, -7, 0], "int32"), zero = tf.zeros([3], "int32");
  assert.deepEqual(values(tf.div(a, zero)), [0, 0, 0]);
  assert.deepEqual(values(tf.floorDiv(a, zero)), [0, 0, 0]);
  assert.deepEqual(values(tf.mod(a, zero)), [0, 0, 0]);
});

Deno.test("floorDiv() and mod() round down and take the divisor's sign", () => {
  const a = tf.tensor1d([7, -7, 7, -7], "int32"), b = tf.tensor1d([2, 2, -2, -2], "int32");
  assert.deepEqual(values(tf.floorDiv(a, b)), [3, -4, -4, 3]);
  assert.deepEqual(values(tf.mod(a, b)), [1, 1, -1, -1]);
  assert.deepEqual(values(tf.div(tf.scalar(2 ** 31 - 1, "int32"), tf.scalar(3, "int32"))), [
    715827882,
  ]);
});

Deno.test("round() takes halves to even", () => {
  assert.deepEqual(values(tf.round([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])), [-2, -2, -0, 0, 2, 2]);
});

Deno.test("expm1() and log1p() keep their digits near 0", () => {
  const small = tf.tensor1d([1e-7, -3e-6]);
  for (const back of [tf.log1p(tf.expm1(small)), tf.expm1(tf.log1p(small))]) {
    values(back).forEach((got, i) => assert.ok(Math.abs(got / [1e-7, -3e-6][i] - 1) < 1e-6));
  }
});

Deno.test("atan2() knows the four quadrants, the axes and the origin", () => {
  const y = [1, 1, -1, -1, 0, 0, 1, -1, 0], x = [1, -1, 1, -1, 1, -1, 0, 0, 0];
  values(tf.atan2(y, x)).forEach((got, i) =>
    assert.ok(Math.abs(got - Math.atan2(y[i], x[i])) < 1e-6, `(${y[i]}, ${x[i]}): ${got}`)
  );
});

Deno.test("isNaN(), isInf() and isFinite() tell NaN and infinities", () => {
  const x = tf.tensor1d([1, NaN, Infinity, -Infinity]);
  assert.deepEqual(values(tf.isNaN(x)), [0, 1, 0, 0]);
  assert.deepEqual(values(tf.isInf(x)), [0, 0, 1, 1]);
  assert.deepEqual(values(tf.isFinite(x)), [1, 0, 0, 0]);
});

Deno.test("Select with a condition of rank 1 chooses whole rows", () => {
  const out = tf.engine().runKernel("Select", {
    condition: tf.tensor1d([1, 0, 1], "bool"),
    t: tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]),
    e: tf.tensor2d([-1, -2, -3, -4, -5, -6], [3, 2]),
  }) as tf.Tensor;
  assert.deepEqual(values(out), [1, 2, -3, -4, 5, 6]);
});

Deno.test("topk() and maxPool()'s gradient take the first of equals", () => {
  const { values: top, indices } = tf.topk(tf.tensor1d([2, 3, 3, 1, 3]), 3);
  assert.deepEqual(values(top), [3, 3, 3]);
  assert.deepEqual(values(indices), [1, 2, 4]);
  const dx = tf.grad((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid").sum())(
    tf.ones([1, 2, 2, 1]),
  );
  assert.deepEqual(values(dx), [1, 0, 0, 0]);
});

Deno.test("unsortedSegmentSum() adds up many rows of one segment", () => {
  const rows = 20_000;
  const ids = tf.tensor1d(Int32Array.from({ length: rows }, (_, i) => i % 3), "int32");
  assert.deepEqual(
    values(tf.unsortedSegmentSum(tf.ones([rows, 2]), ids, 3)),
    [6667, 6667, 6667, 6667, 6666, 6666],
  );
});

Deno.test("sum() over many rows is the same whichever axes they lie along", () => {
  const x = tf.range(0, 2 * 100 * 3, 1).reshape([2, 100, 1, 3]);
  const rows = (start: number) => Array.from({ length: 200 }, (_, i) => start + 3 * i);
  const expected = [0, 1, 2].map((start) => rows(start).reduce((a, b) => a + b, 0));
  assert.deepEqual(values(x.sum([0, 1])), expected);
  assert.deepEqual(x.sum([-3, 0], true).shape, [1, 1, 1, 3]);
  assert.deepEqual(values(x.sum([1, 0, 2], true)), expected);
  assert.deepEqual(values(x.transpose([3, 0, 1, 2]).sum([1, 2, 3])), expected);
  const [first] = values(tf.grad((x) => x.sum([0, 1]).square().sum())(x));
  assert.equal(first, 2 * expected[0]);
});

Deno.test("sums over an axis of size 0 are 0, products 1, and empty factors give zeros", () => {
  assert.deepEqual(values(tf.zeros([2, 0]).sum(1)), [0, 0]);
  assert.deepEqual(values(tf.zeros([2, 0]).prod(1)), [1, 1]);
  assert.deepEqual(values(tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 2]))), [0, 0, 0, 0]);
  assert.deepEqual(values(tf.einsum("ij,k->k", tf.zeros([0, 3]), tf.ones([2]))), [0, 0]);
  assert.deepEqual(values(tf.concat([tf.zeros([0, 2]), tf.ones([1, 2])])), [1, 1]);
});

/** ⟨w, f(x)⟩ = ⟨∇⟨w, f(x)⟩, x⟩ for a linear f: its gradient is its transpose. */
async function checkAdjoint(
  shape: [number, number, number, number],
  f: (x: tf.Tensor4D) => tf.Tensor,
  seed: number,
): Promise<void> {
  await setEngine("onnxruntime");
  tf.tidy(() => {
    const x = tensor({ shape, dtype: "float32", domain: "any", seed }) as tf.Tensor4D;
    const y = f(x);
    const w = tensor({ shape: y.shape, dtype: "float32", domain: "any", seed: seed + 1 });
    const dx = tf.grad((x) => f(x as tf.Tensor4D).mul(w).sum())(x);
    const [left] = values(y.mul(w).sum());
    const [right] = values(dx.mul(x).sum());
    const size = values(y.mul(w).abs().sum())[0];
    assert.ok(Math.abs(left - right) <= ADJOINT * (1 + size), `${left} and ${right}`);
  });
}

const sides = fc.tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 2, max: 6 }));

Deno.test("resizing has its transpose as gradient, on every grid and for oblong images", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("resizeBilinear" as const, "resizeNearestNeighbor" as const),
      sides,
      fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
      fc.constantFrom([false, false], [true, false], [false, true]),
      fc.nat(),
      async (name, [height, width], size, [corners, centres], seed) => {
        await checkAdjoint(
          [2, height, width, 3],
          (x) => tf.image[name](x, size, corners, centres),
          seed,
        );
      },
    ),
    { numRuns: 20, seed: 5 },
  );
});

Deno.test("avgPool() has its transpose as gradient, at padded borders too", async () => {
  await fc.assert(
    fc.asyncProperty(
      sides,
      fc.integer({ min: 2, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.nat(),
      async ([height, width], filter, stride, seed) => {
        await checkAdjoint(
          [2, height, width, 2],
          (x) => tf.avgPool(x, filter, stride, "same"),
          seed,
        );
      },
    ),
    { numRuns: 15, seed: 6 },
  );
});

Deno.test("registerOnnxRuntime() names an operation that has no kernel and where to add it", () => {
  assert.throws(
    () => tf.engine().runKernel("LRN", { x: tf.ones([1, 2, 2, 1]) }, {}),
    /Cannot run "LRN".*lib\/engine\/onnxruntime\/kernels/,
  );
});

Deno.test("kernelNames has what layers, their gradients and an ordinary user of tfjs need", () => {
  const needed = `Identity Cast Reshape ExpandDims Transpose Slice StridedSlice Concat Pack Unpack
    SplitV PadV2 MirrorPad Tile BroadcastTo GatherV2 GatherNd ScatterNd UnsortedSegmentSum OneHot
    Range LinSpace Fill ZerosLike OnesLike Select Add AddN Sub Multiply RealDiv FloorDiv Mod Pow
    Maximum Minimum SquaredDifference Greater GreaterEqual Less LessEqual Equal NotEqual
    LogicalAnd LogicalOr LogicalNot Neg Abs Sign Exp Expm1 Log Log1p Sqrt Rsqrt Square Reciprocal
    Sin Cos Tan Asin Acos Atan Atan2 Sinh Cosh Tanh Sigmoid Softplus Elu EluGrad Relu Relu6
    LeakyRelu Prelu Erf Floor Ceil Round ClipByValue IsNan IsFinite IsInf Step Sum Mean Prod Max
    Min All Any ArgMax ArgMin Cumsum Cumprod TopK Reverse BatchMatMul _FusedMatMul Softmax
    LogSoftmax Einsum Conv2D FusedConv2D Conv2DBackpropInput Conv2DBackpropFilter
    DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput DepthwiseConv2dNativeBackpropFilter
    MaxPool MaxPoolGrad AvgPool AvgPoolGrad FusedBatchNorm ResizeBilinear ResizeBilinearGrad
    ResizeNearestNeighbor ResizeNearestNeighborGrad`.split(/\s+/);
  assert.deepEqual(needed.filter((name) => !kernelNames.includes(name)), []);
});

Deno.test("tensor() of a dtype that the engine lacks is an error that names it", () => {
  assert.throws(() => tf.complex(tf.ones([2]), tf.ones([2])).dataSync(), /complex/i);
  assert.throws(() => tf.tensor(["a", "b"]).dataSync(), /dtype is string/);
  assert.throws(() => tf.cast(tf.ones([2]), "complex64"), /complex64|Complex/);
});

Deno.test("unique() reads its input and works on uncompiled tensors", async () => {
  await setEngine("onnxruntime");
  const { values: found, indices } = tf.unique(tf.tensor1d([2, 5, 2, 5]).add(1));
  assert.deepEqual(values(found), [3, 6]);
  assert.deepEqual(values(indices), [0, 1, 0, 1]);
  const kept = tf.image.nonMaxSuppression(
    tf.tensor2d([0, 0, 1, 1, 0, 0, 1, 1.1, 2, 2, 3, 3], [3, 4]),
    tf.tensor1d([0.9, 0.8, 0.7]),
    3,
    0.5,
  );
  assert.deepEqual(values(kept), [0, 2]);
});

Deno.test("unique() inside compile() is an error that says why", async () => {
  await setEngine("onnxruntime");
  const step = compile(({ x }: { x: tf.Tensor }) => ({ y: tf.unique(x.add(1)).values }));
  await assert.rejects(
    () => step({ x: tf.tensor1d([1, 2]) }),
    /Cannot run "Unique" inside compile/,
  );
});

Deno.test("whereAsync() and booleanMaskAsync() read what they need", async () => {
  await setEngine("onnxruntime");
  const mask = tf.greater(tf.tensor1d([1, -1, 2]), 0);
  assert.deepEqual(values(await tf.whereAsync(mask)), [0, 2]);
  assert.deepEqual(values(await tf.booleanMaskAsync(tf.tensor1d([5, 6, 7]), mask)), [5, 7]);
});

Deno.test("a tensor whose graph fails does not spoil the others", async () => {
  await setEngine("onnxruntime");
  const bad = tf.gather(tf.ones([2]), tf.tensor1d([7], "int32"));
  const good = tf.ones([2]).add(1);
  assert.deepEqual(values(good), [2, 2]);
  assert.throws(() => bad.dataSync());
  assert.deepEqual(values(tf.ones([2]).add(2)), [3, 3]);
});
