import assert from "node:assert/strict";
import { figureToSvg } from "../../lib/charts/export.ts";
import { costAndTime, costScaling } from "../../lib/charts/figures.ts";

const points = [{ side: 64, macs: 1e9, ms: 3 }, { side: 128, macs: 4e9, ms: 10 }];
const curves = [{ model: "DiT", points }, { model: "HDiT & windows", points }];

Deno.test("costAndTime() puts counts and times side by side in the same colours, HDiT first", async () => {
  const figure = costAndTime(curves, { machine: "two cores" });
  // deno-lint-ignore no-explicit-any -- Plotly's union of traces
  const data = figure.data as any[];
  assert.deepEqual(data.map(({ y }) => y), [[1, 4], [1, 4], [3, 10], [3, 10]]);
  assert.deepEqual(data.map(({ yaxis }) => yaxis), [undefined, undefined, "y2", "y2"]);
  assert.equal(data[0].name, "HDiT &amp; windows");
  assert.equal(data[0].line.color, data[2].line.color);
  assert.notEqual(data[0].line.color, data[1].line.color);
  assert.match(await figureToSvg(figure), /^<svg/);
  assert.match(await figureToSvg(costAndTime([], { machine: "none" })), /^<svg/);
});

Deno.test("costScaling() marks the ratio at the size asked for, and says what is counted", () => {
  const curves = [
    { model: "HDiT", points: [[64, 1e9], [128, 4e9]] as [number, number][] },
    { model: "DiT", points: [[64, 2e9], [128, 32e9]] as [number, number][] },
  ];
  const text = (options: Parameters<typeof costScaling>[1]) =>
    costScaling(curves, options).layout.annotations![0].text;
  assert.equal(text({}), "13 %<br>at 128²");
  assert.equal(text({ ratioAt: 64 }), "50 %<br>at 64²");
  const { title, caption } = costScaling(curves, { counted: "attention", published: [] })
    .layout.meta as { title: string; caption: string };
  assert.match(title, /attention/);
  assert.match(caption, /products alone/);
});
