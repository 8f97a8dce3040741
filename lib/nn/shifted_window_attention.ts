/**
 * Shifted-window attention (Swin; row B1 of the paper's Table 1): attention within windows, which every other layer
 * moves by half a side.
 *
 * @module
 */
import { anySizeShiftedWindowAttention } from "./any_size_windows.ts";
import type { Attention } from "./attention.ts";
import { type AttentionKind, type Grid, tokensOf } from "./attention_kind.ts";
import { crossGroups, groupedAttention, type Groups, planGroups } from "./grouped_attention.ts";

/** Tokens see their window; every other layer moves the windows by half a side. */
export type ShiftedWindowAttentionSpec = {
  kind: "shifted-window";
  dHead: number;
  /** Divides both sides of the grid. */
  windowSize: number;
};
/** A grid and the side of its windows. */
export type Windows = { grid: Grid; windowSize: number };

/** Throws a RangeError unless windows of that size tile the grid. */
export function checkShiftedWindow({ grid, windowSize }: Windows): void {
  const whole = Number.isInteger(windowSize) && windowSize >= 1;
  if (!(whole && grid.every((side) => side % windowSize === 0))) {
    throw new RangeError(
      `Cannot cut the grid into windows as windowSize must divide its sides: windowSize is ${windowSize}, grid is ${
        grid.join(" × ")
      }`,
    );
  }
}

/** Window attention on a grid; odd layers see windows shifted by `shift`, half a side by default. */
export function shiftedWindowAttention(
  { heads, shift, ...windows }: Windows & { heads: number; shift?: number },
): Attention {
  const by = [0, shift ?? windows.windowSize >> 1];
  const plans = by.map((shift) =>
    planGroups(shiftedWindowGroups({ ...windows, shift }), { heads })
  );
  return { attend: (q, k, v, layer) => groupedAttention(plans[layer % 2], { q, k, v }) };
}

/**
 * n windowSize² pairs, masked ones included, as in the paper; windows that hold both ends of the grid do not mix
 * them; a shifted layer joins each window to a half of its neighbours.
 */
export const shiftedWindowKind: AttentionKind<ShiftedWindowAttentionSpec> = {
  kind: "shifted-window",
  local: true,
  check: ({ windowSize }, grid) => checkShiftedWindow({ grid, windowSize }),
  pairs: ({ windowSize }, { grid }) => tokensOf(grid) * windowSize ** grid.length,
  attention: ({ windowSize }, at) => shiftedWindowAttention({ ...at, windowSize }),
  anySize: {
    multipleOf: ({ windowSize }) => windowSize,
    attention: anySizeShiftedWindowAttention,
  },
};

/**
 * The windows of a grid moved cyclically by `shift` towards the end of every axis (down and right), as groups. The first
 * windows of an axis then hold both of its ends, which do not see each other.
 */
export function shiftedWindowGroups(
  { grid, windowSize: size, shift }: Windows & { shift: number },
): Groups {
  checkShiftedWindow({ grid, windowSize: size });
  return grid.map((length): Groups => {
    const groups = length / size;
    const members = Int32Array.from({ length }, (_, place) => (place - shift + length) % length);
    const sees = Uint8Array.from({ length: length * size }, (_, at) => {
      const group = Math.floor(at / size / size), i = Math.floor(at / size) % size, j = at % size;
      return group === 0 && i < shift !== j < shift ? 0 : 1;
    });
    return { tokens: length, groups, queries: members, keys: members, sees };
  }).reduce(crossGroups);
}
