/** Gradients that free as they go, against tfjs's own, on the `cpu` backend. */
import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { setEngine } from "../../lib/engine/engine.ts";
import { shapesOnly, useLeanGradients } from "../../lib/engine/tensorflow/lean_gradients.ts";

let lean = false;
useLeanGradients(() => lean);

/** What `fn` gives, with and without. */
async function both(fn: () => tf.Tensor[]): Promise<[number[][], number[][]]> {
  await setEngine("cpu");
  const read = (on: boolean) => {
    lean = on;
    try {
      return tf.tidy(() => fn().map((t) => [...t.dataSync()]));
    } finally {
      lean = false;
    }
  };
  return [read(true), read(false)];
}

const matrix = (values: number[]) => tf.tensor2d(values, [2, 3]);
type Step = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor;

/** A hand-written derivative that hands on tensors it was given: dy, one it saved, twice the same. */
const awkward = tf.customGrad((x, y, save) => {
  (save as (t: tf.Tensor[]) => void)([x as tf.Tensor]);
  return {
    value: tf.add(x as tf.Tensor, y as tf.Tensor),
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
      tf.mul(dy, 3); // left lying about
      return [dy, dy].map((t, i) => i ? t : saved[0]);
    },
  };
}) as Step;
const shared = tf.customGrad((x, y) => ({
  value: tf.sub(x as tf.Tensor, y as tf.Tensor),
  gradFunc: (dy: tf.Tensor) => [dy, dy],
})) as Step;

const steps: Step[] = [
  (x, y) => tf.add(x, y),
  (x, y) => tf.mul(x, y),
  (x, y) => tf.sub(x, tf.tanh(y)),
  (x, y) => tf.matMul(tf.matMul(x, y, false, true), y),
  (x, y) => tf.addN([x, y, x]),
  (x, y) => tf.slice(tf.concat([x, y], 1), [0, 2], [2, 3]),
  (x, y) =>
    tf.reshape(tf.cumsum(tf.pad(tf.reshape(x, [6]), [[1, 1]])), [2, 4]).slice([0, 0], [2, 3])
      .add(tf.mean(y, 0, true)),
  (x, y) => tf.mul(x, tf.sum(y, 1, true)),
  (x, y) => tf.sum(tf.stack([x, y], 1), 1),
  (x, y) => tf.add(x, tf.mirrorPad(tf.slice(y, [0, 0], [2, 2]), [[0, 0], [0, 1]], "reflect")),
  (x, y) => tf.add(tf.squeeze(tf.expandDims(x, 1), [1]), tf.split(y, 3, 1)[1]),
  (x, y) => tf.softmax(tf.add(x, y)),
  awkward,
  shared,
];

Deno.test("useLeanGradients() gives tfjs's own gradients, exactly, whatever the graph", async () => {
  const program = fc.array(
    fc.record({
      step: fc.nat({ max: steps.length - 1 }),
      x: fc.nat({ max: 9 }),
      y: fc.nat({ max: 9 }),
    }),
    { minLength: 1, maxLength: 12 },
  );
  const numbers = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), {
    minLength: 6,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(program, numbers, numbers, async (program, a, b) => {
      const [got, wanted] = await both(() => {
        const f = (...xs: tf.Tensor[]) => {
          const values = [...xs];
          for (const { step, x, y } of program) {
            values.push(steps[step](values[x % values.length], values[y % values.length]));
          }
          return tf.sum(tf.addN(values)) as tf.Scalar;
        };
        const { value, grads } = tf.valueAndGrads(f)([matrix(a), matrix(b)]);
        return [value, ...grads];
      });
      assert.deepEqual(got, wanted);
    }),
    { numRuns: 200, seed: 6 },
  );
});

Deno.test("useLeanGradients() leaves a derivative of a derivative alone", async () => {
  const [got, wanted] = await both(() => {
    const second = tf.grad((x: tf.Tensor) =>
      tf.grad((x: tf.Tensor) => tf.sum(tf.mul(tf.square(x), tf.sin(x))))(x).square().sum()
    );
    return [second(matrix([1, 2, 3, 4, 5, 6]))];
  });
  assert.deepEqual(got, wanted);
});

Deno.test("useLeanGradients() frees neither the caller's dy nor a tensor taken from elsewhere", async () => {
  await setEngine("cpu");
  lean = true;
  const x = matrix([1, 2, 3, 4, 5, 6]), dy = tf.onesLike(x), constant = tf.onesLike(x);
  const pass = tf.customGrad((x) => ({
    value: tf.square(x as tf.Tensor),
    gradFunc: () => constant,
  }));
  tf.grad((x: tf.Tensor) => pass(tf.mul(x, 2)))(x, dy).dispose();
  lean = false;
  for (const t of [x, dy, constant]) {
    assert.equal(t.isDisposed, false);
    t.dispose();
  }
});

Deno.test("useLeanGradients() leaks nothing and holds less at its peak", async () => {
  await setEngine("cpu");
  const x = tf.ones([64, 64]);
  /** The most bytes held while the gradient of a chain of 20 operations is taken. */
  const peak = (on: boolean) => {
    lean = on;
    const before = tf.memory().numTensors;
    let most = 0;
    const watched = tf.customGrad((x) => ({
      value: tf.clone(x as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => {
        most = Math.max(most, tf.memory().numBytes);
        return tf.clone(dy);
      },
    }));
    const chain = (x: tf.Tensor) => {
      for (let i = 0; i < 10; i++) x = tf.add(tf.mul(watched(x) as tf.Tensor, 0.5), 1);
      return tf.sum(x);
    };
    tf.grad(chain)(x).dispose();
    lean = false;
    assert.equal(tf.memory().numTensors, before);
    return most;
  };
  const usual = peak(false), less = peak(true);
  x.dispose();
  assert.ok(less < 0.6 * usual, `${less} bytes, and ${usual} as tfjs has it`);
});

Deno.test("shapesOnly names only kernels that have a gradient", () => {
  for (const name of shapesOnly) assert.ok(tf.getGradient(name), name);
});
