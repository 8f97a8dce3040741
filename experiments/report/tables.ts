/**
 * The tables of a report.
 *
 * @module
 */
import { overSeeds } from "../../lib/charts/figures/common.ts";
import { distanceName } from "../../lib/charts/figures/distance.ts";
import { mean, type Spread } from "../../lib/charts/statistics.ts";
import { type ArmStyle, armStyles } from "../../lib/charts/theme.ts";
import type { Results } from "../results.ts";
import { type ArmSummary, featuresOf, lastEvals, pairedDifference } from "./compare.ts";
import type { Page } from "./contents.ts";
import { evaluatedSizes, extrapolated } from "./figures.ts";
import {
  formatCount,
  formatDifference,
  formatList,
  formatLoss,
  formatNumber,
  formatParams,
  formatPercent,
  formatSigned,
} from "./format.ts";
import { type Html, html } from "./html.ts";

/** The table of arms, one row each. */
export function armTable({ results, arms }: Page): Html {
  const units = [...new Set(arms.flatMap(({ difference }) => difference?.unit ?? []))];
  const several = results.run.seeds.length > 1, distance = distanceOf(results);
  return html`
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Arm</th>
            <th class="text">Differs from the base in</th>
            <th>Parameters</th>
            <th>GMAC per image</th>
            <th>Images per second</th>
            <th>Training loss</th>
            <th>Held-out loss</th>
            <th>Difference from the base</th>
            <th>${distance}</th>
          </tr>
        </thead>
        <tbody>${arms.map((arm) => armRow(arm, results))}</tbody>
      </table>
    </div>
    <p
      class="note">GMAC: 10⁹ multiply-adds of one forward pass of one image, counted as in the paper. Training loss: mean of the last tenth of the images seen. Held-out loss and FD: averaged (EMA) weights.${units
          .length > 0
        ? ` Differences: arm minus base at the same number of images seen, so below zero is better, with the 95 % interval over ${
          formatList(units)
        }; bold where the interval leaves out zero.`
        : ""} FD: ${several
        ? "mean and range over seeds"
        : "with its 95 % interval over samples"}; lower is better.</p>
  `;
}

/** What the columns of distances are called. */
function distanceOf(results: Results): string {
  const features = featuresOf(results);
  return features === undefined ? "FD" : distanceName(features);
}

function armRow(arm: ArmSummary, results: Results): Html {
  const { record, difference } = arm;
  const speed = mean(arm.done.map(({ imagesPerSecond }) => imagesPerSecond));
  const fd = overSeeds(arm.distances.map(({ seed, fd }) => ({ seed, ...fd! })));
  return html`
    <tr>
      <td class="arm">
        <div>${swatch(arm, results)}<span>${record.title}<span class="sub"><code>${record
          .arm}</code></span>${state(arm, results)}</span></div>
      </td>
      <td class="text">${arm.isBase
        ? html`<span class="sub">(the base)</span>`
        : changes(record.difference)}</td>
      <td>${formatParams(record.params)}</td>
      <td>${formatNumber(record.macs / 1e9)}</td>
      <td>${formatNumber(speed)}</td>
      <td>${formatLoss(arm.trainLoss)}</td>
      <td>${formatLoss(arm.heldOut)}</td>
      <td>${difference === undefined ? "–" : differenceCell(difference)}</td>
      <td>${formatNumber(fd.value)}${interval(fd, formatNumber)}</td>
    </tr>
  `;
}

function differenceCell(difference: NonNullable<ArmSummary["difference"]>): Html {
  const share = formatSigned(difference.relative, formatPercent);
  const clear = difference.low > 0 || difference.high < 0;
  return html`${clear ? html`<strong>${share}</strong>` : share}<span class="sub">${
    formatSigned(difference.value, formatDifference)
  }</span>${interval(difference, formatDifference)}`;
}

function interval({ low, high }: Spread, format: (value: number) => string): Html | undefined {
  if (!(high > low)) return undefined;
  return html`<span class="sub">[${format(low)}, ${format(high)}]</span>`;
}

/** The arm's colour and marker, as in the charts. */
function swatch({ record }: ArmSummary, { run, arms }: Results): Html {
  const styles = armStyles(arms.map(({ arm }) => arm), { base: run.base });
  const { color, symbol } = styles.get(record.arm)!;
  return html`<svg viewBox="-7 -7 14 14" aria-hidden="true" fill="${color}">${
    MARKERS[symbol]
  }</svg>`;
}

const MARKERS: Record<ArmStyle["symbol"], Html> = {
  circle: html`
    <circle r="5.5" />
  `,
  square: html`
    <rect x="-5" y="-5" width="10" height="10" />
  `,
  diamond: html`
    <path d="M0-6.5 6.5 0 0 6.5-6.5 0Z" />
  `,
  "triangle-up": html`
    <path d="M0-6 6.2 5H-6.2Z" />
  `,
  "triangle-down": html`
    <path d="M0 6 6.2-5H-6.2Z" />
  `,
  x: html`
    <path d="M-6-3.5-3.5-6 0-2.5 3.5-6 6-3.5 2.5 0 6 3.5 3.5 6 0 2.5-3.5 6-6 3.5-2.5 0Z" />
  `,
  pentagon: html`
    <path d="M0-6 5.7-1.9 3.5 4.9H-3.5L-5.7-1.9Z" />
  `,
  star: html`
    <path d="M0-6.5 1.6-2.1 6.2-2 2.5.8 3.8 5.3 0 2.6-3.8 5.3-2.5.8-6.2-2-1.6-2.1Z" />
  `,
};

function state({ status }: ArmSummary, { run }: Results): Html | undefined {
  switch (status.kind) {
    case "done":
      return undefined;
    case "failed":
      return html`<span class="state">stopped by itself</span>`;
    case "waiting":
      return html`<span class="state">not started</span>`;
    case "running": {
      const seeds = run.seeds.length > 1
        ? `seed ${Math.min(status.seedsDone + 1, run.seeds.length)} of ${run.seeds.length}: `
        : "";
      return html`<span class="state">${seeds}${formatCount(status.images)} of ${
        formatCount(run.images)
      } images</span>`;
    }
  }
}

/** Every leaf of a difference as `path = value`, without the `kind` of unions. */
function changes(difference: Record<string, unknown>): Html[] {
  return leaves(difference).map(([path, value]) =>
    html`<code>${path.replace(/\.kind$/, "")} = ${value}</code><br>`
  );
}

function leaves(value: unknown, path = ""): [string, string][] {
  if (typeof value !== "object" || value === null) return [[path, String(value)]];
  return Object.entries(value).flatMap(([key, inner]) =>
    leaves(inner, path === "" ? key : `${path}.${key}`)
  );
}

/** The arms at each image size, where some were evaluated at several. */
export function resolutionSection({ results, arms }: Page): Html | undefined {
  const shown = extrapolated(results, arms);
  if (shown.length === 0) return undefined;
  const sizes = evaluatedSizes(results);
  const { size: trained } = results.run, distance = distanceOf(results);
  const rows = shown.map((arm) =>
    html`<tr><td class="arm"><div>${
      swatch(arm, results)
    }<span>${arm.record.title}</span></div></td>${
      sizes.map((size) => {
        const evals = lastEvals(results, arm.record.arm, size);
        const against = arm.isBase ? undefined : pairedDifference(results, arm.record.arm, size);
        const fd = overSeeds(
          evals.flatMap(({ seed, fd }) => fd === undefined ? [] : [{ seed, ...fd }]),
        );
        return html`
          <td>${formatLoss(mean(evals.map(({ heldOut }) => heldOut.mean)))}${against === undefined
            ? undefined
            : html`<span class="sub">${formatSigned(against.relative, formatPercent)}</span>`}</td>
          <td>${formatNumber(fd.value)}${interval(fd, formatNumber)}</td>
        `;
      })
    }</tr>`
  );
  return html`
    <section>
      <h2>Larger sizes, without fine-tuning</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr><th>Arm</th>${sizes.map((size) => {
              const times = `${Number((size / trained).toFixed(2))}×, ${size} pixels`;
              return html`
                <th>Held-out loss<br>${times}</th>
                <th>${distance}<br>${times}</th>
              `;
            })}</tr>
          </thead>
          <tbody>${rows}</tbody>
        </table>
      </div>
      <p
        class="note">Below a loss: the paired difference from the base at the same size. Neither loss nor FD is the same quantity at two sizes: compare down the columns.</p>
    </section>
  `;
}
