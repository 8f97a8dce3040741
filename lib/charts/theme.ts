/**
 * One look for all charts: colours that colour-blind readers can tell apart, with a dash and a
 * marker each so that they hold in black and white too, and one template for axes and text.
 *
 * @module
 */
import type { Layout } from "plotly.js-dist";

/** How an arm is drawn wherever it appears. */
export type ArmStyle = {
  color: string;
  dash: typeof DASHES[number];
  symbol: typeof SYMBOLS[number];
};

// Okabe & Ito, "Color Universal Design", 2008, without black and yellow, which vanish on a dark or
// a light ground; two tones added for the seventh and eighth arm.
const COLORS = [
  "#0072B2", // blue: always the base
  "#D55E00", // vermillion
  "#009E73", // bluish green
  "#CC79A7", // reddish purple
  "#E69F00", // orange
  "#56B4E9", // sky blue
  "#8C6D46", // umber
  "#808890", // grey
];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"] as const;
const SYMBOLS = [
  "circle",
  "square",
  "diamond",
  "triangle-up",
  "x",
  "triangle-down",
  "pentagon",
  "star",
] as const;

// The arms of the paper's ablations have fixed places; an arm of another name gets one from its
// letters. So an arm keeps its colour from run to run, whatever else is compared with it.
const PLACES: [RegExp, number][] = [
  [/additive|sin-?cos/i, 1],
  [/shifted|swin/i, 4],
  [/global/i, 5],
  [/concat/i, 3],
  [/\badd\b/i, 2],
  [/karras|snr/i, 6],
];

/**
 * The style of each arm by name: the base is always blue, solid, with circles.
 *
 * An arm's style depends on its name alone, save where two names would share one, and up to 48 arms
 * are distinct.
 *
 * ```ts
 * import { armStyles } from "./theme.ts";
 * import assert from "node:assert/strict";
 * const styles = armStyles(["base", "global"], { base: "base" });
 * assert.equal(styles.get("base")?.color, "#0072B2");
 * ```
 */
export function armStyles(arms: string[], { base }: { base: string }): Map<string, ArmStyle> {
  const taken = new Set<number>();
  const places = new Map<string, number>();
  for (const arm of [...new Set(arms)].sort((a, b) => rank(a, base) - rank(b, base))) {
    let place = arm === base ? 0 : preferredPlace(arm);
    while (taken.has(place)) place++;
    taken.add(place);
    places.set(arm, place);
  }
  return new Map(arms.map((arm) => [arm, styleAt(places.get(arm)!)]));
}

/** The base first, then names with a fixed place, then the others. */
function rank(arm: string, base: string): number {
  if (arm === base) return 0;
  return PLACES.some(([pattern]) => pattern.test(arm)) ? 1 : 2;
}

function preferredPlace(arm: string): number {
  const fixed = PLACES.find(([pattern]) => pattern.test(arm));
  if (fixed !== undefined) return fixed[1];
  let hash = 0x811c9dc5; // FNV-1a
  for (const char of arm) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193) >>> 0;
  return 1 + hash % (COLORS.length - 1);
}

function styleAt(place: number): ArmStyle {
  const turn = Math.floor(place / COLORS.length);
  const color = place % COLORS.length;
  return {
    color: COLORS[color],
    dash: DASHES[(color + turn) % DASHES.length],
    symbol: SYMBOLS[(color + 3 * turn) % SYMBOLS.length],
  };
}

/** The typefaces of charts and report, all of them common, none of them fetched. */
export const FONT_FAMILY =
  '"Inter", "Helvetica Neue", "Segoe UI", Roboto, Arial, "Liberation Sans", "DejaVu Sans", sans-serif';

/** Colours of text, axes and ground. */
export type Ground = { paper: string; ink: string; muted: string; grid: string; line: string };

/** On paper and in notebooks. */
export const LIGHT: Ground = {
  paper: "#ffffff",
  ink: "#1f2328",
  muted: "#59636e",
  grid: "#e6e9ed",
  line: "#aab2bb",
};

/** For readers whose system is set to dark. */
export const DARK: Ground = {
  paper: "#15181d",
  ink: "#e6e9ee",
  muted: "#9aa4b0",
  grid: "#2a3038",
  line: "#59636e",
};

/** The Plotly template that every figure carries, on a light ground unless told otherwise. */
export function chartTemplate(ground: Ground = LIGHT): { layout: Partial<Layout> } {
  const axis = {
    automargin: true,
    color: ground.muted,
    gridcolor: ground.grid,
    gridwidth: 1,
    linecolor: ground.line,
    linewidth: 1,
    showline: true,
    ticks: "outside" as const,
    tickcolor: ground.line,
    ticklen: 4,
    tickfont: { size: 12, color: ground.ink },
    title: { font: { size: 13, color: ground.ink }, standoff: 10 },
    zeroline: false,
  };
  return {
    layout: {
      paper_bgcolor: ground.paper,
      plot_bgcolor: ground.paper,
      font: { family: FONT_FAMILY, size: 13, color: ground.ink },
      title: {
        x: 0,
        xref: "paper",
        xanchor: "left",
        y: 1,
        yref: "container",
        yanchor: "top",
        automargin: true,
        pad: { t: 16, b: 8 },
        font: { size: 17, color: ground.ink },
      },
      margin: { l: 56, r: 24, t: 24, b: 48, pad: 0 },
      legend: {
        orientation: "h",
        x: 0,
        xref: "paper",
        xanchor: "left",
        y: 1.02,
        yref: "paper",
        yanchor: "bottom",
        font: { size: 12, color: ground.ink },
        bgcolor: "rgba(0,0,0,0)",
        entrywidth: 160,
      },
      hoverlabel: { font: { family: FONT_FAMILY, size: 12 }, namelength: -1 },
      colorway: COLORS,
      xaxis: axis,
      yaxis: axis,
    },
  };
}
