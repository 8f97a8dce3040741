import assert from "node:assert/strict";
import fc from "fast-check";
import { Matrix } from "ml-matrix";
import { normals } from "../../lib/engine/random.ts";
import { type DoubleMatrix, doublesOf, product } from "../../lib/metrics/double_product.ts";

function random(rows: number, columns: number, seed: number): Matrix {
  const values = normals({ seed, stream: "tests/product" }, 0, rows * columns);
  return Matrix.from1DArray(rows, columns, [...values]);
}

function assertIs({ data, rows, columns }: DoubleMatrix, expected: Matrix): void {
  assert.deepEqual([rows, columns], [expected.rows, expected.columns]);
  const far = doublesOf(expected).data.reduce(
    (far, v, i) => Math.max(far, Math.abs(v - data[i])),
    0,
  );
  assert.ok(far < 1e-12, `${far}`); // float32 would be off by 1e-5
}

Deno.test("product() is that of ml-matrix, for small matrices and for large ones", () => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }));
  fc.assert(
    fc.property(sizes, sizes, fc.boolean(), ([rows, inner], [columns, seed], large) => {
      const scale = large ? 40 : 1; // 160³ and more are left to ONNX Runtime
      const [m, k, n] = large ? [rows + 4, inner + 4, columns + 4] : [rows, inner, columns];
      const a = random(m * scale, k * scale, seed), b = random(k * scale, n * scale, seed + 1);
      const expected = a.mmul(b);
      assertIs(product(doublesOf(a), doublesOf(b)), expected);
      const turned = doublesOf(a.transpose());
      assertIs(product(turned, doublesOf(b), { transposeA: true }), expected);
      const other = doublesOf(b.transpose());
      assertIs(product(doublesOf(a), other, { transposeB: true }), expected);
      assertIs(product(turned, other, { transposeA: true, transposeB: true }), expected);
    }),
    { numRuns: 20 },
  );
});

Deno.test("product() refuses sizes that do not meet", () => {
  const a = doublesOf(random(2, 3, 1));
  assert.throws(() => product(a, a), /inner sizes must be equal: \[2, 3\] and \[2, 3\]/);
});
