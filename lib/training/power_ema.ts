/**
 * Averages with power-function profiles, and the mixtures of stored ones that give any other. The profile of exponent
 * gamma at time t weighs the parameters at time s by p(s) = (gamma + 1) s^gamma / t^(gamma + 1), s in [0, t].
 *
 * Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models" (arXiv 2312.02696),
 * Section 3 and Appendix C; equations and algorithms are that paper's.
 *
 * @module
 */
import { Matrix, solve } from "ml-matrix";

/** A profile: its exponent, and how many steps it covers. */
export type PowerProfile = { gamma: number; step: number };

/**
 * The exponent of the profile whose standard deviation is `sigmaRel` times its length: gamma >= 0 with
 * sigmaRel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) (Eq. 123), the root of a cubic (Algorithm 2).
 *
 * Throws a RangeError unless 0 < sigmaRel <= 12^(-1/2), which is the uniform average.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(powerGamma(0.1) - 6.94) < 0.005); // the paper's Section 3.1
 * ```
 */
export function powerGamma(sigmaRel: number): number {
  if (!(sigmaRel > 0 && sigmaRel <= Math.sqrt(1 / 12))) {
    throw new RangeError(
      `Cannot average as sigmaRel must be in (0, 0.2886]: sigmaRel is ${sigmaRel}`,
    );
  }
  // gamma^3 + 7 gamma^2 + (16 - s) gamma + (12 - s) = 0, s = sigmaRel^-2: one root >= 0, left of 1 / sigmaRel
  const s = sigmaRel ** -2;
  const value = (g: number) => ((g + 7) * g + 16 - s) * g + 12 - s;
  const slope = (g: number) => (3 * g + 14) * g + 16 - s;
  let gamma = 1 / sigmaRel;
  for (;;) { // Newton's, falling towards the root as the cubic is convex there
    const next = gamma - value(gamma) / slope(gamma);
    if (!(next < gamma)) return Math.max(0, gamma);
    gamma = next;
  }
}

/** Decay of the average in the step that makes `step` steps in all: (1 - 1 / step)^(gamma + 1) (Eq. 127). */
export function powerDecay({ gamma, step }: PowerProfile): number {
  return (1 - 1 / step) ** (gamma + 1);
}

/**
 * Weights of stored averages whose mixture is nearest to the average `target`, as profiles in the least-squares sense
 * (Algorithm 3: A x = b with inner products of profiles).
 *
 * Unlike there, the weights are held to a sum of 1: with few stored averages they would else shrink every parameter by
 * some per cent.
 */
export function mixingWeights(stored: readonly PowerProfile[], target: PowerProfile): number[] {
  const n = stored.length,
    product = (a: PowerProfile, b: PowerProfile) => target.step * profileProduct(a, b); // without units
  const system = Matrix.ones(n + 1, n + 1);
  stored.forEach((a, i) => stored.forEach((b, j) => system.set(i, j, product(a, b))));
  system.set(n, n, 0);
  const wanted = Matrix.columnVector([...stored.map((a) => product(a, target)), 1]);
  return solve(system, wanted).to1DArray().slice(0, n);
}

/** The integral of the product of two profiles over the time that both cover. */
function profileProduct(a: PowerProfile, b: PowerProfile): number {
  if (a.step > b.step) return profileProduct(b, a);
  const common = (a.gamma + 1) * (b.gamma + 1) / (a.gamma + b.gamma + 1);
  return common * (a.step / b.step) ** b.gamma / b.step;
}
