import assert from "node:assert/strict";
import { figureProblems, figureToSvg } from "../../lib/charts/export.ts";
import { type Figure, figureMeta } from "../../lib/charts/figure.ts";
import {
  costScaling,
  distanceBars,
  heldOutBySigma,
  lossCurves,
  qualityVsCost,
  resolutionExtrapolation,
  throughputBars,
} from "../../lib/charts/figures.ts";

// deno-lint-ignore no-explicit-any
type Trace = any;

const NASTY = "a < b & </script>";
const BASE = { arm: "base", title: "Base" };
const OTHER = { arm: "skip-add", title: NASTY };
const options = { base: "base" };
const fdOptions = { ...options, features: "random features", n: 256, nReference: 200 };

// Multiply-adds of config E and of DiT-B/4 on pixels by the paper's counting
const HDIT: [number, number][] = [[128, 31.37e9], [256, 64.72e9], [512, 198.1e9], [
  1024,
  731.6e9,
]];
const DIT: [number, number][] = [[128, 106.4e9], [256, 657.5e9], [512, 6340.6e9], [
  1024,
  84_736e9,
]];

const seed = (value: number, low?: number, high?: number) => ({
  seed: 0,
  value,
  ...(low === undefined ? {} : { low }),
  ...(high === undefined ? {} : { high }),
});

const FIGURES: Figure[] = [
  lossCurves([
    { ...BASE, seeds: [{ seed: 0, train: [[10, 2], [20, 1], [30, NaN]], heldOut: [[20, 1.5]] }] },
    { ...OTHER, seeds: [{ seed: 0, train: [[10, 2.1], [20, 1.2]], heldOut: [] }] },
  ], options),
  distanceBars([
    { ...BASE, seeds: [seed(9, 8, 10.5)] },
    { ...OTHER, seeds: [{ seed: 0, value: 11 }, { seed: 1, value: 13 }] },
  ], { ...fdOptions, floor: 1.5 }),
  qualityVsCost([
    { ...BASE, macs: 2e9, seeds: [seed(9, 8, 10)] },
    { ...OTHER, macs: 2e9, seeds: [seed(11)] },
    { arm: "diverged", title: "Diverged", macs: 3e9, seeds: [seed(NaN)] },
  ], fdOptions),
  costScaling([{ model: "HDiT-B/4", points: HDIT }, { model: "DiT-B/4", points: DIT }]),
  resolutionExtrapolation([
    { ...BASE, points: [{ size: 96, heldOut: [seed(2)] }, { size: 64, heldOut: [seed(1)] }] },
    { ...OTHER, points: [{ size: 64, heldOut: [seed(1)], fd: [seed(5, 4, 6)] }] },
  ], { ...fdOptions, trainedSize: 64 }),
  heldOutBySigma([
    { ...BASE, seeds: [{ seed: 0, bySigma: [[0.1, 1], [1, 2]] }] },
    { ...OTHER, seeds: [{ seed: 0, bySigma: [[1, 2.2], [0.1, 1.1]] }] },
  ], options),
  throughputBars([{ ...BASE, seeds: [seed(46)] }, { ...OTHER, seeds: [] }], {
    ...options,
    machine: "two cores",
  }),
];

function named(name: string): { data: Trace[]; layout: Trace } {
  return FIGURES.find((figure) => figureMeta(figure).name === name)!;
}

Deno.test("figures are JSON that Plotly's schema accepts, with titles on all axes", async () => {
  for (const figure of FIGURES) {
    const { name, caption } = figureMeta(figure);
    assert.deepEqual(await figureProblems(figure), [], name);
    assert.ok(caption.endsWith("."), name);
    const { xaxis, yaxis, yaxis2 } = figure.layout;
    assert.ok(xaxis?.title?.text, name);
    const bars = figure.data.some(({ type }) => type === "bar");
    if (!bars) assert.ok(yaxis?.title?.text, name);
    if (yaxis2) assert.ok(yaxis2.title?.text, name);
  }
});

Deno.test("figures escape titles for Plotly's labels", () => {
  for (const figure of FIGURES) {
    const { meta: _, ...layout } = figure.layout;
    assert.ok(!JSON.stringify([figure.data, layout]).includes("</script>"));
  }
});

Deno.test("figures without any data are drawn empty", async () => {
  const empty = [
    lossCurves([], options),
    distanceBars([], fdOptions),
    qualityVsCost([], fdOptions),
    costScaling([]),
    resolutionExtrapolation([], { ...options, trainedSize: 64 }),
    heldOutBySigma([], options),
    throughputBars([], { ...options, machine: "none" }),
  ];
  for (const figure of empty) assert.match(await figureToSvg(figure), /^<svg/);
});

Deno.test("costScaling() says that HDiT takes 0.86 % of DiT's multiply-adds at 1024 pixels", () => {
  const { data, layout } = named("cost-scaling");
  assert.ok(layout.annotations[0].text.startsWith("0.86 %"));
  assert.equal(layout.xaxis.type, "log");
  assert.equal(layout.yaxis.type, "log");
  assert.match(layout.yaxis.title.text, /GMAC, counted as in the paper/);
  const line = data.find(({ name }) => name === "HDiT-B/4");
  assert.deepEqual(line.y, [31.37, 64.72, 198.1, 731.6]);
  // Table 1: the published points are those computed, rounded
  for (const [model, points] of [["HDiT-B/4", HDIT], ["DiT-B/4", DIT]] as const) {
    const published = data.find(({ name }) => name === `${model}, published`);
    assert.ok(published.marker.symbol.endsWith("-open"));
    published.y.forEach((giga: number, i: number) =>
      assert.ok(Math.abs(giga - points[i][1] / 1e9) <= 0.51)
    );
  }
});

Deno.test("distanceBars() shows the interval of one seed and the range of several", () => {
  const { data, layout } = named("distance");
  const [bars, dots] = data;
  // The first arm stands at the top, which is the last category
  assert.deepEqual(bars.x, [12, 9]);
  assert.deepEqual(bars.error_x.array, [1, 1.5]);
  assert.deepEqual(bars.error_x.arrayminus, [1, 1]);
  assert.deepEqual(dots.x, [11, 13, 9]);
  assert.match(layout.xaxis.title.text, /FD \(random features\)/);
  assert.match(layout.meta.caption, /not an FID/);
  assert.match(layout.meta.caption, /256 samples .* 200 held-out/);
});

Deno.test("qualityVsCost() leaves out an arm without a finite distance", () => {
  const { data, layout } = named("quality-vs-cost");
  assert.deepEqual(data.map(({ x }) => x), [[2], [2]]);
  assert.equal(layout.annotations.length, 2);
});

Deno.test("heldOutBySigma() pairs by noise level and seed, in per cent of the base", () => {
  const { data } = named("held-out-by-sigma");
  const differences = data.find(({ yaxis }) => yaxis === "y2");
  assert.deepEqual(differences.x, [0.1, 1]);
  for (const percent of differences.y) assert.ok(Math.abs(percent - 10) < 1e-9);
});

Deno.test("lossCurves() names each arm once and averages seeds at the same images", () => {
  const { data } = named("loss");
  const inLegend = data.filter(({ showlegend }) => showlegend !== false);
  assert.deepEqual(inLegend.map(({ legendgroup }) => legendgroup), ["base", "skip-add"]);
  const two = lossCurves([{
    ...BASE,
    seeds: [
      { seed: 0, train: [], heldOut: [[10, 1], [20, 0.5]] },
      { seed: 1, train: [], heldOut: [[10, 3]] },
    ],
  }], options).data.at(-1) as Trace;
  assert.deepEqual(two.y, [2, 0.5]);
  assert.deepEqual(two.error_y.array, [1, 0]);
});

Deno.test("resolutionExtrapolation() orders sizes and marks them as multiples of the trained one", () => {
  const { data, layout } = named("resolution");
  assert.deepEqual(data[0].customdata, [64, 96]);
  assert.deepEqual(layout.xaxis.ticktext, ["1×<br>64 pixels", "1.5×<br>96 pixels"]);
});
