import type { Data } from "plotly.js-dist";
import type { Figure } from "../figure.ts";
import { mean, smooth, spread } from "../statistics.ts";
import { armLabel, type ArmName, type ArmOptions, errorBars, frame, stylesOf } from "./common.ts";

/** Losses of one arm: `[images seen, loss]` for each seed. */
export type LossCurve = ArmName & {
  seeds: { seed: number; train: [number, number][]; heldOut: [number, number][] }[];
};

/**
 * Training loss (smoothed, with the raw values faint behind) above held-out loss (markers), both
 * against images seen.
 *
 * They stand apart since they are not the same quantity: training draws its noise levels, the
 * held-out loss is taken at fixed ones.
 */
export function lossCurves(curves: LossCurve[], options: ArmOptions): Figure {
  const styles = stylesOf(curves, options);
  const several = curves.some(({ seeds }) => seeds.length > 1);
  const data: Data[] = [];
  for (const curve of curves) {
    const { color } = styles.get(curve.arm)!;
    for (const { train } of curve.seeds) {
      if (train.length < 2) continue;
      data.push({
        type: "scatter",
        mode: "lines",
        x: train.map(([images]) => images),
        y: train.map(([, loss]) => loss),
        line: { color, width: 1 },
        opacity: 0.16,
        hoverinfo: "skip",
        showlegend: false,
        legendgroup: curve.arm,
      });
    }
  }
  for (const curve of curves) {
    const { color, dash, symbol } = styles.get(curve.arm)!;
    const label = armLabel(curve);
    const train = overImages(curve.seeds.map(({ train }) => train));
    const means = train.map(([, losses]) => mean(losses));
    if (train.length > 0) {
      data.push({
        type: "scatter",
        mode: "lines",
        name: label,
        x: train.map(([images]) => images),
        y: smooth(means, smoothingWidth(means.length)),
        line: { color, dash, width: 2 },
        legendgroup: curve.arm,
        hovertemplate: "%{x:,} images: %{y:.4f}<extra>%{fullData.name}, training</extra>",
      });
    }
    const heldOut = overImages(curve.seeds.map(({ heldOut }) => heldOut));
    const spreads = heldOut.map(([, losses]) => spread(losses));
    if (heldOut.length > 0) {
      data.push({
        type: "scatter",
        mode: "lines+markers",
        name: label,
        x: heldOut.map(([images]) => images),
        y: spreads.map(({ value }) => value),
        yaxis: "y2",
        line: { color, dash, width: 1.5 },
        marker: { color, symbol, size: 8 },
        error_y: errorBars(spreads, color),
        legendgroup: curve.arm,
        // The training line stands for the arm in the legend, unless there is none
        showlegend: train.length === 0,
        hovertemplate: "%{x:,} images: %{y:.4f}<extra>%{fullData.name}, held-out</extra>",
      });
    }
  }
  const axis = { type: "log" as const, exponentformat: "none" as const, hoverformat: ".4f" };
  return frame(
    {
      name: "loss",
      title: "Loss against images seen",
      caption: "Above: training loss, a centred moving average" +
        `${several ? " of the mean over seeds" : ""}, with the raw values faint behind. ` +
        "Below: loss on held-out images at fixed noise levels with fixed noise, of the averaged " +
        `(EMA) weights${several ? "; error bars span the seeds" : ""}. Logarithmic scales of ` +
        "loss; the two panels are different quantities and do not share a scale.",
    },
    data,
    {
      height: 640,
      xaxis: {
        title: { text: "Training images seen" },
        anchor: "y2",
        tickformat: "~s",
        rangemode: "tozero",
      },
      yaxis: { ...axis, title: { text: "Training loss<br>(weighted)" }, domain: [0.54, 1] },
      yaxis2: { ...axis, title: { text: "Held-out loss<br>(weighted)" }, domain: [0, 0.46] },
    },
  );
}

/** The losses of all seeds by images seen, in ascending order. */
function overImages(seeds: [number, number][][]): [number, number[]][] {
  const byImages = new Map<number, number[]>();
  for (const [images, loss] of seeds.flat()) {
    byImages.set(images, [...byImages.get(images) ?? [], loss]);
  }
  return [...byImages].sort(([a], [b]) => a - b);
}

/** A 15th of the curve, as an odd number of points. */
function smoothingWidth(points: number): number {
  return 2 * Math.floor(points / 30) + 1;
}
