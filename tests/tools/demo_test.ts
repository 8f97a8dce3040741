import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { join } from "@std/path";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { preconditioned } from "../../lib/diffusion/preconditioning.ts";
import { sampleImages } from "../../lib/diffusion/sample.ts";
import { karrasSchedule } from "../../lib/diffusion/schedules.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { toBytes } from "../../lib/io/images.ts";
import { exportOnnx } from "../../lib/io/onnx_export.ts";
import { presets } from "../../lib/models/presets.ts";
import { sampleSteps, startingNoise, toRgba } from "../../tools/demo/sampler.ts";
import { serveSite, toScript, writeSite } from "../../tools/demo/site.ts";
import { findChromium, type OpenPage, withPage } from "../experiments/chromium.ts";
import { livelyParams } from "../io/lively_params.ts";

await setEngine("onnxruntime");

const spec = { ...presets.smoke, numClasses: 2 }, size = [32, 32] as const;
const model = hditModel(spec), params = livelyParams(model);
const each = size[0] * size[1] * 3;
const levels = { sigmaMin: 0.02, sigmaMax: 80 };
/** The page rounds to float32 at other places than the library; the model makes errors larger. */
const TOLERANCE = 1e-3;

/** The library's own pictures, for seeds 5 and 6. */
const library = (
  kind: "dpmpp-2m" | "euler",
  options: Partial<Parameters<typeof sampleImages>[0]>,
) =>
  sampleImages({
    params,
    spec,
    size,
    ...levels,
    n: 2,
    seed: 5,
    labels: [1, 1],
    steps: 6,
    sampler: { kind },
    ...options,
  });

Deno.test("sampleSteps() draws the library's pictures from the same seeds", async () => {
  const denoise = (x: Float32Array, sigma: number) =>
    Promise.resolve(tf.tidy(() => {
      const cond = { classCond: tf.tensor1d([1, 1], "int32") };
      const run = preconditioned((x, sigma, cond) => model.apply(params, { x, sigma, cond }), {
        kind: "edm",
        sigmaData: 0.5,
      });
      const noisy = tf.tensor(x, [2, ...size, 3]) as tf.Tensor4D;
      return run(noisy, tf.tensor1d([sigma, sigma]), cond).dataSync() as Float32Array;
    }));
  for (const sampler of ["dpmpp-2m", "euler"] as const) {
    const start = startingNoise({ seeds: [5, 6], each, sigmaMax: levels.sigmaMax });
    const sigmas = karrasSchedule(6, levels);
    const walk = sampleSteps(denoise, start, { sigmas, sampler });
    let next = await walk.next(), calls = 0;
    for (; !next.done; next = await walk.next()) {
      assert.deepEqual([next.value.step, next.value.sigma], [calls, sigmas[calls]]);
      calls++;
    }
    assert.equal(calls, 6);
    const wanted = await library(sampler, {});
    const error = Math.max(...wanted.map((value, i) => Math.abs(value - next.value[i])));
    assert.ok(error < TOLERANCE, `${sampler}: the largest error is ${error}`);
  }
});

Deno.test("toRgba() clips and rounds as image files do, and repeats grey", () => {
  const image = Float32Array.of(-2, -1, 0, 1, 3, 0.5);
  assert.deepEqual([...toRgba(image, 3)], [0, 0, 128, 255, 255, 255, 191, 255]);
  assert.deepEqual([...toRgba(image, 3).filter((_, i) => i % 4 < 3)], [...toBytes(image)]);
  assert.deepEqual([...toRgba(Float32Array.of(1, -1), 1)], [255, 255, 255, 255, 0, 0, 0, 255]);
});

Deno.test("toScript() takes types away and imports from the same folder", () => {
  const script = toScript(
    'import { a } from "../../lib/some/where.ts";\nexport const f = (x: number): string => a(x as 1);\n',
  );
  assert.equal(
    script.replaceAll(/ +/g, " "),
    'import { a } from "./where.js";\nexport const f = (x ) => a(x );\n',
  );
});

/** A site of the example in a folder of its own, served. */
async function withSite(use: (url: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const file = exportOnnx({ model, params, size, ...levels, classNames: ["Cats", "<b>Dogs"] });
  try {
    await writeSite(folder, { model: file });
    await using server = serveSite(folder);
    await use(`http://127.0.0.1:${server.addr.port}/`, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("writeSite() overwrites nothing unless told to, and serveSite() hands out nothing else", async () => {
  await withSite(async (url, folder) => {
    const file = await Deno.readFile(join(folder, "model.onnx"));
    await assert.rejects(writeSite(folder, { model: file }), /must be new or empty/);
    await writeSite(folder, { model: file, force: true });
    const status = async (path: string) => {
      const response = await fetch(url + path);
      await response.body?.cancel();
      return response.status;
    };
    assert.deepEqual(
      await Promise.all(["", "lib/random.js", "ort/ort.wasm.min.mjs"].map(status)),
      [200, 200, 200],
    );
    for (const path of ["lib", "x", "..%2fdeno.json", ".git/config", "lib//random.js", "%00"]) {
      assert.equal(await status(path), 404, path);
    }
  });
});

const chromium = await findChromium();
if (chromium === undefined) {
  console.log("The demo is not opened in a browser, as there is no Chromium on the PATH");
}

/** Waits until the page is in one of some states; gives the state. */
const reach = (page: OpenPage, ...states: string[]) =>
  page.evaluate(`new Promise((resolve) => {
    const look = () => ${JSON.stringify(states)}.includes(document.documentElement.dataset.state)
      ? resolve(document.documentElement.dataset.state) : setTimeout(look, 20);
    look();
  })`);
const press = (page: OpenPage, id: string) =>
  page.evaluate(`document.getElementById("${id}").click()`);
const text = (page: OpenPage, id: string) =>
  page.evaluate(`document.getElementById("${id}").textContent`);
/** The bytes of the canvases, without alpha. */
const pictures = async (page: OpenPage) =>
  await page.evaluate(`[...document.querySelectorAll("#grid canvas")].flatMap((canvas) =>
    [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]
      .filter((_, i) => i % 4 < 3))`) as number[];

function assertSamePictures(actual: number[], wanted: Float32Array): void {
  const bytes = toBytes(wanted);
  assert.equal(actual.length, bytes.length);
  // a number that lies between two bytes may go either way
  const error = bytes.reduce((most, byte, i) => Math.max(most, Math.abs(byte - actual[i])), 0);
  assert.ok(error <= 1, `the largest error is ${error} of 255`);
}

for (const dark of [false, true]) {
  Deno.test({
    name: `the demo draws the library's pictures in a browser, alone, in the ${
      dark ? "dark" : "light"
    }`,
    ignore: chromium === undefined,
    fn: () =>
      withSite(async (url) => {
        const query = "?seed=5&steps=6&count=1&class=1&sampler=dpmpp-2m&nonsense=1&guidance=99";
        const options = { url: url + query, dark, ...(dark ? { width: 390, height: 800 } : {}) };
        await withPage(chromium!, options, async (page) => {
          assert.equal(
            await reach(page, "ready", "failed"),
            "ready",
            `${await text(page, "status")}`,
          );
          const classes = `[...document.getElementById("class").options].map((o) => o.textContent)`;
          assert.deepEqual(await page.evaluate(classes), ["Cats", "<b>Dogs", "Any"]);
          await press(page, "draw");
          assert.equal(await reach(page, "done", "failed"), "done");
          assertSamePictures(
            await pictures(page),
            await library("dpmpp-2m", { n: 1, labels: [1] }),
          );
          assert.match(`${await text(page, "status")}`, /^6 steps in [\d.]+ s$/);

          // with guidance, another sampler and two seeds more than needed
          await page.evaluate(`Object.entries({ guidance: 2, sampler: "euler", count: 4, seed: 5 })
            .forEach(([id, value]) => document.getElementById(id).value = value)`);
          await press(page, "draw");
          assert.equal(await reach(page, "done", "failed"), "done");
          const guided = await library("euler", { n: 4, labels: [1, 1, 1, 1], guidanceScale: 2 });
          assertSamePictures(await pictures(page), guided);
          assert.match(`${await page.evaluate("location.search")}`, /seed=5&steps=6.*guidance=2/);

          const wide =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
          assert.equal(await page.evaluate(wide), 0);
          const ground = "getComputedStyle(document.body).backgroundColor";
          assert.equal(
            await page.evaluate(ground),
            dark ? "rgb(21, 24, 29)" : "rgb(255, 255, 255)",
          );
          const unnamed = `[...document.querySelectorAll("input, select, button, canvas")]
            .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).length`;
          assert.equal(await page.evaluate(unnamed), 0);
          // Chromium's own note where there is no GPU, which the page asks for first
          const complaints = page.complaints.filter((text) => text !== "No available adapters.");
          assert.deepEqual(complaints, []);
          assert.ok(page.requests.some((address) => address.endsWith("/ort/ort.wasm.min.mjs")));
          assert.deepEqual(page.requests.filter((address) => !address.startsWith(url)), []);
        });
      }),
  });
}

Deno.test({
  name: "the demo stops when asked to, and says why it cannot use a model",
  ignore: chromium === undefined,
  fn: () =>
    withSite(async (url, folder) => {
      await withPage(chromium!, { url: `${url}?steps=100&count=16` }, async (page) => {
        await reach(page, "ready");
        await press(page, "draw");
        await page.evaluate(`new Promise((resolve) => {
          const look = () => /^Step/.test(document.getElementById("status").textContent)
            ? resolve() : setTimeout(look, 5);
          look();
        })`);
        await press(page, "stop");
        assert.equal(await reach(page, "ready", "done"), "ready");
        assert.equal(await text(page, "status"), "Stopped");
        await press(page, "draw"); // it goes on to work
        assert.equal(await reach(page, "sampling"), "sampling");
      });
      await Deno.writeTextFile(join(folder, "model.onnx"), "not a model");
      await withPage(chromium!, { url }, async (page) => {
        assert.equal(await reach(page, "failed"), "failed");
        assert.match(`${await text(page, "status")}`, /^Cannot (read|use) the ONNX file/);
      });
    }),
});
