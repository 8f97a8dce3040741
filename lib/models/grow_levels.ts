import type { HditSpec } from "./spec.ts";

/**
 * The model for a larger resolution: every doubling adds one local level, a copy of the shallowest
 * (paper, §4.1 and appendix A), so that the middle of the hourglass keeps its number of tokens.
 *
 * The levels added have weights of their own; the paper's appendix speaks of shared ones, the
 * authors' code builds new ones.
 *
 * @throws {RangeError} where `doublings` is not a whole number >= 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { growLevels } from "./grow_levels.ts";
 * import { presets } from "./presets.ts";
 *
 * const grown = growLevels(presets["imagenet-128/E"], { doublings: 2 }); // for 512 px
 * assert.deepEqual(grown.levels.map(({ width }) => width), [384, 384, 384, 768]);
 * ```
 */
export function growLevels(spec: HditSpec, { doublings }: { doublings: number }): HditSpec {
  if (!(Number.isInteger(doublings) && doublings >= 0)) {
    throw new RangeError(
      `Cannot grow the model as doublings must be a whole number >= 0: doublings is ${doublings}`,
    );
  }
  const [shallowest] = spec.levels;
  const added = Array.from({ length: doublings }, () => structuredClone(shallowest));
  return { ...spec, levels: [...added, ...spec.levels] };
}
