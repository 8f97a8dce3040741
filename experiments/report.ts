/**
 * The report of an ablation run: one HTML file that opens offline, from the records alone.
 *
 * `deno run -A experiments/report.ts runs/<name>` writes it again.
 *
 * @module
 */
import { isAbsolute, join, relative, resolve } from "@std/path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { type Figure, figureMeta } from "../lib/charts/figure.ts";
import { writeTextFileAtomic } from "../lib/io/atomic.ts";
import { summarise } from "./report/compare.ts";
import { reportFigures } from "./report/figures.ts";
import type { Picture } from "./report/contents.ts";
import { reportPage } from "./report/page.ts";
import { readResults, type Results, type SamplesRecord } from "./results.ts";

/** What was written. */
export type WrittenReport = { report: string; figures: string[] };

const MAX_WIDTH = 900; // pixels of an embedded sample grid: sharp at twice its place on the page

/**
 * Writes `report.html` and `figures/*.json` into the folder of a run.
 *
 * @throws {TypeError} where `results.jsonl` has no run or a record that does not fit.
 */
export async function writeReport(dir: string): Promise<WrittenReport> {
  const results = await readResults(dir);
  const arms = summarise(results);
  const figures = reportFigures(results, arms);
  const pictures = await Promise.all(
    arms.flatMap(({ samples }) => samples).map((samples) => picture(dir, samples)),
  );
  const plotly = await Deno.readTextFile(
    fileURLToPath(import.meta.resolve("plotly.js-basic-dist-min")),
  );
  await Deno.mkdir(join(dir, "figures"), { recursive: true });
  const written = figures.map((figure) => join(dir, "figures", `${figureMeta(figure).name}.json`));
  for (const [i, path] of written.entries()) {
    await writeTextFileAtomic(path, JSON.stringify(figures[i]));
  }
  const report = join(dir, "report.html");
  await writeTextFileAtomic(report, reportPage({ results, arms, figures, pictures, plotly }));
  return { report, figures: written };
}

/** The charts of a run, as in its report. */
export function resultFigures(results: Results): Figure[] {
  return reportFigures(results, summarise(results));
}

/** Reads a sample grid, made smaller where it is very wide; says why where it cannot. */
async function picture(dir: string, samples: SamplesRecord): Promise<Picture> {
  const path = resolve(dir, samples.file);
  const inside = relative(resolve(dir), path);
  if (inside.startsWith("..") || isAbsolute(inside)) {
    return { samples, missing: `${samples.file} lies outside the folder of the run` };
  }
  try {
    const png = await sharp(await Deno.readFile(path))
      .resize({ width: MAX_WIDTH, withoutEnlargement: true })
      .png({ compressionLevel: 9 })
      .toBuffer();
    return { samples, png: new Uint8Array(png).toBase64() };
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "is missing" : "is not a picture";
    return { samples, missing: `${samples.file} ${reason}` };
  }
}

if (import.meta.main) {
  const [dir] = Deno.args;
  if (dir === undefined) {
    console.error("Usage: deno run -A experiments/report.ts runs/<name>");
    Deno.exit(2);
  }
  console.log((await writeReport(dir)).report);
}
