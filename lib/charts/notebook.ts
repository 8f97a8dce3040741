/**
 * Charts and pictures in a notebook.
 *
 * @module
 */
import { type ExportOptions, figureToPng } from "./export.ts";
import { type Figure, figureMeta } from "./figure.ts";

/** What a Jupyter front end chooses from, by MIME type. */
export type MimeBundle = Record<string, unknown>;

/** A value that the Deno kernel shows as a picture when it ends a cell or is displayed. */
export type Displayable = { [display: symbol]: () => Promise<MimeBundle> | MimeBundle };

const jupyterDisplay = Symbol.for("Jupyter.display");

/**
 * Makes a figure that a notebook shows: interactive where the front end knows Plotly, else as a
 * PNG, which GitHub and nbconvert show as well.
 *
 * SVG is left out since nbconvert empties it, HTML since front ends would prefer it to both.
 */
export function showFigure(figure: Figure, options: ExportOptions = {}): Displayable {
  return {
    [jupyterDisplay]: async () => ({
      "application/vnd.plotly.v1+json": figure,
      "image/png": (await figureToPng(figure, options)).toBase64(),
      "text/plain": figureSummary(figure),
    }),
  };
}

/**
 * Makes a PNG picture, such as a sample grid, that a notebook shows.
 *
 * @throws {TypeError} where the bytes are not those of a PNG file.
 */
export function showImage(png: Uint8Array, { alt = "picture" } = {}): Displayable {
  const signature = [0x89, 0x50, 0x4e, 0x47];
  if (!signature.every((byte, i) => png[i] === byte)) {
    throw new TypeError("Cannot show an image as its bytes are not those of a PNG file");
  }
  return {
    [jupyterDisplay]: () => ({ "image/png": png.toBase64(), "text/plain": alt }),
  };
}

/** Title and caption of a figure in plain text, or the kinds of its traces where it has none. */
export function figureSummary(figure: Figure): string {
  try {
    const { title, caption } = figureMeta(figure);
    return `${title}. ${caption}`;
  } catch {
    const kinds = figure.data.map((trace) => trace.type ?? "scatter");
    return `Figure of ${kinds.length} traces: ${[...new Set(kinds)].join(", ")}`;
  }
}
