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
  stylesOf,
} from "./common.ts";

/** Training images a second of one arm, a value for each seed. */
export type ArmThroughput = ArmName & { seeds: SeedValue[] };

/** Training images a second of each arm, as bars; `machine` in words goes into the caption. */
export function throughputBars(
  arms: ArmThroughput[],
  options: ArmOptions & { machine: string },
): Figure {
  const styles = stylesOf(arms, options);
  const shown = arms.toReversed();
  const spreads = shown.map(({ seeds }) => overSeeds(seeds));
  const at = shown.map((_, index) => index);
  return frame(
    {
      name: "throughput",
      title: "Training speed",
      caption:
        `Images trained on per second, evaluation and sampling left out, on ${options.machine}. ` +
        "Error bars: the range over seeds.",
    },
    [{
      type: "bar",
      orientation: "h",
      y: at,
      x: spreads.map(({ value }) => value),
      width: 0.62,
      marker: { color: shown.map(({ arm }) => styles.get(arm)!.color), opacity: 0.85 },
      error_x: errorBars(spreads, "#59636e"),
      customdata: shown.map(({ title }) => plotlyText(title)),
      hovertemplate: "%{x:.4~g} images/s<extra>%{customdata}</extra>",
      showlegend: false,
    }],
    {
      height: 130 + 52 * Math.max(arms.length, 2),
      xaxis: {
        title: { text: "Training images per second" },
        range: fromZero(spreads.map(({ high }) => high)),
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
        x: high,
        y: index,
        text: shortNumber(value),
        showarrow: false,
        xanchor: "left" as const,
        xshift: 6,
        font: { size: 12 },
      })).filter(({ x }) => Number.isFinite(x)),
    },
  );
}
