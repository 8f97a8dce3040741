import type { Data } from "plotly.js-dist";
import type { Figure } from "../figure.ts";
import { spread } from "../statistics.ts";
import { armLabel, type ArmName, type ArmOptions, errorBars, frame, stylesOf } from "./common.ts";

/** Held-out loss of one arm by noise level: `[sigma, loss]` for each seed. */
export type SigmaCurve = ArmName & { seeds: { seed: number; bySigma: [number, number][] }[] };

/**
 * Held-out loss against noise level, and below it how far each arm lies above or below the base,
 * in per cent of the base's loss at the same noise level and seed.
 */
export function heldOutBySigma(curves: SigmaCurve[], options: ArmOptions): Figure {
  const styles = stylesOf(curves, options);
  const base = curves.find(({ arm }) => arm === options.base);
  const compared = base !== undefined && curves.length > 1;
  const several = curves.some(({ seeds }) => seeds.length > 1);
  const data: Data[] = [];
  for (const curve of curves) {
    const { color, dash, symbol } = styles.get(curve.arm)!;
    const look = {
      type: "scatter" as const,
      mode: "lines+markers" as const,
      name: armLabel(curve),
      line: { color, dash, width: 2 },
      marker: { color, symbol, size: 7 },
      legendgroup: curve.arm,
    };
    const losses = bySigma(curve.seeds.map(({ bySigma }) => bySigma));
    const spreads = losses.map(([, values]) => spread(values));
    data.push({
      ...look,
      x: losses.map(([sigma]) => sigma),
      y: spreads.map(({ value }) => value),
      error_y: errorBars(spreads, color),
      hovertemplate: "σ = %{x:.3~g}: %{y:.4~g}<extra>%{fullData.name}</extra>",
    });
    if (!compared || curve === base) continue;
    const differences = bySigma(curve.seeds.map(({ seed, bySigma }) => {
      const reference = new Map(base.seeds.find((other) => other.seed === seed)?.bySigma);
      return bySigma.flatMap(([sigma, loss]): [number, number][] => {
        const at = reference.get(sigma);
        return at === undefined ? [] : [[sigma, 100 * (loss / at - 1)]];
      });
    }));
    const ranges = differences.map(([, values]) => spread(values));
    data.push({
      ...look,
      x: differences.map(([sigma]) => sigma),
      y: ranges.map(({ value }) => value),
      yaxis: "y2",
      error_y: errorBars(ranges, color),
      showlegend: false,
      hovertemplate: "σ = %{x:.3~g}: %{y:+.2f} %<extra>%{fullData.name}</extra>",
    });
  }
  return frame(
    {
      name: "held-out-by-sigma",
      title: "Held-out loss by noise level",
      caption:
        "The same held-out images and the same noise for every arm, averaged (EMA) weights. " +
        (compared ? "Below: difference from the base, paired by noise level and seed. " : "") +
        (several ? "Error bars: the range over seeds." : "One seed."),
    },
    data,
    {
      height: compared ? 640 : 460,
      xaxis: {
        type: "log",
        title: { text: "Noise level σ (standard deviation; pixels in [−1, 1])" },
        tickformat: "~g",
        ...(compared ? { anchor: "y2" } : {}),
      },
      yaxis: {
        title: { text: "Held-out loss<br>(weighted)" },
        tickformat: "~g",
        rangemode: "tozero",
        ...(compared ? { domain: [0.54, 1] } : {}),
      },
      ...(compared
        ? {
          yaxis2: {
            title: { text: "Difference from<br>the base (%)" },
            tickformat: "~g",
            domain: [0, 0.46],
            zeroline: true,
            zerolinecolor: styles.get(base.arm)!.color,
            zerolinewidth: 2,
          },
        }
        : {}),
    },
  );
}

/** The values of all seeds by noise level, in ascending order. */
function bySigma(seeds: [number, number][][]): [number, number[]][] {
  const values = new Map<number, number[]>();
  for (const [sigma, value] of seeds.flat()) {
    values.set(sigma, [...values.get(sigma) ?? [], value]);
  }
  return [...values].sort(([a], [b]) => a - b);
}
