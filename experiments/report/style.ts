/**
 * The style sheet and the script of a report.
 *
 * @module
 */
import { DARK, FONT_FAMILY, type Ground, LIGHT } from "../../lib/charts/theme.ts";

function variables(ground: Ground, rest: Record<string, string>): string {
  return Object.entries({ ...ground, ...rest })
    .map(([name, value]) => `--${name}: ${value};`).join(" ");
}

const light = variables(LIGHT, { panel: "#f6f7f9", accent: "#0072b2", warn: "#fff4e5" });
const dark = variables(DARK, { panel: "#1c2026", accent: "#56b4e9", warn: "#33281a" });

/** Light and dark by the reader's system, one column that reads on a telephone and prints. */
export const STYLE = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 ${FONT_FAMILY}; -webkit-text-size-adjust: 100%; }
main { max-width: 1140px; margin: 0 auto; padding: 48px 24px 64px; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 2rem; margin: 4px 0 20px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 56px 0 12px; padding-top: 20px; border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 0 0 4px; }
p { max-width: 74ch; margin: 0 0 12px; }
.eyebrow { color: var(--accent); font-weight: 600; font-size: .85rem; margin: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 220px), 1fr)); gap: 16px 24px;
  margin: 0 0 28px; padding: 18px 20px; background: var(--panel); border-radius: 8px; }
.facts dt { color: var(--muted); font-size: .8rem; }
.facts dd { margin: 0; font-weight: 500; overflow-wrap: anywhere; }
.note { color: var(--muted); font-size: .875rem; max-width: 96ch; }
.warning { background: var(--warn); border-left: 3px solid #e69f00; border-radius: 0 6px 6px 0;
  padding: 12px 16px; margin: 0 0 20px; max-width: none; }
.scroll { overflow-x: auto; margin: 0 0 10px; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 10px 8px; vertical-align: top; border-bottom: 1px solid var(--grid);
  white-space: nowrap; }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal;
  border-bottom: 1.5px solid var(--line); line-height: 1.3; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
td.text, th.text { text-align: left; white-space: normal; min-width: 130px; }
td.arm { min-width: 180px; white-space: normal; font-weight: 500; }
td.arm > div { display: flex; gap: 9px; align-items: baseline; }
td.arm svg { flex: none; width: 13px; height: 13px; align-self: flex-start; margin-top: 4px; }
.sub { display: block; color: var(--muted); font-size: .8rem; font-weight: 400; }
.state { display: inline-block; margin-top: 3px; padding: 0 7px; border-radius: 9px; font-size: .75rem;
  font-weight: 500; background: var(--warn); }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono",
  monospace; font-size: .85em; }
td code { overflow-wrap: anywhere; }
pre { background: var(--panel); border-radius: 6px; padding: 14px 16px; overflow-x: auto; line-height: 1.45;
  margin: 0 0 14px; }
figure { margin: 0; }
.chart { margin: 28px 0 36px; }
.chart figcaption { color: var(--muted); font-size: .875rem; max-width: 96ch; margin-top: 6px; }
.plot { min-width: 620px; }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr)); gap: 28px 24px; }
.grids img { display: block; width: 100%; height: auto; border-radius: 4px; background: #fff; }
.grids figcaption { margin-top: 8px; font-size: .875rem; }
.missing { display: grid; place-items: center; min-height: 140px; padding: 16px; border-radius: 4px;
  background: var(--panel); color: var(--muted); font-size: .875rem; text-align: center; }
details { margin: 0 0 14px; }
summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
details > :not(summary) { margin-top: 10px; }
a { color: var(--accent); }
footer { margin-top: 56px; padding-top: 16px; border-top: 1px solid var(--grid); }
@media (max-width: 640px) { main { padding: 24px 16px 40px; } h1 { font-size: 1.6rem; } }
@media print {
  :root { color-scheme: light; ${light} }
  body { font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: 4px 5px; } td.arm, td.text, th.text { min-width: 0; }
  .chart, .grids figure, tr { break-inside: avoid; }
  .sub, td code { font-size: 6.5pt; } figcaption .sub { font-size: 8pt; }
  h2, h3, h2 + .note { break-after: avoid; }
  .plot { min-width: 0; }
}
`;

/** Draws the figures, in the colours of the reader's system, and in light ones for printing. */
export const SCRIPT = `
(() => {
  const { figures, light, dark } = JSON.parse(document.getElementById("figures").textContent);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displayModeBar: false };
  const plots = [...document.querySelectorAll(".plot")];
  const draw = (template, width) => plots.map((plot) => {
    const { data, layout } = structuredClone(figures[plot.dataset.figure]);
    const { title: _, ...rest } = layout; // the heading above says it
    const size = width === undefined ? { autosize: true } : { width };
    return Plotly.react(plot, data, { ...rest, template, ...size }, config);
  });
  const onScreen = () => draw(scheme.matches ? dark : light);
  Promise.all(onScreen()).then(() => document.documentElement.dataset.drawn = "true");
  scheme.addEventListener("change", onScreen);
  addEventListener("beforeprint", () => draw(light, 680));
  addEventListener("afterprint", onScreen);
})();
`;
