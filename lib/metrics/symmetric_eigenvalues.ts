/** Columns that are reduced before the rest of the matrix is brought up to date. */
const PANEL = 32;
/** Turns of the iteration for one eigenvalue; two are usual. */
const TURNS = 60;

/**
 * Eigenvalues of a symmetric matrix [n, n] without its eigenvectors, in no order, to about 1e-15 of the largest one. Only
 * the lower triangle is read, and it is overwritten.
 *
 * About 4/3 n³ operations: 2 to 3 seconds for n of 2048, where ml-matrix, which computes the vectors too, takes a minute.
 *
 * Errors: a RangeError where a number is not finite.
 *
 * Sources: Householder's reduction to a tridiagonal matrix in panels (Dongarra, Sorensen and Hammarling 1989), the
 * implicit QL iteration (Dubrulle, Martin and Wilkinson 1968).
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const { diagonal, beside } = tridiagonal(matrix, n);
  if (!(diagonal.every(Number.isFinite) && beside.every(Number.isFinite))) {
    throw new RangeError("Cannot compute eigenvalues as the matrix must be finite: it is not");
  }
  return tridiagonalEigenvalues(diagonal, beside);
}

/**
 * A tridiagonal matrix with the same eigenvalues: `beside[i]` stands beside `diagonal[i]` and over `diagonal[i + 1]`.
 *
 * From the last row up, each row is mirrored onto its last element by I − τ v vᵀ, so that the matrix above becomes
 * A − v wᵀ − w vᵀ with w = p − ½ τ (pᵀ v) v, p = τ A v. These are taken off for a panel of rows at a time.
 */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; beside: Float64Array } {
  const diagonal = new Float64Array(n), beside = new Float64Array(Math.max(0, n - 1));
  const vs = Array.from({ length: PANEL }, () => new Float64Array(n));
  const ws = Array.from({ length: PANEL }, () => new Float64Array(n));
  for (let left = n; left > 0;) {
    const rows = Math.min(PANEL, left);
    for (let k = 0; k < rows; k++) {
      const i = left - 1 - k, row = a.subarray(i * n, i * n + i + 1);
      for (let q = 0; q < k; q++) subtractPair(row, vs[q], ws[q], i);
      diagonal[i] = row[i];
      if (i === 0) break;
      const v = vs[k], w = ws[k];
      const { tau, image } = mirror(row.subarray(0, i), v);
      beside[i - 1] = image;
      timesSymmetric(a, n, v, w, i);
      for (let q = 0; q < k; q++) {
        addScaled(w, vs[q], -dot(ws[q], v, i), i);
        addScaled(w, ws[q], -dot(vs[q], v, i), i);
      }
      for (let j = 0; j < i; j++) w[j] *= tau;
      addScaled(w, v, -0.5 * tau * dot(w, v, i), i);
    }
    left -= rows;
    bringUpToDate(a, n, { vs, ws, rows, left });
  }
  return { diagonal, beside };
}

/** v and τ such that I − τ v vᵀ takes `x` to (0, …, 0, image). */
function mirror(x: Float64Array, v: Float64Array): { tau: number; image: number } {
  const last = x.length - 1;
  let largest = 0;
  for (let j = 0; j < last; j++) largest = Math.max(largest, Math.abs(x[j]));
  v.fill(0);
  if (largest === 0) return { tau: 0, image: x[last] };
  const scale = 1 / Math.max(largest, Math.abs(x[last])); // or squares of small numbers would vanish
  let squares = 0;
  for (let j = 0; j <= last; j++) squares += (x[j] * scale) ** 2;
  const image = -Math.sign(x[last] || 1) * Math.sqrt(squares) / scale;
  for (let j = 0; j < last; j++) v[j] = x[j] / (x[last] - image);
  v[last] = 1;
  return { tau: (image - x[last]) / image, image };
}

/** out = A v for the leading m × m part of a symmetric matrix, of which the lower triangle is read once. */
function timesSymmetric(
  a: Float64Array,
  n: number,
  v: Float64Array,
  out: Float64Array,
  m: number,
): void {
  out.fill(0);
  let i = 0;
  for (; i + 1 < m; i += 2) { // two rows at once: their results and the columns' stay in registers
    const first = i * n, second = first + n, v0 = v[i], v1 = v[i + 1];
    let sum0 = 0, sum1 = 0;
    for (let j = 0; j < i; j++) {
      const a0 = a[first + j], a1 = a[second + j], vj = v[j];
      sum0 += a0 * vj;
      sum1 += a1 * vj;
      out[j] += a0 * v0 + a1 * v1;
    }
    const corner = a[second + i];
    out[i] += sum0 + a[first + i] * v0 + corner * v1;
    out[i + 1] += sum1 + corner * v0 + a[second + i + 1] * v1;
  }
  if (i < m) {
    const row = a.subarray(i * n, i * n + i + 1);
    addScaled(out, row, v[i], i);
    out[i] += dot(row, v, i + 1);
  }
}

/** Takes v wᵀ + w vᵀ of a whole panel off the lower triangle of the leading part. */
function bringUpToDate(
  a: Float64Array,
  n: number,
  { vs, ws, rows, left }: { vs: Float64Array[]; ws: Float64Array[]; rows: number; left: number },
): void {
  for (let i = 0; i < left; i += 2) {
    const end = Math.min(i + 2, left), first = i * n, second = (end - 1) * n; // the same at an odd end
    for (let k = 0; k + 1 < rows; k += 2) {
      const va = vs[k], wa = ws[k], vb = vs[k + 1], wb = ws[k + 1];
      const va0 = va[i], wa0 = wa[i], vb0 = vb[i], wb0 = wb[i];
      if (end - i === 1) {
        for (let j = 0; j < end; j++) {
          a[first + j] -= va0 * wa[j] + wa0 * va[j] + vb0 * wb[j] + wb0 * vb[j];
        }
        continue;
      }
      const va1 = va[i + 1], wa1 = wa[i + 1], vb1 = vb[i + 1], wb1 = wb[i + 1];
      for (let j = 0; j < end; j++) {
        const vaj = va[j], waj = wa[j], vbj = vb[j], wbj = wb[j];
        a[first + j] -= va0 * waj + wa0 * vaj + vb0 * wbj + wb0 * vbj;
        a[second + j] -= va1 * waj + wa1 * vaj + vb1 * wbj + wb1 * vbj;
      }
    }
  }
}

function subtractPair(row: Float64Array, v: Float64Array, w: Float64Array, i: number): void {
  const vi = v[i], wi = w[i];
  for (let j = 0; j <= i; j++) row[j] -= vi * w[j] + wi * v[j];
}

function addScaled(to: Float64Array, x: Float64Array, by: number, length: number): void {
  for (let j = 0; j < length; j++) to[j] += by * x[j];
}

function dot(x: Float64Array, y: Float64Array, length: number): number {
  let sum0 = 0, sum1 = 0, j = 0;
  for (; j + 1 < length; j += 2) {
    sum0 += x[j] * y[j];
    sum1 += x[j + 1] * y[j + 1];
  }
  return j < length ? sum0 + sum1 + x[j] * y[j] : sum0 + sum1;
}

/** Eigenvalues of a tridiagonal matrix, in the place of its diagonal. */
function tridiagonalEigenvalues(diagonal: Float64Array, beside: Float64Array): Float64Array {
  const n = diagonal.length;
  const isSplit = (i: number) =>
    Math.abs(beside[i]) <= Number.EPSILON * (Math.abs(diagonal[i]) + Math.abs(diagonal[i + 1]));
  for (let start = 0; start < n; start++) {
    for (let turn = 0;; turn++) {
      let end = start; // of the part from `start` on that hangs together
      while (end < n - 1 && !isSplit(end)) end++;
      if (end === start) break;
      if (turn === TURNS) {
        throw new RangeError("Cannot compute eigenvalues as the iteration does not converge");
      }
      turnLeft(diagonal, beside, { start, end });
    }
  }
  return diagonal;
}

/** One implicit QL step: the matrix without the shift is multiplied by a chain of rotations, from below. */
function turnLeft(
  diagonal: Float64Array,
  beside: Float64Array,
  { start, end }: { start: number; end: number },
): void {
  // Wilkinson's shift, the eigenvalue of the first 2 × 2 that is nearer to its first element
  const half = (diagonal[start + 1] - diagonal[start]) / (2 * beside[start]);
  const reach = half + Math.sign(half || 1) * Math.sqrt(half * half + 1);
  const shift = diagonal[start] - beside[start] / reach;
  let bulge = diagonal[end] - shift, sine = 1, cosine = 1, moved = 0;
  for (let i = end - 1; i >= start; i--) {
    const across = sine * beside[i], along = cosine * beside[i];
    const length = Math.sqrt(across * across + bulge * bulge);
    if (i + 1 < end) beside[i + 1] = length;
    if (length === 0) { // the matrix falls apart here
      diagonal[i + 1] -= moved;
      return;
    }
    sine = across / length;
    cosine = bulge / length;
    const under = diagonal[i + 1] - moved;
    const change = (diagonal[i] - under) * sine + 2 * cosine * along;
    moved = sine * change;
    diagonal[i + 1] = under + moved;
    bulge = cosine * change - along;
  }
  diagonal[start] -= moved;
  beside[start] = bulge;
}
