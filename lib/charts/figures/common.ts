/**
 * What all figures share: the frame, the names of arms, error bars.
 *
 * @module
 */
import type { Data, Layout } from "plotly.js-dist";
import { type Figure, type FigureMeta, plotlyText, wrapLabel } from "../figure.ts";
import { type Spread, spread } from "../statistics.ts";
import { type ArmStyle, armStyles, chartTemplate } from "../theme.ts";

/** An arm as charts name it; `title` may be any text, and is wrapped. */
export type ArmName = { arm: string; title: string };

/** A measurement for one seed; `low` and `high` end its own 95 % interval, where it has one. */
export type SeedValue = { seed: number; value: number; low?: number; high?: number };

/** Which arm is the base, and the styles where more arms exist than this figure shows. */
export type ArmOptions = { base: string; styles?: Map<string, ArmStyle> };

/** The styles to draw these arms with. */
export function stylesOf(arms: ArmName[], { base, styles }: ArmOptions): Map<string, ArmStyle> {
  return styles ?? armStyles(arms.map(({ arm }) => arm), { base });
}

/**
 * One value for several seeds: their mean and range, or the one seed's own interval.
 *
 * The caption of a figure that uses it says so, in the words of `SPREAD_NOTE`.
 */
export function overSeeds(seeds: SeedValue[]): Spread {
  const finite = seeds.filter(({ value }) => Number.isFinite(value));
  if (finite.length !== 1) return spread(finite.map(({ value }) => value));
  const [{ value, low = value, high = value }] = finite;
  return { value, low, high, n: 1 };
}

/** What the error bars of `overSeeds` mean. */
export const SPREAD_NOTE =
  "Error bars: the range over seeds, or the 95 % interval over samples where there is one seed.";

/** Error bars of `overSeeds`, none where they have no length. */
export function errorBars(spreads: Spread[], color: string) {
  const up = spreads.map(({ value, high }) => finite(high - value));
  const down = spreads.map(({ value, low }) => finite(value - low));
  if ([...up, ...down].every((length) => length === 0)) return { visible: false };
  return {
    type: "data" as const,
    symmetric: false,
    array: up,
    arrayminus: down,
    color,
    thickness: 1.5,
    width: 5,
  };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** A figure from its traces, in the house's look. */
export function frame(meta: FigureMeta, data: Data[], layout: Partial<Layout>): Figure {
  return {
    data,
    layout: {
      template: chartTemplate() as NonNullable<Layout["template"]>,
      title: { text: plotlyText(meta.title) },
      height: 460,
      meta,
      ...layout,
    },
  };
}

/** The label of an arm in legends and on axes. */
export function armLabel({ title }: ArmName, width = 23): string {
  return wrapLabel(title, { width });
}

/** A number for labels: three significant digits, digits grouped, no exponent between 1e-3 and 1e6. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

/** An axis from zero to somewhat beyond the largest finite value, with room for its label. */
export function fromZero(values: number[]): [number, number] {
  const end = Math.max(0, ...values.filter(Number.isFinite));
  return [0, end > 0 ? 1.16 * end : 1];
}
