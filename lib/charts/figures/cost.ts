import type { Data, Layout } from "plotly.js-dist";
import { type Figure, plotlyText } from "../figure.ts";
import { placeLabels } from "../labels.ts";
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

/** Quality of one arm against its multiply-adds of a forward pass of one image. */
export type ArmQuality = ArmName & { macs: number; seeds: SeedValue[] };

/** How the paper counts, in words, for captions. */
export const COUNTING_NOTE =
  "Multiply-adds are counted as in the paper: linear layers and attention products of one forward " +
  "pass of one image, a multiplication and its addition as one; norms, activations and softmax " +
  "are left out.";

const ATTENTION_NOTE =
  "Multiply-adds of attention's products alone: q with k and weights with v, of one forward pass of one image, a " +
  "multiplication and its addition as one.";

/** Distance against multiply-adds an image: what an arm costs and what it buys. */
export function qualityVsCost(
  arms: ArmQuality[],
  options: ArmOptions & { features: string },
): Figure {
  const styles = stylesOf(arms, options);
  const shown = arms
    .map((arm) => ({ ...arm, giga: arm.macs / 1e9, spread: overSeeds(arm.seeds) }))
    .filter(({ spread }) => Number.isFinite(spread.value));
  const x = padded(shown.map(({ giga }) => giga), 0.22);
  const y = padded(shown.flatMap(({ spread }) => [spread.value, spread.low, spread.high]), 0.12);
  const plot = { width: 640, height: 350 }; // at the nominal size of the figure
  const labels = shown.map((arm) => armLabel(arm, 22).split("<br>"));
  const down = (value: number) => plot.height * (y[1] - value) / (y[1] - y[0]);
  const offsets = placeLabels(
    shown.map(({ giga, spread }, i) => ({
      x: plot.width * (giga - x[0]) / (x[1] - x[0]),
      y: down(spread.value),
      top: down(spread.high),
      bottom: down(spread.low),
      width: 7 * Math.max(...labels[i].map(({ length }) => length)),
      height: 15 * labels[i].length,
    })),
    plot,
  );
  const data = shown.map(({ arm, title, giga, spread }): Data => {
    const { color, symbol } = styles.get(arm)!;
    return {
      type: "scatter",
      mode: "markers",
      name: plotlyText(title),
      x: [giga],
      y: [spread.value],
      marker: { color, symbol, size: 12, line: { color: "#ffffff", width: 1 } },
      error_y: errorBars([spread], color),
      showlegend: false,
      hovertemplate: "%{x:.4~g} GMAC, %{y:.4~g}<extra>%{fullData.name}</extra>",
    };
  });
  return frame(
    {
      name: "quality-vs-cost",
      title: "Quality against cost",
      caption: `Lower and further left is better. ${COUNTING_NOTE} ${SPREAD_NOTE}`,
    },
    data,
    {
      xaxis: {
        title: { text: "Multiply-adds per image and forward pass (GMAC, counted as in the paper)" },
        range: x,
        tickformat: "~g",
      },
      yaxis: {
        title: { text: `${distanceName(options.features)}, lower is better` },
        range: y,
        tickformat: "~g",
      },
      annotations: shown.map(({ arm, giga, spread }, i) => ({
        x: giga,
        y: spread.value,
        text: labels[i].join("<br>"),
        ax: offsets[i].dx,
        ay: offsets[i].dy,
        showarrow: true,
        arrowhead: 0,
        arrowwidth: 0.75,
        arrowcolor: styles.get(arm)!.color,
        standoff: 7,
        font: { size: 12 },
      })),
    },
  );
}

/** Multiply-adds of one model against resolution: `[side in pixels, multiply-adds]`. */
export type CostCurve = { model: string; points: [number, number][] };

/**
 * The multiply-adds that the paper publishes: Table 1, rows R1 (DiT-B/4 on pixels) and E
 * (HDiT-B/4), in units of 1e9.
 */
export const PAPER_COSTS: CostCurve[] = [
  { model: "DiT-B/4", points: [[128, 106e9], [256, 657e9], [512, 6341e9]] },
  { model: "HDiT-B/4", points: [[128, 31e9], [256, 65e9], [512, 198e9]] },
];

/** How a model is drawn; the first whose name has "HDiT" comes first, the others in the order given. */
export function modelLooks(names: string[]) {
  const first = names.find((name) => /hdit/i.test(name));
  const models = [...new Set(first === undefined ? names : [first, ...names])];
  return { models, look: (model: string) => LOOKS[models.indexOf(model) % LOOKS.length] };
}
const LOOKS = [
  { color: "#0072B2", symbol: "circle", dash: "solid" },
  { color: "#D55E00", symbol: "square", dash: "dash" },
  { color: "#009E73", symbol: "diamond", dash: "dot" },
  { color: "#CC79A7", symbol: "triangle-up", dash: "dashdot" },
  { color: "#E69F00", symbol: "x", dash: "longdash" },
  { color: "#56B4E9", symbol: "triangle-down", dash: "longdashdot" },
] as const;

/**
 * Multiply-adds of a forward pass against resolution, on logarithmic axes; the published points
 * are open markers of the same shape.
 *
 * A resolution that the first two curves share, by default the last one, is marked with the ratio of the smaller to
 * the larger. `counted` says what the multiply-adds are of: everything, or the products of attention alone.
 */
export function costScaling(
  curves: CostCurve[],
  { published = PAPER_COSTS, ratioAt, counted = "all" }: {
    published?: CostCurve[];
    ratioAt?: number;
    counted?: "all" | "attention";
  } = {},
): Figure {
  const { models, look } = modelLooks([...curves, ...published].map(({ model }) => model));
  const hovertemplate = "%{x}² pixels: %{y:,.4~g} GMAC<extra>%{fullData.name}</extra>";
  const lines = curves.map(({ model, points }): Data => {
    const { color, symbol, dash } = look(model);
    return {
      type: "scatter",
      mode: "lines+markers",
      name: plotlyText(model),
      x: points.map(([size]) => size),
      y: points.map(([, macs]) => macs / 1e9),
      line: { color, dash, width: 2 },
      marker: { color, symbol, size: 7 },
      hovertemplate,
    };
  });
  const open = published.toSorted((a, b) => models.indexOf(a.model) - models.indexOf(b.model)).map(
    ({ model, points }): Data => {
      const { color, symbol } = look(model);
      return {
        type: "scatter",
        mode: "markers",
        name: `${plotlyText(model)}, published`,
        x: points.map(([size]) => size),
        y: points.map(([, macs]) => macs / 1e9),
        marker: { color, symbol: `${symbol}-open`, size: 15, line: { width: 1.75 } },
        hovertemplate,
      };
    },
  );
  const sizes = [...new Set([...curves, ...published].flatMap((c) => c.points.map(([s]) => s)))]
    .sort((a, b) => a - b);
  return frame(
    {
      ...(counted === "all"
        ? { name: "cost-scaling", title: "Cost against resolution" }
        : { name: "attention-scaling", title: "Cost of attention against resolution" }),
      caption: (counted === "all" ? COUNTING_NOTE : ATTENTION_NOTE) +
        ` Lines: computed here${
          published.length > 0 ? "; open markers: the paper's Table 1" : ""
        }. ` +
        "DiT-B/4 is the transformer on pixels with patches of 4, not on latents.",
    },
    [...lines, ...open],
    {
      xaxis: {
        type: "log",
        title: { text: "Image resolution (pixels)" },
        tickvals: sizes,
        ticktext: sizes.map((size) => `${size}²`),
      },
      yaxis: {
        type: "log",
        title: {
          text: "Multiply-adds per image and forward pass<br>(GMAC, counted as in the paper)",
        },
        dtick: 1,
        tickformat: ",~f",
        minor: { dtick: "D1", ticks: "outside", ticklen: 2 },
      },
      ...ratioNote(curves, ratioAt),
    },
  );
}

/** A dotted line between the first two curves at a size they share, the largest by default, with their ratio. */
function ratioNote(
  curves: CostCurve[],
  at?: number,
): Pick<Layout, "annotations" | "shapes"> {
  const none = { annotations: [], shapes: [] };
  const [a, b] = curves;
  if (a === undefined || b === undefined) return none;
  const other = new Map(b.points);
  const shared = a.points.map(([size]) => size).filter((size) => other.has(size));
  const size = Math.max(...shared.filter((size) => at === undefined || size === at));
  if (!Number.isFinite(size)) return none;
  const [low, high] = [new Map(a.points).get(size)!, other.get(size)!].sort((p, q) => p - q);
  const ratio = (100 * low / high).toPrecision(2);
  return {
    annotations: [{
      x: Math.log10(size), // annotations on logarithmic axes take exponents, shapes take values
      y: Math.log10(Math.sqrt(low * high) / 1e9),
      text: `${ratio} %<br>at ${size}²`,
      showarrow: false,
      ...(size === Math.max(...shared)
        ? { align: "right", xanchor: "right", xshift: -8 }
        : { align: "left", xanchor: "left", xshift: 8 }),
      font: { size: 13 },
    }],
    shapes: [{
      type: "line",
      x0: size,
      x1: size,
      y0: low / 1e9,
      y1: high / 1e9,
      layer: "below",
      line: { color: "#808890", width: 1.5, dash: "dot" },
    }],
  };
}

/** A range around values with a share of its length added at each end. */
function padded(values: number[], share: number): [number, number] {
  if (values.length === 0) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const length = high - low || Math.abs(high) || 1;
  return [low - share * length, high + share * length];
}
