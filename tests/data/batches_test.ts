import assert from "node:assert/strict";
import fc from "fast-check";
import { batchAt, epochOrder, heldOut } from "../../lib/data/batches.ts";
import type { Split } from "../../lib/data/dataset.ts";
import { joinRows } from "../../lib/data/dense.ts";
import { readHeldOutParts } from "../../lib/data/draw.ts";
import { makeSplit } from "../../lib/data/split.ts";

/** A split of `length` pictures; each pixel of picture i has red i, and the right half is clear. */
async function countedSplit(
  { length, name = "train", mirror = false }: {
    length: number;
    name?: "train" | "test";
    mirror?: boolean;
  },
): Promise<Split> {
  const split = makeSplit({
    name,
    labels: Int32Array.from({ length }, (_, i) => i % 3),
    titles: Array.from({ length }, (_, i) => `${i}`),
    channels: 3,
    mirror,
    getPlaces: ([height, width]) => {
      const data = new Uint8Array(length * height * width * 4);
      for (let i = 0; i < length * height * width; i++) {
        data[i * 4] = Math.floor(i / (height * width));
        data[i * 4 + 3] = i % width < width / 2 ? 255 : 0;
      }
      const places = { kind: "pixels", block: { data, height, width, bytes: 4 } } as const;
      return Promise.resolve({ places, rows: Int32Array.from({ length }, (_, i) => i) });
    },
  });
  await split.load(2);
  return split;
}

/** Which picture each image of a batch shows: the red of its opaque half. */
function shown(
  split: Split,
  options: { batchSize: number; seed: number; index: number },
): number[] {
  const { images } = batchAt(split, { size: 2, ...options });
  return Array.from(
    { length: options.batchSize },
    (_, b) => Math.round((images.get(b, 0, 0, 0) + 1) * 127.5),
  );
}

const lengths = fc.integer({ min: 1, max: 60 }), seeds = fc.nat(2 ** 31);

Deno.test("epochOrder() has each picture once, and another order each epoch", async () => {
  await fc.assert(
    fc.asyncProperty(lengths, seeds, fc.nat(1000), async (length, seed, epoch) => {
      const split = await countedSplit({ length });
      const order = epochOrder(split, { seed, epoch });
      assert.deepEqual([...order].sort((a, b) => a - b), Array.from(order.keys()));
      if (length >= 30) assert.notDeepEqual(order, epochOrder(split, { seed, epoch: epoch + 1 }));
    }),
  );
});

Deno.test("epochOrder() puts every picture in every place equally often", async () => {
  const split = await countedSplit({ length: 4 });
  const counts = new Int32Array(16);
  const epochs = 4000;
  for (let epoch = 0; epoch < epochs; epoch++) {
    epochOrder(split, { seed: 5, epoch }).forEach((i, place) => counts[place * 4 + i]++);
  }
  // binomial: mean 1000, standard deviation 27
  assert.ok(counts.every((count) => Math.abs(count - epochs / 4) < 5 * 27), `${counts}`);
});

Deno.test("batchAt() shows each picture once an epoch, across the borders of epochs", async () => {
  await fc.assert(
    fc.asyncProperty(
      lengths,
      seeds,
      fc.integer({ min: 1, max: 40 }),
      async (length, seed, size) => {
        const split = await countedSplit({ length });
        const batches = Math.ceil(2 * length / size);
        const sequence = Array.from(
          { length: batches },
          (_, index) => shown(split, { batchSize: size, seed, index }),
        ).flat();
        for (const epoch of [0, 1]) {
          const pictures = sequence.slice(epoch * length, (epoch + 1) * length);
          assert.deepEqual(pictures.sort((a, b) => a - b), Array.from(pictures.keys()));
        }
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("batchAt() is the same sequence, backgrounds included, whatever the batch size", async () => {
  await fc.assert(
    fc.asyncProperty(
      lengths,
      seeds,
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 7 }),
      fc.nat(50),
      async (length, seed, small, times, index) => {
        const split = await countedSplit({ length, mirror: true });
        const whole = batchAt(split, { size: 2, batchSize: small * times, seed, index });
        const parts = Array.from(
          { length: times },
          (_, k) => batchAt(split, { size: 2, batchSize: small, seed, index: index * times + k }),
        );
        assert.deepEqual(
          [...whole.images.data],
          parts.flatMap((part) => [...part.images.data]),
        );
        assert.deepEqual([...whole.labels], parts.flatMap((part) => [...part.labels]));
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("batchAt() does not depend on what was drawn before", async () => {
  const [one, other] = [await countedSplit({ length: 20 }), await countedSplit({ length: 20 })];
  const options = { size: 2, batchSize: 6, seed: 9, index: 17 };
  for (let index = 0; index < 17; index++) batchAt(one, { ...options, index, seed: index });
  assert.deepEqual(batchAt(one, options), batchAt(other, options));
});

Deno.test("batchAt() gives labels of the pictures, values in [-1, 1], and new backgrounds each epoch", async () => {
  const split = await countedSplit({ length: 12 });
  const { images, labels } = batchAt(split, { size: 2, batchSize: 24, seed: 1, index: 0 });
  const pictures = shown(split, { batchSize: 24, seed: 1, index: 0 });
  assert.deepEqual([...labels], pictures.map((i) => i % 3));
  assert.ok(images.data.every((v) => v >= -1 && v <= 1));
  const background = (b: number) => [0, 1, 2].map((c) => images.get(b, 0, 1, c)).join();
  assert.equal(new Set(Array.from({ length: 24 }, (_, b) => background(b))).size, 24);
});

Deno.test("batchAt() mirrors about half of the training draws where asked, and no test draw", async () => {
  const mirroredShare = async (name: "train" | "test", mirror: boolean) => {
    const split = await countedSplit({ length: 40, name, mirror });
    const { images } = batchAt(split, { size: 2, batchSize: 400, seed: 2, index: 0 });
    let mirrored = 0; // then the opaque half, which has no green, is on the right
    for (let b = 0; b < 400; b++) mirrored += Number(images.get(b, 0, 1, 1) === -1);
    return mirrored / 400;
  };
  assert.equal(await mirroredShare("train", false), 0);
  assert.equal(await mirroredShare("test", true), 0);
  const share = await mirroredShare("train", true);
  assert.ok(share > 0.38 && share < 0.62, `${share}`); // 400 draws: standard deviation 0.025
});

Deno.test("heldOut() is the start of one sequence for any n, and repeats on other backgrounds", async () => {
  const split = await countedSplit({ length: 7, name: "test" });
  const many = heldOut(split, { size: 2, n: 20, seed: 4 }).images.data;
  const few = heldOut(split, { size: 2, n: 5, seed: 4 }).images.data;
  assert.deepEqual(few, many.slice(0, few.length));
  const images = Array.from({ length: 20 }, (_, i) => many.slice(i * 12, (i + 1) * 12).join());
  assert.equal(new Set(images).size, 20);
});

Deno.test("readHeldOutParts() gives what heldOut() gives, a part at a time", async () => {
  const split = await countedSplit({ length: 7, name: "test" });
  const whole = heldOut(split, { size: 2, n: 20, seed: 4 });
  for (const part of [1, 7, 10, 20, 99]) {
    const parts = await Array.fromAsync(
      readHeldOutParts(split, { size: 2, n: 20, seed: 4, part }),
    );
    assert.equal(parts.length, Math.ceil(20 / part));
    assert.deepEqual(joinRows(parts.map(({ images }) => images)).data, whole.images.data);
    assert.deepEqual(parts.flatMap(({ labels }) => [...labels]), [...whole.labels]);
  }
});

Deno.test("batchAt() says which size is not loaded, and what a wrong number is", async () => {
  const split = await countedSplit({ length: 3 });
  const options = { size: 2, batchSize: 1, seed: 0, index: 0 };
  assert.throws(() => batchAt(split, { ...options, size: 5 }), {
    name: "RangeError",
    message: "Cannot draw a picture at size 5 as it is not loaded: sizes loaded are 2, " +
      "so call load(5) first",
  });
  assert.throws(() => batchAt(split, { ...options, index: NaN }), /index is NaN/);
  assert.throws(() => batchAt(split, { ...options, index: -1 }), /index is -1/);
  assert.throws(() => batchAt(split, { ...options, batchSize: 1.5 }), /batchSize is 1.5/);
  assert.throws(() => split.label(3), /index must be 0 to 2: index is 3/);
  await assert.rejects(() => split.load(0), /size is 0/);
});
