/**
 * Sliding-window attention: a query sees the k × k window centred on it, cut off at the borders. There it has fewer
 * keys and stays in the middle, where neighborhood attention keeps k² keys and moves the window.
 *
 * @module
 */
import type { Attention } from "./attention.ts";
import { anySizeWindowAttention } from "./any_size_windows.ts";
import type { AttentionKind } from "./attention_kind.ts";
import { groupedAttention, type Groups, planGroups } from "./grouped_attention.ts";
import { chooseTile, type Tile, type WindowedGrid, windowGroups } from "./window_groups.ts";

/** Every token sees those at most kernelSize >> 1 rows and columns away. */
export type SlidingWindowAttentionSpec = {
  kind: "sliding-window";
  dHead: number;
  /** Odd; a window may be larger than the grid. */
  kernelSize: number;
};

/** A grid and the side of a window. */
export type SlidingWindows = Omit<WindowedGrid, "dilation">;

/** The window of position i on an axis: i − (k >> 1) to i + (k >> 1), as far as the axis goes. */
export function slidingWindow(
  i: number,
  { length, kernelSize }: { length: number; kernelSize: number },
): { from: number; to: number } {
  const half = kernelSize >> 1;
  return { from: Math.max(i - half, 0), to: Math.min(i + half + 1, length) };
}

/** Throws a RangeError unless the kernel is odd. */
export function checkSlidingWindow({ kernelSize }: { kernelSize: number }): void {
  if (!(Number.isInteger(kernelSize) && kernelSize >= 1 && kernelSize % 2 === 1)) {
    throw new RangeError(
      `Cannot attend to sliding windows as kernelSize must be odd and at least 1: kernelSize is ${kernelSize}`,
    );
  }
}

/** Sliding-window attention on a grid; `tile` is chosen where it is not given. */
export function slidingWindowAttention(
  { heads, tile, ...windows }: SlidingWindows & { heads: number; tile?: Tile },
): Attention {
  const plan = planGroups(slidingWindowGroups(windows, tile), { heads });
  return { attend: (q, k, v) => groupedAttention(plan, { q, k, v }) };
}

/** The tiles of a grid with their halos, as groups. */
export function slidingWindowGroups(windows: SlidingWindows, tile?: Tile): Groups {
  checkSlidingWindow(windows);
  return windowGroups(windows, { rule: slidingWindow, tile: tile ?? chooseTile(windows) });
}

/**
 * Σ_y |rows seen| · Σ_x |columns seen| pairs: n k² less what lies outside; windows are cut off at the border; a
 * layer widens what is seen by k − 1.
 */
export const slidingWindowKind: AttentionKind<SlidingWindowAttentionSpec> = {
  kind: "sliding-window",
  local: true,
  check: checkSlidingWindow,
  pairs: ({ kernelSize }, { grid }) =>
    grid.reduce((pairs, length) => {
      const reach = Math.min(kernelSize >> 1, length - 1);
      return pairs * (length * (2 * reach + 1) - reach * (reach + 1));
    }, 1),
  attention: ({ kernelSize }, at) => slidingWindowAttention({ ...at, kernelSize }),
  anySize: {
    attention: ({ kernelSize }, at) => anySizeWindowAttention({ kernelSize, moved: false }, at),
  },
};
