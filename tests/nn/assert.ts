import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { normals } from "../../lib/engine/random.ts";
import { metrics } from "../parity/metrics.ts";

/** float32 sums of some hundred terms, in another order: relative to the values' rms. */
export const FLOAT32 = 2e-5;

/** A tensor of N(0, 1) numbers that depends on nothing but the name and the shape. */
export function random(shape: number[], name = "x"): tf.Tensor {
  return tf.tensor(
    normals({ seed: 1, stream: name }, 0, shape.reduce((a, b) => a * b, 1)),
    shape,
  );
}

/** Asserts equal shapes, and max |a − b| ≤ tolerance · rms(b). */
export function assertClose(
  actual: tf.Tensor,
  expected: tf.Tensor,
  { tolerance = FLOAT32, what = "values" } = {},
): void {
  assert.deepEqual(actual.shape, expected.shape, what);
  const error = metrics.max_abs_over_rms(actual.dataSync(), expected.dataSync());
  assert.ok(error <= tolerance, `${what}: error ${error} exceeds ${tolerance}`);
}

/** Asserts that two functions agree in value and in the gradient of every input. */
export function assertSameWithGradients(
  fast: (...inputs: tf.Tensor[]) => tf.Tensor,
  plain: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
  { tolerance = FLOAT32 } = {},
): void {
  tf.tidy(() => {
    const y = plain(...inputs);
    assertClose(fast(...inputs), y, { tolerance });
    const g = random(y.shape, "g");
    const gradients = (fn: typeof fast) =>
      tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(fn(...xs), g)))(inputs);
    const expected = gradients(plain);
    for (const [i, gradient] of gradients(fast).entries()) {
      assertClose(gradient, expected[i], { tolerance, what: `gradient of input ${i}` });
    }
  });
}

/**
 * Asserts that the gradient of sum(fn(x) · g) agrees with central differences at some entries of every input.
 *
 * float32 leaves about 1e-7 · |L| / step of noise in a difference, so the step is large and the tolerance wide.
 */
export function assertCentralDifferences(
  fn: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
  { step = 1e-2, tolerance = 2e-2, entries = 4 } = {},
): void {
  tf.tidy(() => {
    const g = random(fn(...inputs).shape, "g");
    const loss = (...xs: tf.Tensor[]) => tf.sum(tf.mul(fn(...xs), g));
    const gradients = tf.grads(loss)(inputs);
    for (const [i, input] of inputs.entries()) {
      const gradient = Float64Array.from(gradients[i].dataSync());
      const scale = Math.sqrt(gradient.reduce((s, v) => s + v * v, 0) / gradient.length);
      for (let n = 0; n < Math.min(entries, input.size); n++) {
        const at = Math.floor(n * input.size / entries) % input.size;
        const moved = (by: number) => {
          const data = Float32Array.from(input.dataSync());
          data[at] += by;
          const xs = inputs.with(i, tf.tensor(data, input.shape));
          return loss(...xs).dataSync()[0];
        };
        const difference = (moved(step) - moved(-step)) / (2 * step);
        assert.ok(
          Math.abs(gradient[at] - difference) <= tolerance * (scale + Math.abs(difference)),
          `input ${i}, entry ${at}: gradient ${gradient[at]}, central difference ${difference}`,
        );
      }
    }
  });
}

/** Asserts that calls leave no tensors behind but those they return. */
export function assertNoLeak(fn: () => tf.TensorContainer): void {
  tf.dispose(fn()); // what is made once
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i++) tf.dispose(fn());
  assert.equal(tf.memory().numTensors, before, "tensors left behind");
}
