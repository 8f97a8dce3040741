/**
 * The page of a report: HTML from summaries, pictures and figures, with nothing left to fetch.
 *
 * @module
 */
import { type Figure, figureMeta } from "../../lib/charts/figure.ts";
import { chartTemplate, DARK, LIGHT } from "../../lib/charts/theme.ts";
import type { ArmSummary } from "./compare.ts";
import type { Page, Picture } from "./contents.ts";
import { formatBytes, formatCount, formatCounted, formatList, formatSeconds } from "./format.ts";
import { type Html, html, scriptJson, scriptSource } from "./html.ts";
import { comparison, facts, progress } from "./introduction.ts";
import { SCRIPT, STYLE } from "./style.ts";
import { armTable, resolutionSection } from "./tables.ts";

// Nothing may be fetched: what a name or a path might smuggle in has nowhere to go
const POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; " +
  "script-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'";

/** The whole page as text. */
export function reportPage(page: Page): string {
  const { run } = page.results;
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy" content="${POLICY}">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${run.name} · ablation report</title>
        <link rel="icon" href="data:,">
        <style>${{ html: STYLE }}</style>
      </head>
      <body>
        <main>
    <header>
    <p class="eyebrow">Hourglass Diffusion Transformer · ablation report</p>
    <h1>${run.name}</h1>
    ${facts(page)}
    ${progress(page)}
    </header>
    <section>
    ${comparison(page)}
    </section>
    <section>
    <h2>Arms</h2>
    ${armTable(page)}
    </section>
    ${sampleSection(page)}
    <section>
    <h2>Charts</h2>
    <noscript><p class="warning">The charts need JavaScript. The same ones lie in figures/ as Plotly JSON.</p></noscript>
    ${page.figures.map(chart)}
    </section>
    ${resolutionSection(page)}
    ${reproduction(page)}
    <footer class="note">Made from results.jsonl alone; the charts lie in figures/ as Plotly JSON.</footer>
        </main>
        <script type="application/json" id="figures">${scriptJson({
          figures: page.figures,
          light: chartTemplate(LIGHT),
          dark: chartTemplate(DARK),
        })}</script>
        <script>${scriptSource(page.plotly)}</script>
        <script>${scriptSource(SCRIPT)}</script>
      </body>
    </html>
  `.html;
}

function sampleSection({ results, arms, pictures }: Page): Html | undefined {
  if (pictures.length === 0) return undefined;
  const [first, ...others] = results.run.seeds.map((seed) =>
    html`<div class="grids">${
      pictures.filter(({ samples }) => samples.seed === seed).map((picture) => grid(picture, arms))
    }</div>`
  );
  return html`<section>
<h2>Samples</h2>
<p class="note">From the averaged (EMA) weights, not chosen by hand.</p>
${first}
${
    others.length > 0
      ? html`
        <details>
          <summary>Samples of the other seeds</summary>
          <div>${others}</div>
        </details>
      `
      : undefined
  }
</section>`;
}

function grid(picture: Picture, arms: ArmSummary[]): Html {
  const { samples } = picture;
  const title = arms.find(({ record }) => record.arm === samples.arm)?.record.title ?? samples.arm;
  return html`<figure>${
    "png" in picture
      ? html`<img src="data:image/png;base64,${picture.png}" alt="${
        formatCounted(samples.n, "sample")
      } of the arm ${title}">`
      : html`<div class="missing">${picture.missing}</div>`
  }<figcaption><strong>${title}</strong><span class="sub">${
    formatCounted(samples.n, "sample")
  } after ${formatCount(samples.images)} images; ${samples.sampler}, ${
    formatCounted(samples.steps, "step")
  }; seed ${samples.seed}</span></figcaption></figure>`;
}

function chart(figure: Figure, index: number): Html {
  const { name, title, caption } = figureMeta(figure);
  return html`
    <figure class="chart" id="${name}">
      <h3>${title}</h3>
      <div class="scroll">
        <div class="plot" data-figure="${index}" style="height: ${figure.layout.height ??
          460}px"></div>
      </div>
      <figcaption>${caption}</figcaption>
    </figure>
  `;
}

function reproduction({ results, arms }: Page): Html {
  const { run, sessions } = results;
  const done = arms.flatMap(({ done }) => done);
  const peak = Math.max(...done.map(({ peakRss }) => peakRss));
  const versions = Object.entries(run.machine.versions).map(([name, v]) => `${name} ${v}`);
  const machines = new Set(sessions.map(({ machine }) => JSON.stringify(machine)));
  return html`
    <section>
      <h2>How to reproduce</h2>
      <pre><code>${run.command}</code></pre>
      <p>The same command goes on with an unfinished run. On ${run.machine.os} with Deno ${run
        .machine.deno}${versions.length > 0 ? `, ${formatList(versions)}` : ""}.${done.length > 0
        ? ` Training took ${
          formatSeconds(done.reduce((sum, { seconds }) => sum + seconds, 0))
        } for what is finished, with at most ${formatBytes(peak)} of memory.`
        : ""}${machines.size > 1
        ? ` The run went over ${machines.size} machines or versions; those of the last session are named.`
        : ""}</p>
      <details>
        <summary>Full configuration</summary>
        <pre><code>${JSON.stringify(run.config, null, 2)}</code></pre>
      </details>
      <details>
        <summary>Model of each arm</summary>
        <div>${arms.map(({ record }) =>
          html`
            <h3>${record.title}</h3>
            <pre><code>${JSON.stringify(record.spec, null, 2) ?? ""}</code></pre>
          `
        )}</div>
      </details>
    </section>
  `;
}
