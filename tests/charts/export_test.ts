import assert from "node:assert/strict";
import sharp from "sharp";
import { figureToPng, figureToSvg } from "../../lib/charts/export.ts";
import type { Figure } from "../../lib/charts/figure.ts";
import { costScaling } from "../../lib/charts/figures.ts";
import { figureSummary, showFigure, showImage } from "../../lib/charts/notebook.ts";

const COST = costScaling([
  { model: "HDiT-B/4", points: [[128, 31.37e9], [1024, 731.6e9]] },
  { model: "DiT-B/4", points: [[128, 106.4e9], [1024, 84_736e9]] },
]);
const BARS: Figure = {
  data: [{ type: "bar", x: ["a", "b"], y: [1, 2], error_y: { array: [0.1, 0.2] } }],
  layout: { title: { text: "Bars" } },
};
const DISPLAY = Symbol.for("Jupyter.display");

/** The texts of an SVG. */
function wordsOf(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([\s\S]*?)<\/text>/g)].map(([, inner]) =>
    inner.replaceAll(/<[^>]+>/g, " ").trim()
  ).filter((text) => text !== "");
}

Deno.test("figureToSvg() draws titles, axes and legend", async () => {
  const words = wordsOf(await figureToSvg(COST)).join(" | ");
  for (const text of ["Cost against resolution", "HDiT-B/4, published", "1024²", "0.86 %"]) {
    assert.ok(words.includes(text), text);
  }
});

Deno.test("figureToSvg() gives the same text whatever was drawn before, and at once", async () => {
  const [first, bars, second] = await Promise.all([COST, BARS, COST].map((f) => figureToSvg(f)));
  assert.equal(first, second);
  assert.notEqual(first, bars);
  assert.equal(await figureToSvg(BARS), bars);
});

Deno.test("figureToSvg() leaves the figure as it was", async () => {
  const before = JSON.stringify(COST);
  await figureToSvg(COST);
  assert.equal(JSON.stringify(COST), before);
});

Deno.test("figureToSvg() names a kind of trace that needs a browser", async () => {
  for (const type of ["heatmap", "violin", "scattergl", "surface"] as const) {
    const figure = { data: [{ type, z: [[1]] }], layout: {} } as Figure;
    await assert.rejects(figureToSvg(figure), {
      name: "RangeError",
      message: new RegExp(`without a browser .* type ${type}`),
    });
  }
});

Deno.test("figureToPng() has the size asked for and something on it", async () => {
  const png = await figureToPng(BARS, { width: 300, height: 200, scale: 2 });
  const { width, height, format } = await sharp(png).metadata();
  assert.deepEqual({ width, height, format }, { width: 600, height: 400, format: "png" });
  const { channels } = await sharp(png).stats();
  assert.ok(channels[0].max === 255 && channels[0].min < 100);
});

Deno.test("showFigure() offers Plotly's JSON, a PNG and words, and no SVG or HTML", async () => {
  const bundle = await showFigure(COST, { scale: 1 })[DISPLAY]();
  assert.deepEqual(Object.keys(bundle), [
    "application/vnd.plotly.v1+json",
    "image/png",
    "text/plain",
  ]);
  assert.equal(bundle["application/vnd.plotly.v1+json"], COST);
  const png = Uint8Array.fromBase64(bundle["image/png"] as string);
  assert.equal((await sharp(png).metadata()).width, 760);
  assert.match(bundle["text/plain"] as string, /^Cost against resolution\. Multiply-adds/);
});

Deno.test("showImage() shows a PNG and refuses anything else", async () => {
  const png = await figureToPng(BARS, { width: 40, height: 40, scale: 1 });
  const bundle = await showImage(png, { alt: "bars" })[DISPLAY]();
  assert.deepEqual(Uint8Array.fromBase64(bundle["image/png"] as string), png);
  assert.equal(bundle["text/plain"], "bars");
  assert.throws(() => showImage(new Uint8Array([1, 2, 3])), { name: "TypeError" });
});

Deno.test("figureSummary() describes a figure that has no caption by its traces", () => {
  assert.equal(figureSummary(BARS), "Figure of 1 traces: bar");
});

Deno.test("importing the charts loads neither Plotly nor jsdom", async () => {
  const url = new URL("../../lib/charts/notebook.ts", import.meta.url).href;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", url],
    stderr: "null",
  }).output();
  assert.equal(code, 0);
  type Dependency = { code?: { specifier: string }; isDynamic?: boolean; specifier: string };
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { dependencies?: Dependency[] }[];
  };
  for (const { dependencies = [] } of modules) {
    for (const { specifier, code, isDynamic } of dependencies) {
      if (/plotly|jsdom|sharp/.test(specifier)) assert.ok(isDynamic || code === undefined);
    }
  }
});
