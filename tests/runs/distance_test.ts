import assert from "node:assert/strict";
import ndarray, { type NdArray } from "ndarray";
import { readHeldOut } from "../../lib/data/draw.ts";
import { openDataset } from "../../lib/data/open_dataset.ts";
import type { FeatureExtractor } from "../../lib/metrics/features.ts";
import { frechetDistance } from "../../lib/metrics/frechet.ts";
import { distanceMeter } from "../../lib/runs/distance.ts";

/** The mean of each channel; counts the images that it has seen. */
function meanColours(): FeatureExtractor & { seen: number } {
  return {
    name: "mean colours",
    dimension: 3,
    seen: 0,
    extract(images: NdArray<Float32Array>) {
      const [n, height, width] = images.shape, out = ndarray(new Float32Array(n * 3), [n, 3]);
      this.seen += n;
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) sum += images.get(i, y, x, c);
          }
          out.set(i, c, sum / (height * width));
        }
      }
      return Promise.resolve(out);
    },
    dispose() {},
  };
}

Deno.test("distanceMeter() measures samples that come in parts, and takes the pictures' features once", async () => {
  const dataset = await openDataset({ kind: "emoji", categories: ["flags"] }, { size: 8 });
  const features = meanColours(), meter = distanceMeter(dataset, features);
  const drawn = (split: "train" | "test", n: number) =>
    readHeldOut(dataset[split], { size: 8, n, seed: 0 });
  const { images } = await drawn("train", 30); // samples of a perfect model: the floor itself
  const parts = async function* () {
    yield images.hi(7);
    yield images.lo(7);
  };
  const options = { size: 8, nReference: 12 };
  const quality = await meter.measure(parts(), options);
  assert.equal(features.seen, 30 + 12 + 30);
  const [x, y] = [images, (await drawn("test", 12)).images];
  const expected = frechetDistance(await features.extract(x), await features.extract(y));
  assert.ok(Math.abs(quality.value - expected) < 1e-9 * (1 + expected));
  assert.ok(Math.abs(quality.floor - expected) < 1e-9 * (1 + expected));
  assert.ok(quality.low <= quality.value && quality.value <= quality.high);
  assert.deepEqual([quality.n, quality.nReference], [30, 12]);
  assert.equal(quality.features, "mean colours");

  const before = features.seen;
  assert.deepEqual(await meter.measure(parts(), options), quality);
  assert.equal(features.seen, before + 30);

  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(meter.measure(parts(), { ...options, nReference: 9, signal }), /enough/);
});
