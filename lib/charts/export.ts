/**
 * Figures as SVG and PNG without a browser: Plotly drawn in jsdom, rasterised by librsvg in sharp.
 *
 * Right for lines, markers, bars with error bars, bands, histograms, contours and tables. Text is
 * measured by a table of letter widths (`measure.ts`), so that margins are close, not exact. Nothing is loaded
 * before the first export.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Figure } from "./figure.ts";
import { clientRect, localRect, pathLength, pathPoint } from "./measure.ts";

/** Size of the picture in CSS pixels; `scale` is the number of PNG pixels in one of them. */
export type ExportOptions = { width?: number; height?: number; scale?: number };

/** Traces that Plotly draws as SVG without asking the browser for anything that jsdom lacks. */
const DRAWABLE = new Set(["scatter", "bar", "histogram", "box", "contour", "table", "pie"]);
const TIMEOUT = 20_000; // ms

/**
 * Draws a figure as SVG; the same figure gives the same text every time.
 *
 * @throws {RangeError} for a kind of trace that needs a browser, such as heatmap, violin and WebGL.
 */
export async function figureToSvg(figure: Figure, options: ExportOptions = {}): Promise<string> {
  for (const trace of figure.data) {
    const type = trace.type ?? "scatter";
    if (!DRAWABLE.has(type)) {
      throw new RangeError(
        `Cannot draw a figure without a browser as it has a trace of type ${type}: ` +
          `type must be one of ${[...DRAWABLE].join(", ")}`,
      );
    }
  }
  const { width = figure.layout.width ?? 760, height = figure.layout.height ?? 460 } = options;
  const drawn = queue.then(() => draw(figure, width, height));
  queue = drawn.catch(() => {});
  return await drawn;
}

/** Draws a figure as PNG, 2 pixels to the CSS pixel unless told otherwise. */
export async function figureToPng(
  figure: Figure,
  options: ExportOptions = {},
): Promise<Uint8Array> {
  const svg = await figureToSvg(figure, options);
  const { default: sharp } = await import("sharp");
  const density = 72 * (options.scale ?? 2); // librsvg: one CSS pixel at 72 dots an inch
  const png = await sharp(new TextEncoder().encode(svg), { density, limitInputPixels: false })
    .flatten({ background: "#ffffff" })
    .png({ compressionLevel: 9, palette: false })
    .toBuffer();
  return new Uint8Array(png);
}

/**
 * What Plotly's own schema finds wrong with a figure, such as an attribute that it does not know;
 * empty for a figure that it accepts whole.
 */
export async function figureProblems(figure: Figure): Promise<string[]> {
  const { Plotly } = await (windowReady ??= openWindow());
  const { data, layout } = JSON.parse(JSON.stringify(figure)) as Figure;
  return (Plotly.validate(data, layout) ?? []).map(({ msg }) => msg);
}

// One window serves all exports, one at a time: loading Plotly takes about a second, and its ids
// come from the window's Math.random, which is seeded anew for each figure.
let queue: Promise<unknown> = Promise.resolve();
let windowReady: Promise<PlotlyWindow> | undefined;

type PlotlyWindow = {
  Plotly: {
    toImage(figure: unknown, options: unknown): Promise<string>;
    validate(data: unknown, layout: unknown): { msg: string }[] | undefined;
  };
  reseed(): void;
};

async function draw(figure: Figure, width: number, height: number): Promise<string> {
  windowReady ??= openWindow();
  const window = await windowReady;
  window.reseed();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new RangeError(`Cannot draw a figure: Plotly gave none within ${TIMEOUT} ms`)),
      TIMEOUT,
    );
  });
  try {
    // Through JSON, as Plotly fills in what it is given
    const copy = JSON.parse(JSON.stringify(figure));
    const options = { format: "svg", width, height, imageDataOnly: true };
    return await Promise.race([window.Plotly.toImage(copy, options), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function openWindow(): Promise<PlotlyWindow> {
  const { JSDOM } = await import("jsdom");
  const source = await Deno.readTextFile(fileURLToPath(import.meta.resolve("plotly.js-dist")));
  const dom = new JSDOM("<!doctype html><body></body>", { runScripts: "outside-only" });
  // deno-lint-ignore no-explicit-any
  const window = dom.window as any;
  window.URL.createObjectURL = () => "blob:";
  window.matchMedia = () => ({ matches: false, addListener() {}, addEventListener() {} });
  window.requestAnimationFrame = (fn: () => void) => window.setTimeout(fn, 0);
  window.cancelAnimationFrame = (id: number) => window.clearTimeout(id);
  window.HTMLCanvasElement.prototype.getContext = () => null;
  const svg = window.SVGElement.prototype;
  svg.getBBox = function () {
    return localRect(this);
  };
  svg.getBoundingClientRect = function () {
    return clientRect(this);
  };
  svg.getComputedTextLength = function () {
    return localRect(this).width;
  };
  svg.getTotalLength = function () {
    return pathLength(this);
  };
  svg.getPointAtLength = function (length: number) {
    return pathPoint(this, length);
  };
  // Park & Miller, 1988
  let state = 1;
  window.Math.random = () => (state = state * 16807 % 2147483647) / 2147483647;
  window.eval(source);
  window.reseed = () => void (state = 1);
  return window;
}
