/**
 * What the page of a report is made of.
 *
 * @module
 */
import type { Figure } from "../../lib/charts/figure.ts";
import type { Results, SamplesRecord } from "../results.ts";
import type { ArmSummary } from "./compare.ts";

/** A sample grid: the PNG as base64, or why there is none. */
export type Picture = { samples: SamplesRecord; png: string } | {
  samples: SamplesRecord;
  missing: string;
};

/** All that a page is made of. */
export type Page = {
  results: Results;
  arms: ArmSummary[];
  figures: Figure[];
  pictures: Picture[];
  /** The source of plotly.js. */
  plotly: string;
};
