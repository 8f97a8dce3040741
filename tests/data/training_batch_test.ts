import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray, { type NdArray } from "ndarray";
import { batchAt } from "../../lib/data/batches.ts";
import { openDataset } from "../../lib/data/open_dataset.ts";
import {
  augmentBatch,
  feedBatch,
  type FeedOptions,
  lowResolutionOf,
  makeFeed,
} from "../../lib/data/training_batch.ts";

const cacheFolder = await Deno.makeTempDir();
const { train } = await openDataset(
  { kind: "emoji", categories: ["flags"] },
  { size: 16, cacheFolder },
);
await train.load(24);
await Deno.remove(cacheFolder, { recursive: true });

const at = { batchSize: 4, seed: 5 };
const make = (options: FeedOptions, index: number) =>
  feedBatch(makeFeed(train, options), { index });
const images = (values: Float32Array, height: number, width: number) =>
  ndarray(values, [values.length / (height * width), height, width, 1]);
const apart = (a: NdArray<Float32Array>, b: NdArray<Float32Array>) =>
  a.data.reduce((most, v, i) => Math.max(most, Math.abs(v - b.data[i])), 0);

Deno.test("augmentBatch() does the same to a picture whatever the batch size", () => {
  const options = { split: "train" as const, seed: 5, prob: 0.5 };
  const draw = (batchSize: number, index: number) =>
    augmentBatch(batchAt(train, { size: 16, seed: 5, batchSize, index }), { ...options, index });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.nat(40), (times, index) => {
      const whole = draw(3 * times, index);
      const parts = Array.from({ length: times }, (_, k) => draw(3, index * times + k));
      assert.deepEqual([...whole.images.data], parts.flatMap((part) => [...part.images.data]));
      assert.deepEqual([...whole.augCond], parts.flatMap((part) => [...part.augCond]));
      assert.deepEqual([...whole.labels], parts.flatMap((part) => [...part.labels]));
    }),
    { numRuns: 20 },
  );
});

Deno.test("augmentBatch() changes the pictures whose nine numbers are not zero, and no other", () => {
  for (let index = 0; index < 10; index++) {
    const plain = batchAt(train, { size: 16, ...at, index });
    const options = { split: "train" as const, seed: 5, index, prob: 0.1 };
    const { images, augCond } = augmentBatch(plain, options);
    for (let b = 0; b < 4; b++) {
      const told = augCond.subarray(b * 9, (b + 1) * 9).some((v) => v !== 0);
      const [before, after] = [plain.images, images].map((all) => all.pick(b, null, null, null));
      const same = apart(
        ndarray(before.data.slice(before.offset, before.offset + before.size)),
        ndarray(after.data.slice(after.offset, after.offset + after.size)),
      ) === 0;
      assert.equal(same, !told, `picture ${b} of batch ${index}`);
    }
  }
});

Deno.test("feedBatch() without options is the split's batch", async () => {
  const batch = await make({ size: 16, ...at, augmentProb: 0 }, 3);
  assert.deepEqual(Object.keys(batch).sort(), ["images", "labels"]);
  assert.deepEqual(batch, batchAt(train, { size: 16, ...at, index: 3 }));
});

Deno.test("feedBatch() takes several sizes in turn, and the same pictures at each", async () => {
  const multiScale = [16, 24, 16];
  for (let index = 0; index < 7; index++) {
    const { images } = await make({ multiScale, ...at }, index);
    const size = multiScale[index % 3];
    assert.deepEqual(images, batchAt(train, { size, ...at, index }).images);
  }
});

Deno.test("feedBatch() gives the augmented pictures' own low-resolution pairs", async () => {
  const options = { size: 16, ...at, augmentProb: 0.5, lowResolution: { factor: 4 } };
  const { images, selfCond } = await make(options, 1);
  assert.deepEqual(selfCond, lowResolutionOf(images, { factor: 4 }));
  assert.ok(apart(images, selfCond!) > 0.1);
});

Deno.test("lowResolutionOf() keeps what is smooth and loses what is fine", () => {
  const height = 8, width = 48;
  const waves = (period: number) =>
    images(
      Float32Array.from(
        { length: height * width },
        (_, i) => Math.cos(2 * Math.PI * (i % width + 0.5) / period),
      ),
      height,
      width,
    );
  const pair = (x: NdArray<Float32Array>) => lowResolutionOf(x, { factor: 4 });
  assert.ok(apart(pair(waves(48)), waves(48)) < 0.05);
  const fine = pair(waves(3)); // at the border the kernel is cut off, so some is left there
  for (let x = 8; x < width - 8; x++) assert.ok(Math.abs(fine.get(0, 0, x, 0)) < 0.05);
  assert.deepEqual(lowResolutionOf(waves(5), { factor: 1 }).data, waves(5).data);
});

Deno.test("makeFeed() refuses what no batch can be made of", () => {
  const feed = (options: Partial<FeedOptions>) => () =>
    makeFeed(train, { size: 16, ...at, ...options } as FeedOptions);
  assert.throws(feed({ lowResolution: { factor: 3 } }), {
    name: "RangeError",
    message: "Cannot make low-resolution pictures as the factor must be a whole number that " +
      "divides the sides: factor is 3, size is [16, 16]",
  });
  assert.throws(feed({ augmentProb: NaN }), /probability is NaN/);
  assert.throws(feed({ size: 17 }), /size 17 as it is not loaded/);
  assert.throws(() => makeFeed(train, { multiScale: [], ...at }), /it has none/);
});
