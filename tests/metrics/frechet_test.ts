import assert from "node:assert/strict";
import fc from "fast-check";
import { Matrix } from "ml-matrix";
import ndarray from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import {
  type Features,
  featureStatistics,
  frechetDistance,
  frechetDistanceOfStatistics,
} from "../../lib/metrics/frechet.ts";
import { symmetricSqrt, symmetricSqrtGradient } from "../../lib/metrics/symmetric_sqrt.ts";

/** Rows from N(shift, scale² I), plus a common part that makes dimensions depend on each other. */
function sample(
  { n, d, seed, shift = 0, scale = 1 }: {
    n: number;
    d: number;
    seed: number;
    shift?: number;
    scale?: number;
  },
): Features {
  const z = normals({ seed, stream: "tests/features" }, 0, n * (d + 1));
  const data = Float64Array.from({ length: n * d }, (_, k) => {
    const i = Math.floor(k / d), a = k % d;
    return shift + scale * (z[i * (d + 1) + a] + 0.5 * z[i * (d + 1) + d]);
  });
  return ndarray(data, [n, d]);
}

const sizes = fc.record({
  n: fc.integer({ min: 2, max: 40 }),
  d: fc.integer({ min: 1, max: 8 }),
  seed: fc.nat(1e6),
});
// eigenvalues near 0 enter by their square root: rounding of 1e-16 and ε of 1e-8 show as 1e-8 to 1e-4
const TOLERANCE = 1e-3;

Deno.test("frechetDistanceOfStatistics() of Gaussians with diagonal covariances is the known sum", () => {
  const a = { n: 9, mean: Float64Array.of(1, 2, 3), covariance: Matrix.diag([1, 4, 9]) };
  const b = { n: 9, mean: Float64Array.of(1, 0, 0), covariance: Matrix.diag([4, 4, 1]) };
  // (2² + 3²) + (1 − 2)² + (2 − 2)² + (3 − 1)²
  assert.ok(Math.abs(frechetDistanceOfStatistics(a, b) - 18) < 1e-6);
});

Deno.test("frechetDistanceOfStatistics() of commuting covariances with correlation is the known sum", () => {
  // [[a, b], [b, a]] has eigenvalues a ± b on the same axes: Σ (√λ₁ − √λ₂)²
  const covariance = (a: number, b: number) => new Matrix([[a, b], [b, a]]);
  const at = (c: Matrix) => ({ n: 5, mean: new Float64Array(2), covariance: c });
  const distance = frechetDistanceOfStatistics(at(covariance(5, 4)), at(covariance(10, 6)));
  assert.ok(Math.abs(distance - ((3 - 4) ** 2 + (1 - 2) ** 2)) < 1e-6);
});

Deno.test("featureStatistics() divides by N − 1", () => {
  const { mean, covariance, n } = featureStatistics(
    ndarray(Float64Array.of(1, 10, 3, 10, 5, 40), [3, 2]),
  );
  assert.deepEqual([n, ...mean], [3, 3, 20]);
  assert.deepEqual(covariance.to2DArray(), [[4, 30], [30, 300]]);
});

Deno.test("frechetDistance() of a set to itself is 0, in any order of rows", () => {
  fc.assert(fc.property(sizes, (options) => {
    const x = sample(options);
    const reversed = x.step(-1, 1) as Features;
    assert.ok(Math.abs(frechetDistance(x, x)) < TOLERANCE);
    assert.ok(Math.abs(frechetDistance(x, reversed)) < TOLERANCE);
  }));
});

Deno.test("frechetDistance() is symmetric and not negative", () => {
  fc.assert(fc.property(sizes, fc.double({ min: 0.5, max: 2, noNaN: true }), (options, scale) => {
    const x = sample(options),
      y = sample({ ...options, seed: options.seed + 1, scale, shift: 0.3 });
    const there = frechetDistance(x, y), back = frechetDistance(y, x);
    assert.ok(Math.abs(there - back) < TOLERANCE * (1 + there), `${there} and ${back}`);
    assert.ok(there > -TOLERANCE);
  }));
});

Deno.test("frechetDistance() does not change when both sets are rotated", () => {
  fc.assert(fc.property(sizes, fc.double({ min: 0, max: 6.3, noNaN: true }), (options, angle) => {
    const d = options.d + 1;
    const rotate = (x: Features): Features => { // in the plane of the first and last dimension
      const data = Float64Array.from({ length: x.size }, (_, k) => x.get(Math.floor(k / d), k % d));
      for (let i = 0; i < x.size; i += d) {
        const [u, v] = [data[i], data[i + d - 1]];
        data[i] = Math.cos(angle) * u - Math.sin(angle) * v;
        data[i + d - 1] = Math.sin(angle) * u + Math.cos(angle) * v;
      }
      return ndarray(data, [x.shape[0], d]);
    };
    const x = sample({ ...options, d }),
      y = sample({ ...options, d, seed: options.seed + 1, shift: 1 });
    const plain = frechetDistance(x, y), turned = frechetDistance(rotate(x), rotate(y));
    assert.ok(Math.abs(plain - turned) < TOLERANCE * (1 + plain), `${plain} and ${turned}`);
  }));
});

Deno.test("frechetDistance() of a shifted set is the square of the shift", () => {
  const x = sample({ n: 50, d: 4, seed: 1 }), y = sample({ n: 50, d: 4, seed: 1, shift: 3 });
  assert.ok(Math.abs(frechetDistance(x, y) - 4 * 3 ** 2) < 1e-6);
});

Deno.test("frechetDistance() is biased upwards, the more the fewer the rows", () => {
  const distances = [20, 80, 320].map((n) =>
    frechetDistance(sample({ n, d: 6, seed: 1 }), sample({ n, d: 6, seed: 2 }))
  );
  assert.ok(distances[0] > 2 * distances[1] && distances[1] > 2 * distances[2], `${distances}`);
});

Deno.test("frechetDistance() is the formula with the reference's square root, also of singular covariances", () => {
  const spread = fc.constantFrom(1e-3, 1, 1e5); // at the last, rounding leaves covariances indefinite
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 60 }), spread, ({ n, seed }, d, scale) => {
      const x = featureStatistics(sample({ n, d, seed, scale }));
      const y = featureStatistics(sample({ n: n + 3, d, seed: seed + 1, scale }));
      const [a, b] = [x, y].map((s) => Matrix.add(s.covariance, Matrix.eye(d).mul(1e-8)));
      const root = symmetricSqrt(b);
      const cross = symmetricSqrt(root.mmul(a).mmul(root)).trace();
      const means = x.mean.reduce((sum, m, i) => sum + (m - y.mean[i]) ** 2, 0);
      const expected = means + a.trace() + b.trace() - 2 * cross;
      const far = Math.abs(frechetDistanceOfStatistics(x, y) - expected);
      // eigenvalues near 0 are rounding of the largest, and enter by their square root
      const largest = a.trace() + b.trace();
      assert.ok(far < 1e-6 * d * largest + TOLERANCE, `${far} of ${expected}`);
    }),
    { numRuns: 60 },
  );
});

Deno.test("frechetDistance() refuses other dimensions, single rows and NaN", () => {
  const x = sample({ n: 5, d: 3, seed: 1 });
  assert.throws(
    () => frechetDistance(x, sample({ n: 5, d: 2, seed: 1 })),
    /dimensions are 3 and 2/,
  );
  assert.throws(() => frechetDistance(sample({ n: 1, d: 3, seed: 1 }), x), /shape is \[1,3\]/);
  const broken = sample({ n: 5, d: 3, seed: 1 });
  broken.set(2, 1, NaN);
  assert.throws(() => frechetDistance(x, broken), /must be finite/);
});

Deno.test("symmetricSqrt() squared is the matrix, and its gradient agrees with differences", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.nat(1e6), (d, seed) => {
      const random = (name: string) =>
        Matrix.from1DArray(d, d, [...normals({ seed, stream: `tests/${name}` }, 0, d * d)]);
      const factor = random("factor");
      const a = factor.mmul(factor.transpose()).add(Matrix.eye(d)); // eigenvalues at least 1
      const root = symmetricSqrt(a);
      const far = Matrix.sub(root.mmul(root), a).abs().max();
      assert.ok(far < 1e-9 * (1 + a.max()), `${far}`);

      const upstream = random("upstream"), step = random("direction");
      const direction = Matrix.add(step, step.transpose()); // stays symmetric
      const h = 1e-5;
      const along = (t: number) =>
        Matrix.mul(symmetricSqrt(Matrix.add(a, Matrix.mul(direction, t))), upstream).sum();
      const expected = (along(h) - along(-h)) / (2 * h);
      const got = Matrix.mul(symmetricSqrtGradient(a, upstream), direction).sum();
      assert.ok(Math.abs(got - expected) < 1e-5 * (1 + Math.abs(expected)), `${got}, ${expected}`);
    }),
    { numRuns: 40 },
  );
});
