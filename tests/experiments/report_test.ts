import assert from "node:assert/strict";
import { join, toFileUrl } from "@std/path";
import { writeReport } from "../../experiments/report.ts";
import { pairedDifference, summarise } from "../../experiments/report/compare.ts";
import { html, scriptJson, scriptSource } from "../../experiments/report/html.ts";
import { reportFigures } from "../../experiments/report/figures.ts";
import { figureProblems } from "../../lib/charts/export.ts";
import { parseResults, type ResultRecord, type Results } from "../../experiments/results.ts";
import { findChromium, withPage } from "./chromium.ts";
import { type SyntheticOptions, syntheticRecords, writeSyntheticRun } from "./synthetic_results.ts";

const INJECTION = `</script><img src="//x.invalid" onerror=alert(1)><!--&'`;

async function withRun(
  options: SyntheticOptions,
  use: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "hdit-report-" });
  try {
    await writeSyntheticRun(dir, options);
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function parsed(records: ResultRecord[]): Results {
  return parseResults(records.map((record) => JSON.stringify(record)).join("\n"));
}

/** A run of a base and one arm whose losses are given: [seed][image]. */
function twoArms(base: number[][], other: number[][], byImage: boolean): Results {
  const records = syntheticRecords({ seeds: base.map((_, i) => i), armsDone: 0 })
    .filter(({ kind }) => kind === "run" || kind === "arm");
  for (const [arm, seeds] of [["base", base], ["additive", other]] as const) {
    seeds.forEach((losses, seed) => {
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      records.push({
        kind: "eval",
        arm,
        seed,
        images: 100,
        size: 64,
        weights: "ema",
        heldOut: {
          mean,
          bySigma: losses.map((loss, i) => [i + 1, loss]),
          n: losses.length,
          ...(byImage ? { byImage: losses } : {}),
        },
      });
    });
  }
  return parsed(records);
}

Deno.test("pairedDifference() pairs held-out images below three seeds", () => {
  const results = twoArms([[1, 2, 3]], [[1.1, 2.2, 3.3]], true);
  const { value, low, high, n, unit, relative } = pairedDifference(results, "additive", 64)!;
  assert.equal(unit, "held-out images");
  assert.equal(n, 3);
  assert.ok(Math.abs(value - 0.2) < 1e-12);
  assert.ok(Math.abs(relative - 0.1) < 1e-12);
  // Differences 0.1, 0.2, 0.3: standard deviation 0.1, t = 4.303
  assert.ok(Math.abs(high - value - 4.303 * 0.1 / Math.sqrt(3)) < 1e-12);
  assert.ok(Math.abs(value - low - (high - value)) < 1e-12);
});

Deno.test("pairedDifference() pairs seeds from three on, noise levels where images are not kept", () => {
  const seeds = twoArms([[1], [2], [3]], [[1.1], [2.2], [3.3]], true);
  assert.equal(pairedDifference(seeds, "additive", 64)!.unit, "seeds");
  const sigmas = twoArms([[1, 2, 3]], [[1.1, 2.2, 3.3]], false);
  const difference = pairedDifference(sigmas, "additive", 64)!;
  assert.equal(difference.unit, "noise levels");
  assert.ok(Math.abs(difference.value - 0.2) < 1e-12);
});

Deno.test("pairedDifference() compares at the same number of images, and only where both have one", () => {
  const results = parsed(syntheticRecords({ armsDone: 1 }));
  assert.equal(pairedDifference(results, "additive", 64)!.images, 12_000);
  assert.equal(pairedDifference(results, "global", 64), undefined);
});

Deno.test("pairedDifference() gives no interval from values that are not finite", () => {
  const { value, low } = pairedDifference(twoArms([[1, 2]], [[NaN, 3]], true), "additive", 64)!;
  assert.ok(Number.isNaN(value) && Number.isNaN(low));
});

Deno.test("summarise() says how far each arm is", () => {
  const arms = summarise(parsed(syntheticRecords({ armsDone: 2, seeds: [0, 1] })));
  assert.deepEqual(arms.map(({ status }) => status), [
    { kind: "done" },
    { kind: "done" },
    { kind: "running", seedsDone: 0, images: 12_000 },
    { kind: "waiting" },
    { kind: "waiting" },
    { kind: "waiting" },
  ]);
  assert.deepEqual(arms.map(({ isBase }) => isBase), [true, false, false, false, false, false]);
});

Deno.test("reportFigures() makes figures that Plotly's schema accepts, at every stage of a run", async () => {
  for (const armsDone of [0, 1, 6]) {
    const results = parsed(syntheticRecords({ armsDone, seeds: [0, 1] }));
    const figures = reportFigures(results, summarise(results));
    assert.ok(figures.length >= 2);
    for (const figure of figures) assert.deepEqual(await figureProblems(figure), []);
  }
});

Deno.test("reportFigures() leaves an arm that saw fewer images out of the comparisons", () => {
  const results = parsed(syntheticRecords({ armsDone: 2 }));
  const figures = reportFigures(results, summarise(results));
  const bySigma = figures.find(({ layout }) => layout.meta.name === "held-out-by-sigma")!;
  const names = new Set(bySigma.data.map((trace) => "legendgroup" in trace && trace.legendgroup));
  assert.deepEqual([...names], ["base", "additive"]);
});

Deno.test("html`` escapes what is put into it, and keeps what is HTML", () => {
  assert.equal(
    html`<a href="${`"'<&>`}">${[html`<b>${1}</b>`, "<", undefined]}</a>`.html,
    `<a href="&quot;&#39;&lt;&amp;&gt;"><b>1</b>&lt;</a>`,
  );
});

Deno.test("scriptJson() and scriptSource() cannot end their script element, and mean the same", () => {
  const text = scriptJson({ text: INJECTION }).html;
  assert.ok(!text.includes("<"));
  assert.deepEqual(JSON.parse(text), { text: INJECTION });
  const source = scriptSource(`globalThis.made = "</script><!--" + /<\\/script>/.source`).html;
  assert.ok(!/<\/script|<!--/i.test(source));
  assert.equal(new Function(`return ${source.split("= ")[1]}`)(), "</script><!--<\\/script>");
});

Deno.test("writeReport() writes one file with everything in it, and the charts as JSON", async () => {
  await withRun({}, async (dir) => {
    const { report, figures } = await writeReport(dir);
    const page = await Deno.readTextFile(report);
    for (const text of ["SYNTHETIC test data", "FD (random features)", "is not an FID"]) {
      assert.ok(page.includes(text), text);
    }
    assert.ok(page.includes("deno task ablate --preset emoji"));
    assert.equal(page.match(/<img src="data:image\/png;base64,/g)?.length, 6);
    const outside = page.replaceAll(/<script>[\s\S]*?<\/script>/g, "");
    assert.ok(!/(?:src|href)="(?!data:)/.test(outside));
    assert.equal(figures.length, 7);
    for (const path of figures) {
      const { data, layout } = JSON.parse(await Deno.readTextFile(path));
      assert.ok(data.length > 0 && layout.meta.title.length > 0);
    }
  });
});

Deno.test("writeReport() gives the same bytes for the same records", async () => {
  await withRun({ grids: false }, async (dir) => {
    const read = async () => await Deno.readTextFile((await writeReport(dir)).report);
    assert.equal(await read(), await read());
  });
});

Deno.test("writeReport() escapes names, titles and paths", async () => {
  await withRun({ mark: INJECTION, grids: false }, async (dir) => {
    const page = await Deno.readTextFile((await writeReport(dir)).report);
    assert.ok(!page.includes('<img src="//x.invalid'));
    assert.equal(page.match(/<script/g)?.length, 3);
    assert.equal(page.match(/<\/script>/g)?.length, 3);
  });
});

Deno.test("writeReport() reports an unfinished run, torn lines, and grids that it cannot show", async () => {
  await withRun({ armsDone: 2 }, async (dir) => {
    const [base, additive] = ["base-0.png", "additive-0.png"].map((f) => join(dir, "samples", f));
    await Deno.remove(base);
    await Deno.writeTextFile(additive, "not a picture");
    const results = join(dir, "results.jsonl");
    const secret = { ...syntheticRecords()[0], name: "torn" };
    await Deno.writeTextFile(results, JSON.stringify(secret).slice(0, 60), { append: true });
    const page = await Deno.readTextFile((await writeReport(dir)).report);
    for (
      const text of [
        "This run is not finished",
        "2 of 6 arms are complete",
        "12,000 of 24,000 images",
        "not started",
        "1 line of results.jsonl",
        "samples/base-0.png is missing",
        "samples/additive-0.png is not a picture",
      ]
    ) assert.ok(page.includes(text), text);
  });
});

Deno.test("writeReport() shows no file from outside the folder of the run", async () => {
  await withRun({ grids: false }, async (dir) => {
    const sample = syntheticRecords().find(({ kind }) => kind === "samples")!;
    const line = JSON.stringify({ ...sample, file: "../../etc/picture.png" }) + "\n";
    await Deno.writeTextFile(join(dir, "results.jsonl"), line, { append: true });
    const page = await Deno.readTextFile((await writeReport(dir)).report);
    assert.ok(page.includes("picture.png lies outside the folder of the run"));
  });
});

const chromium = await findChromium();
if (chromium === undefined) {
  console.log("Reports are not opened in a browser, as there is no Chromium on the PATH");
}

for (
  const [what, options, dark] of [
    ["a finished run", {}, false],
    ["an unfinished run with hostile names, in the dark", { mark: INJECTION, armsDone: 2 }, true],
  ] as const
) {
  Deno.test({
    name: `writeReport() makes a page of ${what} that a browser draws whole and alone`,
    ignore: chromium === undefined,
    fn: () =>
      withRun(options, async (dir) => {
        const { report, figures } = await writeReport(dir);
        const url = toFileUrl(report).href;
        await withPage(chromium!, { url, dark }, async ({ complaints, requests, evaluate }) => {
          await evaluate(`new Promise((resolve) => {
            const look = () => document.documentElement.dataset.drawn ? resolve() : setTimeout(look, 50);
            look();
          })`);
          const drawn = await evaluate(
            `[...document.querySelectorAll(".js-plotly-plot")].filter((p) => p.querySelector("svg .trace")).length`,
          );
          assert.equal(drawn, figures.length);
          const broken = await evaluate(
            `[...document.images].filter((image) => image.naturalWidth === 0).length`,
          );
          assert.equal(broken, 0);
          const overflow = await evaluate(
            `document.documentElement.scrollWidth - document.documentElement.clientWidth`,
          );
          assert.equal(overflow, 0);
          const ground = await evaluate(
            `getComputedStyle(document.querySelector(".js-plotly-plot .main-svg")).backgroundColor`,
          );
          assert.equal(ground, dark ? "rgb(21, 24, 29)" : "rgb(255, 255, 255)");
          assert.deepEqual(complaints, []);
          assert.deepEqual(requests, []);
        });
      }),
  });
}
