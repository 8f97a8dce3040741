/**
 * The charts, as pure functions from data to Plotly figures.
 *
 * @module
 */
export type { ArmName, ArmOptions, SeedValue } from "./figures/common.ts";
export {
  type ArmQuality,
  type CostCurve,
  costScaling,
  COUNTING_NOTE,
  PAPER_COSTS,
  qualityVsCost,
} from "./figures/cost.ts";
export { costAndTime, type TimeCurve } from "./figures/cost_and_time.ts";
export {
  type ArmDistance,
  distanceBars,
  distanceName,
  type DistanceOptions,
} from "./figures/distance.ts";
export { type LossCurve, lossCurves } from "./figures/loss.ts";
export { type ResolutionCurve, resolutionExtrapolation } from "./figures/resolution.ts";
export { heldOutBySigma, type SigmaCurve } from "./figures/sigma.ts";
export { type ArmThroughput, throughputBars } from "./figures/throughput.ts";
