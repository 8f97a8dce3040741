import type { Matrix } from "ml-matrix";
import { type Feed, Session } from "../engine/onnxruntime/session.ts";

/** A matrix of doubles, row by row. */
export type DoubleMatrix = { data: Float64Array; rows: number; columns: number };

/** Multiply-adds from which on a product is worth a session of ONNX Runtime, which takes some milliseconds to open. */
const LARGE = 2 ** 22;

/**
 * The product A B, or Aᵀ B, in double precision.
 *
 * Small ones are summed here, large ones by ONNX Runtime whatever engine is set, on all cores: 2048³ multiply-adds take
 * half a second on two, 20 times less than in ml-matrix.
 */
export function product(
  a: DoubleMatrix,
  b: DoubleMatrix,
  { transposeA = false }: { transposeA?: boolean } = {},
): DoubleMatrix {
  const [rows, inner] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  if (inner !== b.rows) {
    throw new RangeError(
      `Cannot multiply matrices as the inner sizes must be equal: ` +
        `[${rows}, ${inner}] and [${b.rows}, ${b.columns}]`,
    );
  }
  const large = rows * inner * b.columns >= LARGE;
  const data = (large ? largeProduct : smallProduct)(a, b, { rows, transposeA });
  return { data, rows, columns: b.columns };
}

type Options = { rows: number; transposeA: boolean };

function smallProduct(a: DoubleMatrix, b: DoubleMatrix, { rows, transposeA }: Options) {
  const { columns } = b, out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < b.rows; k++) {
      const by = a.data[transposeA ? k * a.columns + i : i * a.columns + k], from = k * columns;
      for (let j = 0, to = i * columns; j < columns; j++) out[to++] += by * b.data[from + j];
    }
  }
  return out;
}

function largeProduct(a: DoubleMatrix, b: DoubleMatrix, { rows, transposeA }: Options) {
  const type = "float64" as const;
  const side = ({ rows, columns }: DoubleMatrix) => ({ type, dims: [rows, columns] });
  const feed = (matrix: DoubleMatrix) =>
    // the engine's own graphs have no doubles
    ({ ...side(matrix), data: matrix.data, location: "cpu" }) as unknown as Feed;
  const session = new Session({
    model: {
      nodes: [{
        op: "Gemm",
        domain: "",
        inputs: ["a", "b"],
        outputs: ["product"],
        attributes: transposeA ? { transA: 1 } : {},
      }],
      initializers: [],
      inputs: [{ name: "a", ...side(a) }, { name: "b", ...side(b) }],
      outputs: [{ name: "product", type, dims: [rows, b.columns] }],
    },
    feeds: [],
    fetches: [{ name: "product", storage: undefined! }], // names are all that a session needs
  }, { arena: false, spin: false });
  try {
    return session.run({ a: feed(a), b: feed(b) }).product.data as unknown as Float64Array;
  } finally {
    session.release();
  }
}

/** An ml-matrix as one array. */
export function doublesOf(matrix: Matrix): DoubleMatrix {
  const { rows, columns } = matrix, data = new Float64Array(rows * columns);
  for (let i = 0, to = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) data[to++] = matrix.get(i, j);
  }
  return { data, rows, columns };
}
