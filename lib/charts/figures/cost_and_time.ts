import type { Data, LayoutAxis } from "plotly.js-dist";
import { type Figure, plotlyText } from "../figure.ts";
import { frame } from "./common.ts";
import { COUNTING_NOTE, modelLooks } from "./cost.ts";

/** Computed multiply-adds and measured time of a forward pass of one image, by the image's side in pixels. */
export type TimeCurve = { model: string; points: { side: number; macs: number; ms: number }[] };

/** What was counted beside what was measured, against resolution, both on logarithmic axes; `machine` in words. */
export function costAndTime(curves: TimeCurve[], { machine }: { machine: string }): Figure {
  const { models, look } = modelLooks(curves.map(({ model }) => model));
  const shown = curves.toSorted((a, b) => models.indexOf(a.model) - models.indexOf(b.model));
  const panel = (value: (point: TimeCurve["points"][number]) => number, second: boolean) =>
    shown.map(({ model, points }): Data => {
      const { color, symbol, dash } = look(model);
      return {
        type: "scatter",
        mode: "lines+markers",
        name: plotlyText(model),
        x: points.map(({ side }) => side),
        y: points.map(value),
        line: { color, dash, width: 2 },
        marker: { color, symbol, size: 8 },
        legendgroup: plotlyText(model),
        showlegend: !second,
        hovertemplate: `%{x}² pixels: %{y:,.3~g} ${
          second ? "ms" : "GMAC"
        }<extra>%{fullData.name}</extra>`,
        ...(second ? { xaxis: "x2", yaxis: "y2" } : {}),
      };
    });
  const sides = [...new Set(curves.flatMap(({ points }) => points.map(({ side }) => side)))]
    .sort((a, b) => a - b);
  const x: Partial<LayoutAxis> = {
    type: "log",
    title: { text: "Image resolution (pixels)" },
    tickvals: sides,
    ticktext: sides.map((side) => `${side}²`),
  };
  const y: Partial<LayoutAxis> = { type: "log", dtick: 1, tickformat: ",~g" };
  return frame(
    {
      name: "cost-and-time",
      title: "What is counted and what it takes",
      caption:
        `Left, computed: ${COUNTING_NOTE} Right, measured: the fastest of several calls of the ` +
        `compiled forward pass, one image at a time, on ${machine}.`,
    },
    [...panel(({ macs }) => macs / 1e9, false), ...panel(({ ms }) => ms, true)],
    {
      xaxis: { ...x, domain: [0, 0.43] },
      xaxis2: { ...x, domain: [0.57, 1], anchor: "y2" },
      yaxis: { ...y, title: { text: "Multiply-adds (GMAC)" } },
      yaxis2: { ...y, title: { text: "Time (ms)" }, anchor: "x2" },
    },
  );
}
