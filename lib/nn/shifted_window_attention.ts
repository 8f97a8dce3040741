/**
 * Shifted-window attention (Swin; row B1 of the paper's Table 1): attention within windows, which every other layer
 * moves by half a side.
 *
 * @module
 */
import type { Attention } from "./attention.ts";
import type { AttentionKind } from "./attention_kind.ts";
import { groupedAttention, type Groups, planGroups } from "./grouped_attention.ts";

/** Tokens see their window; every other layer moves the windows by half a side. */
export type ShiftedWindowAttentionSpec = {
  kind: "shifted-window";
  dHead: number;
  /** Divides both sides of the grid. */
  windowSize: number;
};
/** A grid and the side of its windows. */
export type Windows = { h: number; w: number; windowSize: number };

/** Throws a RangeError unless windows of that size tile the grid. */
export function checkShiftedWindow({ h, w, windowSize }: Windows): void {
  const whole = Number.isInteger(windowSize) && windowSize >= 1;
  if (!(whole && h % windowSize === 0 && w % windowSize === 0)) {
    throw new RangeError(
      `Cannot cut the grid into windows as windowSize must divide its sides: windowSize is ${windowSize}, grid is ${h} × ${w}`,
    );
  }
}

/** Window attention on an h × w grid; odd layers see windows shifted by `shift`, half a side by default. */
export function shiftedWindowAttention(
  { heads, shift, ...grid }: Windows & { heads: number; shift?: number },
): Attention {
  const by = [0, shift ?? grid.windowSize >> 1];
  const plans = by.map((shift) => planGroups(shiftedWindowGroups({ ...grid, shift }), { heads }));
  return { attend: (q, k, v, layer) => groupedAttention(plans[layer % 2], { q, k, v }) };
}

/**
 * n windowSize² pairs, masked ones included, as in the paper; windows that hold both ends of the grid do not mix
 * them; a shifted layer joins each window to a half of its neighbours.
 */
export const shiftedWindowKind: AttentionKind<ShiftedWindowAttentionSpec> = {
  kind: "shifted-window",
  local: true,
  check: ({ windowSize }, { h, w }) => checkShiftedWindow({ h, w, windowSize }),
  pairs: ({ windowSize }, { h, w }) => h * w * windowSize ** 2,
  attention: ({ windowSize }, at) => shiftedWindowAttention({ ...at, windowSize }),
};

/**
 * The windows of a grid moved cyclically by `shift` rows down and columns right, as groups. The first row and column of
 * windows then hold both ends of the grid, which do not see each other.
 */
export function shiftedWindowGroups(
  { h, w, windowSize, shift }: Windows & { shift: number },
): Groups {
  checkShiftedWindow({ h, w, windowSize });
  const nx = w / windowSize, groups = h / windowSize * nx, M = windowSize ** 2;
  const row = (i: number) => Math.floor(i / windowSize), column = (i: number) => i % windowSize;
  const queries = Int32Array.from({ length: groups * M }, (_, place) => {
    const group = Math.floor(place / M), i = place % M;
    const y = Math.floor(group / nx) * windowSize + row(i) - shift;
    const x = (group % nx) * windowSize + column(i) - shift;
    return (y + h) % h * w + (x + w) % w;
  });
  const sees = Uint8Array.from({ length: groups * M * M }, (_, at) => {
    const group = Math.floor(at / M / M), i = Math.floor(at / M) % M, j = at % M;
    const apart = (a: number, b: number) => a < shift !== b < shift;
    const top = group < nx && apart(row(i), row(j));
    const left = group % nx === 0 && apart(column(i), column(j));
    return top || left ? 0 : 1;
  });
  return { tokens: h * w, groups, queries, keys: queries, sees };
}
