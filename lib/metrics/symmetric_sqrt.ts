import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from "ml-matrix";
import { type DoubleMatrix, doublesOf } from "./double_product.ts";
import { symmetricEigenvalues } from "./symmetric_eigenvalues.ts";

/** Eigenvalues and eigenvectors (columns) of the symmetric part of a matrix. */
function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  if (!(matrix.rows === matrix.columns)) {
    throw new RangeError(
      `Cannot take the square root as the matrix must be square: shape is [${matrix.rows}, ${matrix.columns}]`,
    );
  }
  const symmetric = Matrix.add(matrix, matrix.transpose()).mul(0.5);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(symmetric, {
    assumeSymmetric: true,
  });
  return { values: realEigenvalues, vectors: eigenvectorMatrix };
}

/**
 * The square root of a symmetric matrix by its eigenvalues: Q √|Λ| Qᵀ.
 *
 * The absolute value keeps eigenvalues that rounding has made slightly negative real; the root of
 * a matrix that is indefinite by nature is then that of |A|, as in the reference.
 */
export function symmetricSqrt(matrix: Matrix): Matrix {
  const { values, vectors } = eigen(matrix);
  return scaleColumns(vectors, values.map((v) => Math.sqrt(Math.abs(v)))).mmul(vectors.transpose());
}

/**
 * The trace of the square root of a symmetric matrix, Σ √|λ|. Only the lower triangle is read, and it is overwritten: no
 * eigenvectors, no copy.
 */
export function traceOfSqrt({ data, rows }: DoubleMatrix): number {
  return symmetricEigenvalues(data, rows).reduce((sum, v) => sum + Math.sqrt(Math.abs(v)), 0);
}

/**
 * Some F with F Fᵀ = A for a symmetric, positive A. The eigenvalues of Fᵀ B F are those of √A B √A for each of them, and
 * Cholesky's is had for a thirtieth of the work of `symmetricSqrt`, which is taken where rounding has left A indefinite.
 */
export function symmetricFactor(matrix: Matrix): DoubleMatrix {
  const symmetric = Matrix.add(matrix, matrix.transpose()).mul(0.5);
  const cholesky = new CholeskyDecomposition(symmetric);
  const factor = cholesky.isPositiveDefinite()
    ? cholesky.lowerTriangularMatrix
    : symmetricSqrt(symmetric);
  return doublesOf(factor);
}

/**
 * Derivative of a scalar by A, from its derivative G by √A, A positive definite.
 *
 * From √A d√A + d√A √A = dA: Q ((Qᵀ G Q) / (√λᵢ + √λⱼ)) Qᵀ.
 */
export function symmetricSqrtGradient(matrix: Matrix, upstream: Matrix): Matrix {
  const { values, vectors } = eigen(matrix);
  const roots = values.map((v) => Math.sqrt(Math.abs(v)));
  const inner = vectors.transpose().mmul(upstream).mmul(vectors);
  for (let i = 0; i < roots.length; i++) {
    for (let j = 0; j < roots.length; j++) {
      inner.set(i, j, inner.get(i, j) / (roots[i] + roots[j]));
    }
  }
  return vectors.mmul(inner).mmul(vectors.transpose());
}

function scaleColumns(matrix: Matrix, by: number[]): Matrix {
  const out = matrix.clone();
  for (let j = 0; j < by.length; j++) out.mulColumn(j, by[j]);
  return out;
}
