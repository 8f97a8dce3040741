import { treeEntries } from "../engine/tree.ts";
import { median } from "../statistics.ts";
import type { StepBatch } from "./train_batch.ts";
import type { Leaves } from "./train_step.ts";

/** How many gradient norms a norm is compared with, and how many there must be. */
const WINDOW = 100, ENOUGH = 20;

/** The norms to compare later ones with, the newest last. */
export function rememberNorm(recent: readonly number[], norm: number): number[] {
  return [...recent, norm].slice(-WINDOW);
}

/**
 * How many times the median of the last steps' gradient norms a norm is; 1 as long as there are fewer than 20, or
 * the median is 0.
 */
export function normRatio(norm: number, recent: readonly number[]): number {
  const usual = recent.length >= ENOUGH ? median(recent)! : 0;
  return usual > 0 ? norm / usual : 1;
}

/** Where a step went wrong, to look at in the order in which it is computed. */
export type Suspects = {
  batch: StepBatch;
  params: unknown; // before the step
  losses: Float32Array; // [B]
  gradients: () => Promise<Leaves>; // the caller's to dispose
};

/**
 * Says which tensor of a diverged step was the first to hold numbers that are not finite: the batch, then
 * parameters and losses of samples, then gradients from the output back to the input, as they are computed. Where all
 * are finite, the gradient with the largest share of the norm.
 */
export async function firstToGo(
  { batch, params, losses, gradients }: Suspects,
): Promise<string> {
  const { images, noise, sigma, augCond } = batch, [B] = batch.shape;
  for (const [name, data] of Object.entries({ images, noise, sigma, augCond })) {
    const at = data ? findNotFinite(data) : -1;
    if (data && at >= 0) {
      return `batch.${name} was the first to go: ${data[at]} in sample ${
        Math.floor(at * B / data.length)
      }`;
    }
  }
  const bad = await firstNotFinite({ params });
  if (bad) return `${bad.path} was the first to go: ${bad.text} before the step`;
  const row = findNotFinite(losses);
  if (row >= 0) {
    const { path, value } = await largest({ params });
    return `the loss of sample ${row} was the first to go: ${losses[row]} at sigma ${
      short(sigma[row])
    }, from finite parameters, the largest of them ${short(value)} in ${path}`;
  }
  const grads = await gradients();
  try {
    // The backward pass reaches the last parameters first
    const wrong = await firstNotFinite({
      grads: Object.fromEntries(Object.entries(grads).toReversed()),
    });
    if (wrong) return `${wrong.path} was the first to go: ${wrong.text}, from finite losses`;
    const { path, share } = await largestShare(grads);
    return `${path} has ${(100 * share).toFixed(0)} % of the squared norm`;
  } finally {
    for (const leaf of Object.values(grads)) leaf.dispose();
  }
}

/** The first tensor of a tree that holds a number which is not finite. */
export async function firstNotFinite(
  tree: unknown,
): Promise<{ path: string; text: string } | undefined> {
  for (const [path, leaf] of treeEntries(tree)) {
    const data = await leaf.data(), at = findNotFinite(data);
    if (at < 0) continue;
    const count = Array.from(data).filter((x) => !Number.isFinite(x)).length;
    return { path, text: `${data[at]}, with ${count} of its ${data.length} numbers not finite` };
  }
}

function findNotFinite(data: ArrayLike<number>): number {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return i;
  return -1;
}

async function largest(tree: unknown): Promise<{ path: string; value: number }> {
  let found = { path: "", value: 0 };
  for (const [path, leaf] of treeEntries(tree)) {
    for (const x of await leaf.data()) {
      if (Math.abs(x) > Math.abs(found.value)) found = { path, value: x };
    }
  }
  return found;
}

async function largestShare(grads: Leaves): Promise<{ path: string; share: number }> {
  let found = { path: "", square: -1 }, total = 0;
  for (const [path, leaf] of treeEntries({ grads })) {
    let square = 0;
    for (const x of await leaf.data()) square += x * x;
    total += square;
    if (square > found.square) found = { path, square };
  }
  return { path: found.path, share: found.square / total };
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
