/**
 * The words before the tables: what was run, what is missing, what the numbers mean.
 *
 * @module
 */
import { distanceName } from "../../lib/charts/figures/distance.ts";
import type { Page } from "./contents.ts";
import { formatBytes, formatCount, formatCounted, formatList } from "./format.ts";
import { type Html, html } from "./html.ts";

/** What was run, where and when. */
export function facts({ results: { run, sessions } }: Page): Html {
  const { machine, data } = run;
  const started = sessions[0].started.replace("T", " ").replace(/(:\d\d)(\.\d+)?Z$/, "$1 UTC");
  const rows: [string, string][] = [
    [
      "Data",
      `${data.name}: ${formatCount(data.train)} training, ${formatCount(data.heldOut)} held-out`,
    ],
    ["Image size", `${run.size} × ${run.size} pixels`],
    ["Training", `${formatCount(run.images)} images per arm and seed`],
    [run.seeds.length === 1 ? "Seed" : "Seeds", run.seeds.join(", ")],
    [
      "Machine",
      `${machine.cpu}, ${formatCounted(machine.cores, "core")}, ${formatBytes(machine.memory)}`,
    ],
    ["Engine", `${machine.engine}, Deno ${machine.deno}`],
    [
      "Started",
      sessions.length === 1
        ? started
        : `${started}, resumed ${formatCounted(sessions.length - 1, "time")}`,
    ],
  ];
  return html`<dl class="facts">${
    rows.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

/** What is unfinished or damaged, said first. */
export function progress({ results, arms }: Page): Html {
  const open = arms.filter(({ status }) => status.kind === "running" || status.kind === "waiting");
  const failed = arms.filter(({ status }) => status.kind === "failed");
  const { torn } = results;
  return html`${
    open.length > 0 || arms.length === 0
      ? html`
        <p
          class="warning"><strong>This run is not finished:</strong> ${arms.length - open.length -
            failed.length} of ${formatCounted(
              arms.length,
              "arm",
            )} ${arms.length - open.length - failed.length === 1
            ? "is"
            : "are"} complete. Arms that have seen fewer images are not yet comparable with the others. The command at the end of this page goes on where it stopped.</p>
      `
      : undefined
  }${
    failed.map(({ record, status }) =>
      html`<p class="warning"><strong>${record.title} stopped by itself:</strong> ${
        status.kind === "failed" ? status.message : undefined
      }</p>`
    )
  }${
    torn.length > 0
      ? html`
        <p
          class="warning">${formatCounted(torn.length, "line")} of results.jsonl (${formatList(
            torn.map(({ line }) => String(line)),
          )}) could not be read, as after a kill while writing, and ${torn.length === 1
            ? "was"
            : "were"} left out.</p>
      `
      : undefined
  }`;
}

/** One paragraph on what was compared, and one on what the numbers are not. */
export function comparison({ results, arms }: Page): Html {
  const { run } = results;
  const base = arms.find(({ isBase }) => isBase);
  const axes = [...new Set(arms.flatMap(({ record }) => record.axes))];
  const fd = arms.flatMap(({ distances }) => distances).at(-1)?.fd;
  const classes = run.data.classes.length;
  const others = arms.filter(({ isBase }) => !isBase).length;
  const from = classes > 1 ? ` (${formatCount(classes)} classes)` : "";
  return html`<p>${formatCounted(arms.length, "arm")}${
    base === undefined ? "" : `: the base, ${base.record.title}, and ${others} that differ from it`
  }${
    axes.length > 0 ? ` in ${axes.length === 1 ? axes[0] : formatList(axes, "or")}` : ""
  }. Each is trained on ${
    formatCount(run.images)
  } images from ${run.data.name}${from}, at ${run.size} × ${run.size} pixels, with ${
    formatCounted(run.seeds.length, "seed")
  }. All arms of a seed see the same images, noise and noise levels, in training and in evaluation, so that their differences are paired.</p>
${
    fd === undefined
      ? html`<p>No distance between samples and held-out images has been measured yet.</p>`
      : html`<p><strong>${
        distanceName(fd.features)
      }</strong> is a Fréchet distance on features of images, from ${
        formatCount(fd.n)
      } samples and ${
        formatCount(fd.nReference)
      } held-out images. It is not an FID as published: it orders arms of this run, on this data, and is not comparable with any published number.${
        fd.n < 2000 ? " So few samples bias it upwards, for all arms alike." : ""
      }</p>`
  }
${
    run.seeds.length < 3
      ? html`<p>With ${
        formatCounted(run.seeds.length, "seed")
      }, intervals tell how sure a difference is between these trained models, not how it would come out with other initial weights and another order of images. Take small differences as open.</p>`
      : undefined
  }`;
}
