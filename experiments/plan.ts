/**
 * What will be run: the arms with their models and costs, the sizes at which they are evaluated.
 *
 * @module
 */
import { cost } from "../lib/models/cost.ts";
import { presets } from "../lib/models/presets.ts";
import { checkSpec, growLevels, type HditSpec } from "../lib/models/spec.ts";
import { applyDifference, type Arm, armsOn, BASE } from "./arms.ts";
import { type Ablation, armsOf } from "./config.ts";
import type { ArmRecord, CostRecord } from "./results.ts";

/** An arm ready to be trained. */
export type PlannedArm = {
  name: string;
  title: string;
  axes: string[];
  difference: Arm["difference"];
  spec: HditSpec;
  params: number;
  macs: number;
  /** Where it is evaluated beside the trained size: sides in pixels, with the samples drawn there. */
  extrapolate: { size: number; samples: number }[];
};

/**
 * The base and its arms, checked at every size before any work is done.
 *
 * @throws {RangeError} where an arm does not fit a size.
 */
export function planArms(
  ablation: Omit<Ablation, "engine">,
  { numClasses }: { numClasses: number },
): PlannedArm[] {
  const { axes, size } = ablation;
  const model = { ...ablation.model, numClasses };
  const extrapolate = axes.includes("resolution")
    ? ablation.evaluation.extrapolate.map(({ scale, samples }) => ({
      size: nearestSize(model, size * scale),
      samples,
    }))
    : [];
  const base = {
    ...BASE,
    axes: [...axes] as string[],
    difference: {} as Arm["difference"],
    resolution: true,
  };
  const others = armsOn(armsOf(ablation.preset), axes).map(({ name, title, axis, difference }) => ({
    name,
    title,
    difference,
    axes: axis === "position" && extrapolate.length > 0 ? [axis, "resolution"] : [axis],
    resolution: axis === "position",
  }));
  return [base, ...others].map(({ resolution, ...arm }) => {
    const spec = applyDifference(model, arm.difference);
    const sizes = resolution ? extrapolate : [];
    try {
      checkSpec(spec, [size, size]);
      for (const { size } of sizes) checkSpec(spec, [size, size]);
    } catch (error) {
      if (error instanceof RangeError) {
        throw new RangeError(`${error.message} (arm ${arm.name})`);
      }
      throw error;
    }
    const { params, macs } = cost(spec, [size, size]);
    return { ...arm, spec, params, macs, extrapolate: sizes };
  });
}

/** The size nearest to a wanted one that patch and merges divide. */
function nearestSize({ patchSize, levels }: HditSpec, wanted: number): number {
  const unit = Math.max(...patchSize) * 2 ** (levels.length - 1);
  return Math.max(1, Math.round(wanted / unit)) * unit;
}

/** What `results.jsonl` says of an arm. */
export function armRecord(
  { name, title, axes, difference, params, macs, spec }: PlannedArm,
): ArmRecord {
  return { kind: "arm", arm: name, title, axes, difference, params, macs, spec };
}

/** Cost against resolution as in the paper's Figure 8: one local level more for each doubling. */
export function costRecords(): CostRecord[] {
  const sides = [128, 256, 512, 1024];
  const hdit = sides.map((side, doublings): [number, number] => [
    side,
    cost(growLevels(presets["imagenet-128/E"], { doublings }), [side, side]).macs,
  ]);
  const dit = sides.map((side): [number, number] => [
    side,
    cost(presets["imagenet-128/R3"], [side, side]).macs,
  ]);
  return [
    { kind: "cost", model: "HDiT-B/4", points: hdit },
    { kind: "cost", model: "DiT-B/4", points: dit },
  ];
}
