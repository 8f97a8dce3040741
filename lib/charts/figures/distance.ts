import type { Data } from "plotly.js-dist";
import { type Figure, plotlyText } from "../figure.ts";
import {
  armLabel,
  type ArmName,
  type ArmOptions,
  errorBars,
  frame,
  fromZero,
  overSeeds,
  type SeedValue,
  shortNumber,
  SPREAD_NOTE,
  stylesOf,
} from "./common.ts";

/** The distances of one arm, a value for each seed. */
export type ArmDistance = ArmName & { seeds: SeedValue[] };

/** What the distance is: the name of the features, numbers of samples and of reference images. */
export type DistanceOptions = ArmOptions & {
  features: string;
  n: number;
  nReference: number;
  /** The distance that a perfect model would get, drawn as a line. */
  floor?: number;
};

/** The name of a distance by its features: it is never called FID, which few runs measure as published. */
export function distanceName(features: string): string {
  return `FD (${features})`;
}

/** Fréchet distance of each arm as a bar, with its interval and the seeds as dots. */
export function distanceBars(arms: ArmDistance[], options: DistanceOptions): Figure {
  const styles = stylesOf(arms, options);
  const shown = arms.toReversed(); // Plotly stacks categories upwards
  const spreads = shown.map(({ seeds }) => overSeeds(seeds));
  const colors = shown.map(({ arm }) => styles.get(arm)!.color);
  // Categories by position, so that two arms with one title stay two
  const at = shown.map((_, index) => index);
  const data: Data[] = [
    {
      type: "bar",
      orientation: "h",
      y: at,
      x: spreads.map(({ value }) => value),
      width: 0.62,
      marker: { color: colors, opacity: 0.85 },
      error_x: errorBars(spreads, "#59636e"),
      customdata: shown.map(({ title }) => plotlyText(title)),
      hovertemplate: "%{x:.4~g}<extra>%{customdata}</extra>",
      showlegend: false,
    },
  ];
  if (arms.some(({ seeds }) => seeds.length > 1)) {
    data.push({
      type: "scatter",
      mode: "markers",
      name: "one seed",
      y: shown.flatMap(({ seeds }, index) => seeds.map((_, i) => index + dodge(i, seeds.length))),
      x: shown.flatMap(({ seeds }) => seeds.map(({ value }) => value)),
      customdata: shown.flatMap(({ seeds }) => seeds.map(({ seed }) => seed)),
      marker: { color: "#ffffff", size: 7, line: { color: "#1f2328", width: 1.25 } },
      hovertemplate: "%{x:.4~g}<extra>seed %{customdata}</extra>",
      showlegend: false,
    });
  }
  const ends = spreads.map(({ value, high }) => Math.max(value, high));
  return frame(
    {
      name: "distance",
      title: "Distance between samples and held-out images",
      caption:
        `${distanceName(options.features)}: Fréchet distance of ${
          options.n.toLocaleString("en")
        } samples of the averaged (EMA) weights against ${
          options.nReference.toLocaleString("en")
        } held-out images on these features; lower is better. It is not an FID as published, and is ` +
        `comparable only with distances of the same features and numbers. ${SPREAD_NOTE}` +
        (arms.some(({ seeds }) => seeds.length > 1) ? " Dots: single seeds." : "") +
        (options.floor === undefined ? "" : " Dotted line: as many training images."),
    },
    data,
    {
      height: 130 + 52 * Math.max(arms.length, 2),
      xaxis: {
        title: { text: `${distanceName(options.features)}, lower is better` },
        range: fromZero([...ends, options.floor ?? 0]),
        tickformat: "~g",
      },
      yaxis: {
        tickvals: at,
        ticktext: shown.map((arm) => armLabel(arm)),
        range: [-0.6, arms.length - 0.4],
        showgrid: false,
        ticks: "",
      },
      annotations: spreads.map(({ value, high }, index) => ({
        x: Math.max(value, high),
        y: index,
        text: shortNumber(value),
        showarrow: false,
        xanchor: "left" as const,
        xshift: 6,
        font: { size: 12 },
      })).filter(({ x }) => Number.isFinite(x)),
      shapes: options.floor === undefined ? [] : [{
        type: "line",
        yref: "paper",
        y0: 0,
        y1: 1,
        x0: options.floor,
        x1: options.floor,
        line: { color: "#59636e", width: 1.5, dash: "dot" },
      }],
    },
  );
}

/** Offsets that keep the dots of several seeds apart. */
function dodge(index: number, count: number): number {
  return count < 2 ? 0 : 0.36 * (index / (count - 1) - 0.5);
}
