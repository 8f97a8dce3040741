import type { Data } from "plotly.js-dist";
import type { Figure } from "../figure.ts";
import { distanceName } from "./distance.ts";
import {
  armLabel,
  type ArmName,
  type ArmOptions,
  errorBars,
  frame,
  overSeeds,
  type SeedValue,
  SPREAD_NOTE,
  stylesOf,
} from "./common.ts";

/** One arm at several image sizes (side in pixels), without fine-tuning. */
export type ResolutionCurve = ArmName & {
  points: { size: number; heldOut: SeedValue[]; fd?: SeedValue[] | undefined }[];
};

/**
 * Held-out loss, and distance where there is one, of arms trained at one size and evaluated at
 * larger ones. `features` names what distances are taken on.
 */
export function resolutionExtrapolation(
  curves: ResolutionCurve[],
  options: ArmOptions & { trainedSize: number; features?: string | undefined },
): Figure {
  const styles = stylesOf(curves, options);
  const { trainedSize } = options;
  const sizes = [...new Set(curves.flatMap(({ points }) => points.map(({ size }) => size)))]
    .sort((a, b) => a - b);
  const { features } = options;
  const withDistance = features !== undefined &&
    curves.some(({ points }) => points.some(({ fd }) => fd?.length));
  const data: Data[] = [];
  curves.forEach((curve, index) => {
    const { color, dash, symbol } = styles.get(curve.arm)!;
    const points = curve.points.toSorted((a, b) => a.size - b.size);
    // Apart by up to 2 % of the trained size, so that error bars of arms do not cover each other
    const shift = 0.02 * (index - (curves.length - 1) / 2) * 2 / Math.max(curves.length - 1, 1);
    const panel = (values: (SeedValue[] | undefined)[], yaxis: string, showlegend: boolean) => {
      const spreads = values.map((seeds) => overSeeds(seeds ?? []));
      data.push({
        type: "scatter",
        mode: "lines+markers",
        name: armLabel(curve),
        x: points.map(({ size }) => size / trainedSize + shift),
        y: spreads.map(({ value }) => value),
        yaxis: yaxis as "y",
        line: { color, dash, width: 2 },
        marker: { color, symbol, size: 9 },
        error_y: errorBars(spreads, color),
        customdata: points.map(({ size }) => size),
        legendgroup: curve.arm,
        showlegend,
        hovertemplate: "%{customdata} px: %{y:.4~g}<extra>%{fullData.name}</extra>",
      });
    };
    panel(points.map(({ heldOut }) => heldOut), "y", true);
    if (withDistance) panel(points.map(({ fd }) => fd), "y2", false);
  });
  return frame(
    {
      name: "resolution",
      title: "Evaluated at larger sizes, without fine-tuning",
      caption: `Arms trained at ${trainedSize} pixels, on true images of each size. Compare arms ` +
        "within a size: neither loss nor distance is the same quantity at two sizes. " +
        (withDistance ? SPREAD_NOTE : "Error bars: the range over seeds."),
    },
    data,
    {
      height: withDistance ? 640 : 460,
      xaxis: {
        title: { text: "Image size (trained size = 1×)" },
        tickvals: sizes.map((size) => size / trainedSize),
        ticktext: sizes.map((size) =>
          `${Number((size / trainedSize).toFixed(2))}×<br>${size} pixels`
        ),
        ...(withDistance ? { anchor: "y2" } : {}),
      },
      yaxis: {
        title: { text: "Held-out loss<br>(weighted)" },
        tickformat: "~g",
        ...(withDistance ? { domain: [0.54, 1] } : {}),
      },
      ...(withDistance
        ? {
          yaxis2: {
            title: { text: `${distanceName(features)},<br>lower is better` },
            tickformat: "~g",
            domain: [0, 0.46],
          },
        }
        : {}),
    },
  );
}
