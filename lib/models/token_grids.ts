/**
 * What the tokens of each level know of their grid: positions and attention.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Attention } from "../nn/attention.ts";
import { type Grid, tokensOf } from "../nn/attention_kind.ts";
import { anySizeLearnedPositions, anySizeSincosPositions } from "../nn/any_size_positions.ts";
import { attentionKind } from "../nn/attention_spec.ts";
import {
  type AxialPositions,
  axialPositions,
  downscalePositions,
  positionsAtPitch,
} from "../nn/axial_positions.ts";
import { learnedPositions } from "../nn/learned_positions.ts";
import { sincosPositions } from "../nn/sincos_positions.ts";
import type { HditParams } from "./hdit_params.ts";
import type { HditSpec, LevelSpec } from "./spec.ts";

/** What the layers of a level share. */
export type TokenGrid = { attention: Attention; pos: tf.Tensor };

/** Attention and positions of every level, for tokens on a grid at the finest. */
export function tokenGrids(spec: HditSpec, finest: Grid): TokenGrid[] {
  const grids: TokenGrid[] = [];
  let positions = finestPositions(spec, finest);
  for (const [i, level] of spec.levels.entries()) {
    if (i > 0) positions = downscalePositions(positions);
    const { grid, data } = positions;
    const pos = tf.tensor(data, [tokensOf(grid), grid.length]);
    grids.push({ attention: attentionFor(level, grid), pos });
  }
  return grids;
}

/** The attention of a level on a grid. */
export function attentionFor({ attention, width }: LevelSpec, grid: Grid): Attention {
  const heads = attention.kind === "none" ? 0 : width / attention.dHead;
  return attentionKind(attention).attention(attention, { grid, heads });
}

/** x [B, …grid, width] with the position table added, for specs that have one. */
export function addPositions(
  { pos_emb }: Pick<HditParams, "pos_emb">,
  x: tf.Tensor,
  { spec: { position }, anySize }: { spec: HditSpec; anySize: boolean },
): tf.Tensor {
  const grid = x.shape.slice(1, -1), width = x.shape[x.rank - 1], shape = [1, ...grid, width];
  switch (position.kind) {
    case "sincos": {
      const table = anySize
        ? anySizeSincosPositions({ grid, width })
        : tf.tensor(sincosPositions({ grid, width }));
      return tf.add(x, tf.reshape(table, shape));
    }
    case "learned": {
      const table = anySize
        ? anySizeLearnedPositions(pos_emb!.weight, grid)
        : learnedPositions(pos_emb!, grid);
      return tf.add(x, tf.reshape(table, shape));
    }
    case "rope":
    case "none":
      return x;
  }
}

function finestPositions({ position }: HditSpec, grid: Grid): AxialPositions {
  if (position.kind === "rope" && position.positions === "training-pitch") {
    return positionsAtPitch(grid, { trainingGrid: position.trainingGrid });
  }
  return axialPositions(grid);
}
