import { figureToPng } from "../charts/export.ts";
import { lossCurves } from "../charts/figures/loss.ts";
import { figureSummary } from "../charts/notebook.ts";
import type { LogRecord } from "./log.ts";

/** A chart of a run's losses that a notebook shows once and redraws as the run goes on. */
export type LiveChart = { add(record: LogRecord): Promise<void> };

/** Least time between two drawings, in milliseconds: one takes about a tenth of a second. */
const INTERVAL = 3000;

/** Draws what is known of a run, and again at most every few seconds as records come in. */
export function liveChart(known: readonly LogRecord[]): LiveChart {
  const records = [...known], id = crypto.randomUUID();
  let drawn = -Infinity, shown = false;
  return {
    async add(record) {
      records.push(record);
      const isRare = record.kind === "evaluation";
      if (performance.now() - drawn < INTERVAL && !isRare) return;
      drawn = performance.now();
      const figure = lossFigure(records);
      const data = {
        "application/vnd.plotly.v1+json": figure,
        "image/png": (await figureToPng(figure)).toBase64(),
        "text/plain": figureSummary(figure),
      };
      const content = { data, metadata: {}, transient: { display_id: id } };
      const update = shown;
      shown = true;
      await Deno.jupyter.broadcast(update ? "update_display_data" : "display_data", content);
    },
  };
}

/** Training and held-out loss of one run. */
export function lossFigure(records: readonly LogRecord[]): ReturnType<typeof lossCurves> {
  const train: [number, number][] = [], heldOut: [number, number][] = [];
  for (const record of records) {
    if (record.kind === "train") train.push([record.images, record.loss]);
    if (record.kind === "evaluation") heldOut.push([record.images, record.heldOut.mean]);
  }
  return lossCurves([{ arm: "run", title: "this run", seeds: [{ seed: 0, train, heldOut }] }], {
    base: "run",
  });
}
