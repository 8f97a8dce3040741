/**
 * The charts of a report, from the records of a run.
 *
 * @module
 */
import type { Figure } from "../../lib/charts/figure.ts";
import {
  costScaling,
  distanceBars,
  heldOutBySigma,
  lossCurves,
  qualityVsCost,
  resolutionExtrapolation,
  throughputBars,
} from "../../lib/charts/figures.ts";
import { armStyles } from "../../lib/charts/theme.ts";
import type { EvalRecord, Results } from "../results.ts";
import { type ArmSummary, evalsOf, featuresOf, lastEvals } from "./compare.ts";

/** Every chart that the records allow, in the order of the report. */
export function reportFigures(results: Results, arms: ArmSummary[]): Figure[] {
  const { run } = results;
  const options = {
    base: run.base,
    styles: armStyles(results.arms.map(({ arm }) => arm), { base: run.base }),
  };
  const figures: Figure[] = [];
  const name = ({ record }: ArmSummary) => ({ arm: record.arm, title: record.title });

  const curves = arms.map((arm) => ({
    ...name(arm),
    seeds: run.seeds.map((seed) => ({
      seed,
      train: results.train.filter((r) => r.arm === arm.record.arm && r.seed === seed)
        .map(({ images, loss }): [number, number] => [images, loss]),
      heldOut: evalsOf(results, arm.record.arm, run.size).filter((r) => r.seed === seed)
        .map(({ images, heldOut }): [number, number] => [images, heldOut.mean]),
    })),
  })).filter(({ seeds }) => seeds.some(({ train, heldOut }) => train.length + heldOut.length > 0));
  if (curves.length > 0) figures.push(lossCurves(curves, options));

  // Only evaluations after the same number of images stand beside each other
  const measured = alike(arms, ({ distances }) => distances);
  const fd = measured[0]?.evals[0].fd;
  if (fd !== undefined) {
    const distances = measured.map(({ arm, evals }) => ({
      ...name(arm),
      macs: arm.record.macs,
      seeds: seedDistances(evals),
    }));
    const { features, n, nReference, floor } = fd;
    figures.push(distanceBars(distances, {
      ...options,
      features,
      n,
      nReference,
      ...(floor === undefined ? {} : { floor }),
    }));
    figures.push(qualityVsCost(distances, { ...options, features }));
  }

  const bySigma = alike(arms, ({ evals }) => evals).map(({ arm, evals }) => ({
    ...name(arm),
    seeds: evals.map(({ seed, heldOut }) => ({ seed, bySigma: heldOut.bySigma })),
  }));
  if (bySigma.length > 0) figures.push(heldOutBySigma(bySigma, options));

  const resolutions = extrapolated(results, arms).map((arm) => ({
    ...name(arm),
    points: evaluatedSizes(results).flatMap((size) => {
      const evals = lastEvals(results, arm.record.arm, size);
      if (evals.length === 0) return [];
      const heldOut = evals.map((record) => ({ seed: record.seed, value: record.heldOut.mean }));
      const distances = seedDistances(evals);
      return [{ size, heldOut, fd: distances.length > 0 ? distances : undefined }];
    }),
  }));
  if (resolutions.length > 0) {
    const features = featuresOf(results), trainedSize = run.size;
    figures.push(resolutionExtrapolation(resolutions, { ...options, trainedSize, features }));
  }

  const speeds = arms.filter(({ done }) => done.length > 0).map((arm) => ({
    ...name(arm),
    seeds: arm.done.map(({ seed, imagesPerSecond }) => ({ seed, value: imagesPerSecond })),
  }));
  if (speeds.length > 0) {
    const machine = `${run.machine.cpu}, ${run.machine.cores} cores, ${run.machine.engine}`;
    figures.push(throughputBars(speeds, { ...options, machine }));
  }

  if (results.costs.length > 0) figures.push(costScaling(results.costs));
  return figures;
}

/** The arms with evaluations after the largest number of images that any of these were taken at. */
function alike(arms: ArmSummary[], of: (arm: ArmSummary) => EvalRecord[]) {
  const most = Math.max(...arms.flatMap((arm) => of(arm).map(({ images }) => images)));
  return arms
    .map((arm) => ({ arm, evals: of(arm).filter(({ images }) => images === most) }))
    .filter(({ evals }) => evals.length > 0);
}

/** Every image size that some arm was evaluated at, ascending. */
export function evaluatedSizes(results: Results): number[] {
  return [...new Set(results.evals.map(({ size }) => size))].sort((a, b) => a - b);
}

/** The arms that were evaluated at another size than the trained one. */
export function extrapolated(results: Results, arms: ArmSummary[]): ArmSummary[] {
  return arms.filter(({ record }) =>
    results.evals.some(({ arm, size }) => arm === record.arm && size !== results.run.size)
  );
}

function seedDistances(evals: EvalRecord[]) {
  return evals.flatMap(({ seed, fd }) =>
    fd === undefined ? [] : [{ seed, value: fd.value, low: fd.low, high: fd.high }]
  );
}
