import assert from "node:assert/strict";
import fc from "fast-check";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { normals } from "../../lib/engine/random.ts";
import { doublesOf } from "../../lib/metrics/double_product.ts";
import { symmetricEigenvalues } from "../../lib/metrics/symmetric_eigenvalues.ts";

function eigenvalues(matrix: Matrix): number[] {
  return [...symmetricEigenvalues(doublesOf(matrix).data, matrix.rows)].sort((a, b) => a - b);
}

function random(n: number, seed: number): Matrix {
  const values = normals({ seed, stream: "tests/eigenvalues" }, 0, n * n);
  const matrix = Matrix.from1DArray(n, n, [...values]);
  return matrix.add(matrix.transpose());
}

function assertNear(actual: number[], expected: number[]): void {
  const largest = Math.max(...expected.map(Math.abs));
  assert.equal(actual.length, expected.length);
  const far = Math.max(...actual.map((v, i) => Math.abs(v - expected[i])));
  // backward stable: a small multiple of n roundings of the largest
  assert.ok(far <= 1e-13 * largest, `${far} with a largest of ${largest}`);
}

Deno.test("symmetricEigenvalues() of the discrete second derivative are 2 − 2 cos(π k / (n + 1))", () => {
  for (const n of [1, 2, 3, 31, 32, 33, 34, 64, 97]) { // about one panel of rows and more
    const matrix = Matrix.zeros(n, n);
    for (let i = 0; i < n; i++) {
      matrix.set(i, i, 2);
      if (i > 0) matrix.set(i, i - 1, -1), matrix.set(i - 1, i, -1);
    }
    const known = Array.from(
      { length: n },
      (_, k) => 2 - 2 * Math.cos(Math.PI * (k + 1) / (n + 1)),
    );
    assertNear(eigenvalues(matrix), known);
  }
});

Deno.test("symmetricEigenvalues() of a diagonal, of one repeated, of rank one and of zeros are known", () => {
  const n = 40, ramp = Array.from({ length: n }, (_, i) => i - 7);
  assertNear(eigenvalues(Matrix.diag(ramp)), ramp);
  assertNear(eigenvalues(Matrix.eye(n).mul(3)), Array(n).fill(3));
  assertNear(eigenvalues(Matrix.ones(n, n)), [...Array(n - 1).fill(0), n]);
  assert.deepEqual(eigenvalues(Matrix.zeros(n, n)), Array(n).fill(0));
  assert.deepEqual(eigenvalues(Matrix.zeros(0, 0)), []);
});

Deno.test("symmetricEigenvalues() are those of ml-matrix", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 90 }), fc.nat(1e6), (n, seed) => {
      const matrix = random(n, seed);
      const { realEigenvalues } = new EigenvalueDecomposition(matrix, { assumeSymmetric: true });
      assertNear(eigenvalues(matrix), realEigenvalues.sort((a, b) => a - b));
    }),
    { numRuns: 60 },
  );
});

Deno.test("symmetricEigenvalues() follow scale and shift, for small numbers and for large ones", () => {
  const matrix = random(50, 1), plain = eigenvalues(matrix);
  for (const scale of [1e-100, 1e-9, 1e9, 1e100]) {
    assertNear(eigenvalues(Matrix.mul(matrix, scale)), plain.map((v) => v * scale));
  }
  const shifted = Matrix.add(matrix, Matrix.eye(50).mul(100));
  assertNear(eigenvalues(shifted), plain.map((v) => v + 100));
});

Deno.test("symmetricEigenvalues() read the lower triangle only, and refuse what is not finite", () => {
  const matrix = random(45, 2), { data } = doublesOf(matrix);
  for (let i = 0; i < 45; i++) data.fill(NaN, i * 45 + i + 1, (i + 1) * 45);
  assertNear([...symmetricEigenvalues(data, 45)].sort((a, b) => a - b), eigenvalues(matrix));
  matrix.set(40, 3, NaN);
  assert.throws(() => eigenvalues(matrix), /must be finite/);
});
