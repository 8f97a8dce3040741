/**
 * What a model needs to run at sizes that are not known when its graph is recorded.
 *
 * @module
 */
import type { AnySizeAttention, Grid } from "../nn/attention_kind.ts";
import { attentionKind, type AttentionSpec } from "../nn/attention_spec.ts";
import { anySizePositions } from "../nn/any_size_positions.ts";
import { checkModel, type HditSpec, levelGrid } from "./spec.ts";
import type { TokenGrid } from "./token_grids.ts";

/**
 * What the sides of inputs must be multiples of, in pixels: what patch and merges ask for, and what the tokens of each
 * level must be cut into.
 *
 * Throws a RangeError where a kind of attention cannot be had with any size.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { anySizeMultiples } from "./any_size.ts";
 * import { presets } from "./presets.ts";
 *
 * assert.deepEqual(anySizeMultiples(presets["imagenet-128/E"]), [8, 8]); // patch 4, one merge
 * assert.deepEqual(anySizeMultiples(presets["imagenet-128/B1"]), [32, 32]); // windows of 8 tokens of 4 pixels
 * ```
 */
export function anySizeMultiples(spec: HditSpec): number[] {
  checkModel(spec);
  const tokens = spec.levels.map(({ attention }, level) => { // of the middle level
    const asked = anySizeAttention(attention).multipleOf?.(attention) ?? 1;
    return asked / gcd(asked, coarsening(spec, level));
  }).reduce((a, b) => a * b / gcd(a, b));
  return spec.patchSize.map((side) => side * coarsening(spec, 0) * tokens);
}

/** Attention and positions of every level, as `tokenGrids`, by operations on the sides of the finest grid. */
export function anySizeGrids(spec: HditSpec, finest: Grid): TokenGrid[] {
  const { position } = spec;
  const size = finest.map((side, axis) => side * spec.patchSize[axis]);
  const multiples = anySizeMultiples(spec);
  return spec.levels.map(({ attention, width }, level) => {
    const grid = levelGrid(spec, { size, level });
    const pitched = "trainingGrid" in position
      ? { trainingGrid: position.trainingGrid.map((side) => side / 2 ** level) }
      : {};
    return {
      pos: anySizePositions(grid, pitched),
      attention: anySizeAttention(attention).attention(attention, {
        grid,
        heads: attention.kind === "none" ? 0 : width / attention.dHead,
        multiples: levelGrid(spec, { size: multiples, level }),
      }),
    };
  });
}

/** How many tokens of a level become one in the middle, along an axis. */
function coarsening({ levels }: HditSpec, level: number): number {
  return 2 ** (levels.length - 1 - level);
}

function anySizeAttention(attention: AttentionSpec): AnySizeAttention<AttentionSpec> {
  const { anySize } = attentionKind(attention);
  if (anySize) return anySize;
  throw new RangeError(
    `Cannot run the model at any size as its kinds of attention must be had without tables: ${attention.kind} is not`,
  );
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
