/**
 * What the records of a run say about each arm, and about its difference from the base.
 *
 * @module
 */
import { mean, meanInterval, type Spread } from "../../lib/charts/statistics.ts";
import type { ArmRecord, DoneRecord, EvalRecord, Results, SamplesRecord } from "../results.ts";

/** A difference from the base with its 95 % interval over `n` of what `unit` names. */
export type PairedDifference = Spread & {
  /** As a share of the base's loss. */
  relative: number;
  unit: "seeds" | "held-out images" | "noise levels";
  /** Images seen by both when it was taken. */
  images: number;
};

/** One arm over all its seeds. */
export type ArmSummary = {
  record: ArmRecord;
  isBase: boolean;
  status:
    | { kind: "done" }
    | { kind: "failed"; message: string }
    | { kind: "running"; seedsDone: number; images: number }
    | { kind: "waiting" };
  /** The last evaluation of each seed at the trained size, of the averaged weights. */
  evals: EvalRecord[];
  /** The last such evaluation of each seed that has a distance. */
  distances: EvalRecord[];
  done: DoneRecord[];
  /** Mean over the last tenth of the images seen, and over seeds. */
  trainLoss: number;
  heldOut: number;
  difference: PairedDifference | undefined;
  /** The last grid of each seed at the trained size. */
  samples: SamplesRecord[];
};

/** What the distances of a run are taken on; undefined where there is none yet. */
export function featuresOf({ evals }: Results): string | undefined {
  return evals.find(({ fd }) => fd)?.fd?.features;
}

/** Summarises every arm, in the order of the records. */
export function summarise(results: Results): ArmSummary[] {
  return results.arms.map((record) => {
    const { arm } = record;
    const { run } = results;
    const evals = lastEvals(results, arm, run.size);
    const isBase = arm === run.base;
    return {
      record,
      isBase,
      status: statusOf(results, arm),
      evals,
      distances: lastOfSeed(evalsOf(results, arm, run.size).filter(({ fd }) => fd !== undefined)),
      done: results.done.filter((done) => done.arm === arm),
      trainLoss: mean(
        run.seeds.map((seed) => finalTrainLoss(results, arm, seed))
          .filter(Number.isFinite),
      ),
      heldOut: mean(evals.map(({ heldOut }) => heldOut.mean)),
      difference: isBase ? undefined : pairedDifference(results, arm, run.size),
      samples: lastOfSeed(
        results.samples.filter((samples) => samples.arm === arm && samples.size === run.size),
      ),
    };
  });
}

/** Evaluations of an arm's averaged weights at one image size, by seed and images seen. */
export function evalsOf(results: Results, arm: string, size: number): EvalRecord[] {
  return results.evals.filter((record) =>
    record.arm === arm && record.size === size && record.weights === "ema"
  );
}

/** The last evaluation of each seed at one image size, of the averaged weights. */
export function lastEvals(results: Results, arm: string, size: number): EvalRecord[] {
  return lastOfSeed(evalsOf(results, arm, size));
}

/**
 * Held-out loss of an arm minus the base's, paired by seed at the same number of images seen.
 *
 * The interval is over seeds from three seeds on; below that over held-out images where their
 * losses were kept, else over noise levels, and then says nothing of other seeds. Undefined where
 * no seed has been evaluated for both.
 */
export function pairedDifference(
  results: Results,
  arm: string,
  size: number,
): PairedDifference | undefined {
  const pairs = results.run.seeds.flatMap((seed) => {
    const of = (name: string) =>
      new Map(
        evalsOf(results, name, size).filter((record) => record.seed === seed)
          .map((record) => [record.images, record]),
      );
    const bases = of(results.run.base);
    const ours = of(arm);
    const images = Math.max(...[...ours.keys()].filter((images) => bases.has(images)));
    if (!Number.isFinite(images)) return [];
    return [{ ours: ours.get(images)!.heldOut, base: bases.get(images)!.heldOut, images }];
  });
  if (pairs.length === 0) return undefined;
  const bySeed = pairs.map(({ ours, base }) => ours.mean - base.mean);
  const shared = {
    relative: mean(bySeed) / mean(pairs.map(({ base }) => base.mean)),
    images: Math.min(...pairs.map(({ images }) => images)),
  };
  if (pairs.length >= 3) return { ...meanInterval(bySeed), ...shared, unit: "seeds" };
  const byImage = pairs.map(({ ours, base }) => differences(ours.byImage, base.byImage));
  const overImages = meanOfLists(byImage);
  if (overImages !== undefined) {
    return { ...meanInterval(overImages), ...shared, unit: "held-out images" };
  }
  const bySigma = pairs.map(({ ours, base }) => {
    const at = new Map(base.bySigma);
    return differences(ours.bySigma.map(([, loss]) => loss), ours.bySigma.map(([s]) => at.get(s)));
  });
  const overSigmas = meanOfLists(bySigma);
  const spread = overSigmas === undefined
    ? { value: mean(bySeed), low: NaN, high: NaN, n: 1 }
    : meanInterval(overSigmas);
  return { ...spread, value: mean(bySeed), ...shared, unit: "noise levels" };
}

function differences(
  ours: number[] | undefined,
  base: (number | undefined)[] | undefined,
): number[] | undefined {
  if (ours === undefined || ours.length !== base?.length) return undefined;
  const out = ours.map((value, i) => value - (base[i] ?? NaN));
  return out.every(Number.isFinite) ? out : undefined;
}

/** Element by element; undefined where a list is missing or lengths differ. */
function meanOfLists(lists: (number[] | undefined)[]): number[] | undefined {
  const [first] = lists;
  if (first === undefined || first.length < 2) return undefined;
  if (lists.some((list) => list?.length !== first.length)) return undefined;
  return first.map((_, i) => mean(lists.map((list) => list![i])));
}

function statusOf(results: Results, arm: string): ArmSummary["status"] {
  const failed = results.failed.find((record) => record.arm === arm);
  if (failed !== undefined) return { kind: "failed", message: failed.message };
  const seedsDone = results.done.filter((record) => record.arm === arm).length;
  if (seedsDone >= results.run.seeds.length) return { kind: "done" };
  const started = results.train.filter((record) => record.arm === arm);
  const images = started.filter(({ seed }) =>
    !results.done.some((record) => record.arm === arm && record.seed === seed)
  ).reduce((most, record) => Math.max(most, record.images), 0);
  if (seedsDone === 0 && started.length === 0) return { kind: "waiting" };
  return { kind: "running", seedsDone, images };
}

function finalTrainLoss(results: Results, arm: string, seed: number): number {
  const curve = results.train.filter((record) => record.arm === arm && record.seed === seed);
  const last = curve.at(-1)?.images ?? NaN;
  return mean(curve.filter(({ images }) => images > 0.9 * last).map(({ loss }) => loss));
}

/** Of records sorted by images, the last of each seed. */
function lastOfSeed<R extends { seed: number }>(records: R[]): R[] {
  return [...new Map(records.map((record) => [record.seed, record])).values()];
}
