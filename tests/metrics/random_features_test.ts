import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { batchAt, heldOut } from "../../lib/data/batches.ts";
import { openEmoji } from "../../lib/data/emoji.ts";
import { resizeImages } from "../../lib/data/resize.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import { frechetDistance } from "../../lib/metrics/frechet.ts";
import { kernelDistance } from "../../lib/metrics/kernel_distance.ts";
import {
  RANDOM_FEATURE_DIMENSION,
  randomFeatureExtractor,
} from "../../lib/metrics/random_features.ts";

type Images = NdArray<Float32Array>;

function noisy(images: Images, sigma: number): Images {
  const noise = normals({ seed: 7, stream: "tests/noise" }, 0, images.size);
  return ndarray(images.data.map((v, i) => v + sigma * noise[i]), images.shape);
}

function blurred(images: Images, size: number): Images {
  const [, height, width] = images.shape;
  return resizeImages(resizeImages(images, { height: size, width: size }), { height, width });
}

/** Squares of 16 px, dealt anew in each image. */
function scrambled(images: Images): Images {
  const [n, height, width] = images.shape;
  const across = width / 16, pieces = across * height / 16;
  const out = ndarray(new Float32Array(images.size), images.shape);
  for (let i = 0; i < n; i++) {
    const order = Array.from(normals({ seed: 8, stream: "tests/scramble" }, i, pieces).entries())
      .sort((a, b) => a[1] - b[1]).map(([k]) => k);
    for (let k = 0; k < width * height * 3; k++) {
      const c = k % 3, x = Math.floor(k / 3) % width, y = Math.floor(k / 3 / width);
      const from = order[Math.floor(y / 16) * across + Math.floor(x / 16)];
      const [top, left] = [Math.floor(from / across) * 16, from % across * 16];
      out.set(i, y, x, c, images.get(i, top + y % 16, left + x % 16, c));
    }
  }
  return out;
}

Deno.test("randomFeatureExtractor() orders real, blurred, noisy, scrambled, few and noise images", async () => {
  await setEngine("onnxruntime");
  const n = 192, size = 64;
  const cacheFolder = await Deno.makeTempDir();
  const categories = ["food", "animals", "objects"];
  const dataset = await openEmoji({ categories }, { size, cacheFolder });
  await Deno.remove(cacheFolder, { recursive: true });
  const draw = (index: number) =>
    batchAt(dataset.train, { size, batchSize: n, seed: 0, index }).images;
  const real = draw(1);
  const few = ndarray(real.data.map((_, i) => real.data[i % (8 * size * size * 3)]), real.shape);
  const noise = normals({ seed: 9, stream: "tests/noise" }, 0, real.size);
  const sets: Record<string, Images> = {
    real,
    unseen: heldOut(dataset.test, { size, n, seed: 0 }).images,
    slightlyNoisy: noisy(real, 0.2),
    noisy: noisy(real, 0.5),
    slightlyBlurred: blurred(real, 32),
    blurred: blurred(real, 16),
    veryBlurred: blurred(real, 8),
    scrambled: scrambled(real),
    few,
    plainNoise: ndarray(noise.map((v) => 0.5 * v), real.shape),
  };
  const extractor = randomFeatureExtractor();
  try {
    const reference = await extractor.extract(draw(0));
    const fd: Record<string, number> = {}, kd: Record<string, number> = {};
    for (const [name, images] of Object.entries(sets)) {
      const features = await extractor.extract(images);
      fd[name] = frechetDistance(features, reference);
      kd[name] = kernelDistance(features, reference);
    }
    const text = JSON.stringify({ fd, kd });
    const chains = [
      ["real", "slightlyNoisy", "noisy", "plainNoise"],
      ["real", "slightlyBlurred", "blurred", "veryBlurred", "plainNoise"],
      ["real", "scrambled", "plainNoise"],
      ["real", "few", "plainNoise"],
      ["unseen", "noisy", "plainNoise"],
      ["unseen", "veryBlurred", "plainNoise"],
    ];
    for (const distances of [fd, kd]) {
      for (const chain of chains) {
        for (let i = 1; i < chain.length; i++) {
          assert.ok(
            distances[chain[i - 1]] < distances[chain[i]],
            `${chain[i - 1]} < ${chain[i]}: ${text}`,
          );
        }
      }
    }
  } finally {
    extractor.dispose();
  }
});

Deno.test("randomFeatureExtractor() takes any size, grey too, and gives what a batch alone would", async () => {
  await setEngine("onnxruntime");
  const images = ndarray(normals({ seed: 1, stream: "tests/images" }, 0, 5 * 40 * 24 * 3), [
    5,
    40,
    24,
    3,
  ]);
  const extractor = randomFeatureExtractor({ batchSize: 2 });
  const together = await extractor.extract(images);
  assert.deepEqual(together.shape, [5, RANDOM_FEATURE_DIMENSION]);
  assert.ok(together.data.every(Number.isFinite));
  const alone = await extractor.extract(images.lo(3, 0, 0, 0).hi(1, 40, 24, 3));
  for (let k = 0; k < RANDOM_FEATURE_DIMENSION; k++) {
    assert.ok(Math.abs(alone.get(0, k) - together.get(3, k)) < 1e-5);
  }
  const grey = ndarray(images.data.slice(0, 40 * 24), [1, 40, 24, 1]);
  const repeated = ndarray(
    Float32Array.from({ length: 40 * 24 * 3 }, (_, i) => grey.data[Math.floor(i / 3)]),
    [1, 40, 24, 3],
  );
  assert.deepEqual(await extractor.extract(grey), await extractor.extract(repeated));
  await assert.rejects(
    () => extractor.extract(ndarray(new Float32Array(12), [2, 2, 3])),
    RangeError,
  );
  extractor.dispose();
});

Deno.test("randomFeatureExtractor() gives the same features on every engine, others for another seed", async () => {
  const images = ndarray(normals({ seed: 2, stream: "tests/images" }, 0, 64 * 64 * 3), [
    1,
    64,
    64,
    3,
  ]);
  const features: Float32Array[] = [];
  for (const engine of ["cpu", "onnxruntime"] as const) {
    await setEngine(engine);
    const extractor = randomFeatureExtractor({ batchSize: 1 });
    features.push((await extractor.extract(images)).data);
    extractor.dispose();
  }
  const worst = Math.max(...features[0].map((v, k) => Math.abs(v - features[1][k])));
  assert.ok(worst < 1e-4, `${worst}`); // float32 sums in another order, four layers deep
  const other = randomFeatureExtractor({ seed: 1, batchSize: 1 });
  assert.notDeepEqual((await other.extract(images)).data, features[1]);
  other.dispose();
});

Deno.test("randomFeatureExtractor() leaves no tensor behind", async () => {
  await setEngine("onnxruntime");
  const images = ndarray(new Float32Array(3 * 8 * 8 * 3), [3, 8, 8, 3]);
  const use = async () => {
    const extractor = randomFeatureExtractor({ batchSize: 2 });
    await extractor.extract(images);
    await extractor.extract(images);
    extractor.dispose();
  };
  await use();
  const before = tf.memory().numTensors;
  await use();
  assert.equal(tf.memory().numTensors, before);
});
