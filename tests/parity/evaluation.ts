import { Matrix } from "ml-matrix";
import ndarray from "ndarray";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { type Features, frechetDistance } from "../../lib/metrics/frechet.ts";
import { kernelDistance, polynomialKernel, squaredMmd } from "../../lib/metrics/kernel_distance.ts";
import { symmetricSqrt, symmetricSqrtGradient } from "../../lib/metrics/symmetric_sqrt.ts";
import { errorOf } from "./metrics.ts";
import { type Fixture, toleranceOf } from "./fixture.ts";
import { type CaseResult, compareTensors, type Handler, result } from "./run.ts";

function features({ data, shape }: SafetensorsTensor): Features {
  return ndarray(Float64Array.from(data as Float32Array), shape);
}

/** Matrices [B, D, D] as B matrices. */
function matrices({ data, shape: [count, d] }: SafetensorsTensor): Matrix[] {
  const values = Array.from(data as Float32Array);
  return Array.from(
    { length: count },
    (_, i) => Matrix.from1DArray(d, d, values.slice(i * d * d, (i + 1) * d * d)),
  );
}

async function* evaluation(fixture: Fixture): AsyncIterable<CaseResult> {
  const tolerance = toleranceOf(fixture);
  const tensors = fixture.tensors();
  const tensor = (name: string): SafetensorsTensor => {
    const found = tensors.get(name);
    if (!found) throw new RangeError(`Cannot check ${fixture.label} as it has no tensor ${name}`);
    return found;
  };
  const x = features(tensor("x")), y = features(tensor("y"));
  const psd = matrices(tensor("psd")), gradient = matrices(tensor("sqrtm_grad_out"));

  yield await compareTensors(`${fixture.label}/polynomial_kernel`, {
    actual: { polynomial_kernel: polynomialKernel(x, y) },
    expected: { polynomial_kernel: tensor("polynomial_kernel") },
    tolerance,
  });
  const roots: Record<string, Matrix[]> = {
    sqrtm_psd: psd.map(symmetricSqrt),
    sqrtm_sym_indefinite: matrices(tensor("sym_indefinite")).map(symmetricSqrt),
    sqrtm_psd_grad_in: psd.map((m, i) => symmetricSqrtGradient(m, gradient[i])),
  };
  for (const [name, actual] of Object.entries(roots)) {
    for (const [i, expected] of matrices(tensor(name)).entries()) {
      yield await compareTensors(`${fixture.label}/${name}[${i}]`, {
        actual: { [name]: actual[i].to1DArray() },
        expected: { [name]: expected.to1DArray() },
        tolerance,
        // relative to the matrix: entries near 0 are rounding noise in the reference's own float32
        metric: "max_abs_over_rms",
      });
    }
  }

  const scalars: Record<string, () => number> = {
    squared_mmd: () => squaredMmd(x, y),
    kid_default: () => kernelDistance(x, y),
    kid_max10: () => kernelDistance(x, y, { maxSize: 10 }),
    kid_max7: () => kernelDistance(x, y, { maxSize: 7 }),
    fid: () => frechetDistance(x, y),
    fid_same: () => frechetDistance(x, x),
    // 4 and 5 rows of 6 dimensions: the covariances have ranks 3 and 4
    fid_rank_deficient: () => frechetDistance(x.hi(4, x.shape[1]), y.hi(5, y.shape[1])),
  };
  for (const [name, expected] of Object.entries(fixture.json.scalars.f64 as object)) {
    const compute = scalars[name];
    // the distance of a set to itself is 0 but for rounding, so a relative error means nothing
    const metric = name === "fid_same" ? "max_abs" : tolerance.metric;
    const error = compute ? errorOf([compute()], [expected as number], metric) : NaN;
    const value = name === "fid_rank_deficient" ? 10 * tolerance.value : tolerance.value;
    yield result(`${fixture.label}/${name}`, { error, tolerance: value });
  }
}

/** Fréchet and kernel distances. */
export const handlers: Handler[] = [{ room: "util", stem: "evaluation", run: evaluation }];
