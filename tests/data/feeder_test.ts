import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import ndarray from "ndarray";
import type { Split } from "../../lib/data/dataset.ts";
import { openFeeder } from "../../lib/data/feeder.ts";
import { openDataset } from "../../lib/data/open_dataset.ts";
import { feedBatch, type FeedOptions, makeFeed } from "../../lib/data/training_batch.ts";
import { encodePng } from "../../lib/io/images.ts";

const temporary = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(temporary, { recursive: true }));
const cacheFolder = join(temporary, "cache");
const { train } = await openDataset(
  { kind: "emoji", categories: ["flags"] },
  { size: 16, cacheFolder },
);
await train.load(8);
const everything: FeedOptions = {
  multiScale: [16, 8],
  batchSize: 3,
  seed: 2,
  augmentProb: 0.3,
  lowResolution: { factor: 2 },
};
const direct = (split: Split, options: FeedOptions, index: number) =>
  feedBatch(makeFeed(split, options), { index });

/** A folder of twelve plain pictures that are decoded whenever they are drawn. */
async function openFiles(name: string): Promise<{ folder: string; split: Split }> {
  const folder = join(temporary, name);
  await Deno.mkdir(folder);
  for (let i = 0; i < 12; i++) {
    const pixels = ndarray(new Uint8Array(10 * 12 * 3).fill(20 * i), [10, 12, 3]);
    await Deno.writeFile(join(folder, `${i}.png`), await encodePng(pixels));
  }
  const options = { size: 8, memory: 0, cacheFolder };
  return { folder, split: (await openDataset({ kind: "folder", path: folder }, options)).train };
}

/** Makes a file one of zeros, of the same length. */
async function spoil(path: string): Promise<void> {
  await Deno.writeFile(path, new Uint8Array((await Deno.stat(path)).size));
}

Deno.test("openFeeder() gives the numbers of feedBatch, with one worker or three", async () => {
  for (const workers of [1, 3]) {
    await using feeder = openFeeder(train, { ...everything, workers });
    for (let index = 0; index < 12; index++) {
      assert.deepEqual(await feeder.batchAt(index), await direct(train, everything, index));
    }
    assert.ok(feeder.waited > 0);
  }
});

Deno.test("openFeeder() gives the same in any order, again, and several at once", async () => {
  await using feeder = openFeeder(train, { ...everything, first: 500, workers: 2 });
  const groups = fc.array(fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(groups, async (groups) => {
      for (const indices of groups) {
        const batches = await Promise.all(indices.map((index) => feeder.batchAt(index)));
        for (const [k, batch] of batches.entries()) {
          assert.deepEqual(batch, await direct(train, everything, indices[k]));
          batch.images.data.fill(NaN); // the caller's own
        }
      }
    }),
    { numRuns: 15 },
  );
});

Deno.test("openFeeder() decodes pictures that are not held, tells once of a bad one, and throws where none is good", async () => {
  const { folder, split } = await openFiles("files");
  const options = { size: 8, batchSize: 4, seed: 0 };
  const skipped: string[] = [];
  const onSkip = ({ title, reason }: { title: string; reason: string }) =>
    skipped.push(`${title}: ${reason}`);
  const bad = split.title(3);
  await spoil(join(folder, bad));
  {
    await using feeder = openFeeder(split, { ...options, onSkip });
    for (let index = 0; index < 10; index++) {
      assert.deepEqual(await feeder.batchAt(index), await direct(split, options, index));
    }
  }
  assert.equal(skipped.length, 1);
  assert.match(skipped[0], new RegExp(`^${bad}: Cannot decode the image`));

  for (let i = 0; i < 12; i++) await spoil(join(folder, `${i}.png`));
  await using feeder = openFeeder(split, options);
  for (const index of [0, 1, 0]) {
    await assert.rejects(() => feeder.batchAt(index), {
      name: "RangeError",
      message: /^Cannot draw a batch as 16 pictures in a row cannot be decoded: .*Cannot decode/,
    });
  }
});

Deno.test("openFeeder() ends its workers: what is asked for then or is under way throws", async () => {
  const feeder = openFeeder(train, everything);
  const last = feeder.batchAt(7);
  const rejected = assert.rejects(last, {
    name: "TypeError",
    message: "Cannot get a batch as the feeder is closed",
  });
  await feeder[Symbol.asyncDispose]();
  await rejected;
  await assert.rejects(() => feeder.batchAt(8), /the feeder is closed/);
});

Deno.test("openFeeder() keeps the process alive while a batch is waited for, and no longer", async () => {
  const lib = new URL("../../lib/data/", import.meta.url);
  const code = `
    import { openFeeder } from "${lib}feeder.ts";
    import { openDataset } from "${lib}open_dataset.ts";
    const { train } = await openDataset({ kind: "emoji", categories: ["flags"] }, {
      size: 16, cacheFolder: ${JSON.stringify(cacheFolder)},
    });
    const feeder = openFeeder(train, { size: 16, batchSize: 2, seed: 0 });
    console.log((await feeder.batchAt(9)).images.shape.join());
  `;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-check",
      `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
      code,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(60_000),
  });
  const { code: exit, stdout, stderr } = await child.output();
  assert.equal(
    new TextDecoder().decode(stdout).trim(),
    "2,16,16,3",
    new TextDecoder().decode(stderr),
  );
  assert.equal(exit, 0); // not ended by the signal
});

Deno.test("openFeeder() refuses wrong numbers before it opens a worker, and wrong indices", async () => {
  assert.throws(() => openFeeder(train, { ...everything, workers: 0 }), {
    name: "RangeError",
    message: "Cannot feed batches as workers must be a whole number >= 1: workers is 0",
  });
  assert.throws(() => openFeeder(train, { ...everything, ahead: NaN }), /ahead is NaN/);
  assert.throws(() => openFeeder(train, { ...everything, augmentProb: 2 }), /probability is 2/);
  await using feeder = openFeeder(train, everything);
  await assert.rejects(() => feeder.batchAt(-1), /index is -1/);
  await assert.rejects(() => feeder.batchAt(1.5), RangeError);
  assert.equal((await feeder.batchAt(0)).images.shape[0], 3);
});
