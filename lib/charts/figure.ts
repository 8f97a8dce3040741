/**
 * What a chart is here: data and layout of Plotly, as plain JSON.
 *
 * @module
 */
import type { Data, Layout } from "plotly.js-dist";

/** A Plotly figure: traces and layout, without a DOM. */
export type Figure = { data: Data[]; layout: Partial<Layout> };

/** What a figure says about itself in `layout.meta`: names in plain text, not HTML. */
export type FigureMeta = {
  /** File name without extension, such as "loss". */
  name: string;
  title: string;
  /** How to read the chart: what is counted and how, what the bars mean. */
  caption: string;
};

/**
 * The name, title and caption of a figure made by this library.
 *
 * @throws {TypeError} where the figure has none.
 */
export function figureMeta(figure: Figure): FigureMeta {
  const meta = figure.layout.meta as Partial<FigureMeta> | undefined;
  if (meta?.name === undefined || meta.title === undefined || meta.caption === undefined) {
    throw new TypeError(
      "Cannot describe a figure as its layout.meta has no name, title or caption",
    );
  }
  return { name: meta.name, title: meta.title, caption: meta.caption };
}

/**
 * Escapes text for Plotly's labels, which read a subset of HTML.
 *
 * ```ts
 * import { plotlyText } from "./figure.ts";
 * import assert from "node:assert/strict";
 * assert.equal(plotlyText("a < b & c"), "a &lt; b &amp; c");
 * ```
 */
export function plotlyText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * Escapes text for Plotly's labels and breaks it between words, so that no line is longer than
 * `width` characters; words that are much longer, and lines after the first `lines`, are cut with
 * an ellipsis.
 */
export function wrapLabel(text: string, { width = 24, lines = 3 } = {}): string {
  const out: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = out.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      out[out.length - 1] = `${last} ${word}`;
    } else {
      out.push(word);
    }
  }
  const kept = out.slice(0, lines);
  if (out.length > lines) kept[lines - 1] += " …";
  const cut = (line: string) => line.length > width + 2 ? line.slice(0, width + 1) + "…" : line;
  return kept.map((line) => plotlyText(cut(line))).join("<br>");
}
