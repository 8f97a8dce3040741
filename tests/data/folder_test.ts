import assert from "node:assert/strict";
import { join } from "@std/path";
import sharp from "sharp";
import { batchAt } from "../../lib/data/batches.ts";
import type { Dataset, Split } from "../../lib/data/dataset.ts";
import { decodeSquare } from "../../lib/data/decode.ts";
import { isImageName, listFiles } from "../../lib/data/list_files.ts";
import { openDataset } from "../../lib/data/open_dataset.ts";

type Colour = { r: number; g: number; b: number };

function plain(colour: Colour, { width = 12, height = 8 } = {}): sharp.Sharp {
  return sharp({ create: { width, height, channels: 3, background: colour } });
}

/** A folder of files for one test, with another one for the cache. */
async function withFiles(
  files: Record<string, sharp.Sharp | Uint8Array | string>,
  use: (folders: { path: string; cacheFolder: string }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  const path = join(root, "photos");
  await Deno.mkdir(path);
  try {
    for (const [name, content] of Object.entries(files)) {
      const target = join(path, ...name.split("/"));
      await Deno.mkdir(join(target, ".."), { recursive: true });
      if (typeof content === "string") await Deno.writeTextFile(target, content);
      else if (content instanceof Uint8Array) await Deno.writeFile(target, content);
      else await content.toFile(target);
    }
    await use({ path, cacheFolder: join(root, "cache") });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const splits = ({ train, test }: Dataset): Split[] => [train, test];
const titles = (dataset: Dataset): string[] =>
  splits(dataset).flatMap((split) =>
    Array.from({ length: split.length }, (_, i) => split.title(i))
  );

/** The first pixel of a picture, by title, in bytes. */
function firstPixel(dataset: Dataset, title: string, size = 8): number[] {
  for (const split of splits(dataset)) {
    for (let i = 0; i < split.length; i++) {
      if (split.title(i) !== title) continue;
      const image = split.image(i, { size, seed: 0, counter: 0 });
      return [0, 1, 2].map((c) => Math.round((image.get(0, 0, c) + 1) * 127.5));
    }
  }
  throw new RangeError(`No picture is called ${title}`);
}

const red = { r: 255, g: 0, b: 0 }, green = { r: 0, g: 255, b: 0 }, blue = { r: 0, g: 0, b: 255 };

Deno.test("openDataset() reads PNG, JPEG and WebP with sub-folders as classes", async () => {
  await withFiles({
    "cats/1.png": plain(red),
    "cats/deep/2.WEBP": plain(green).webp({ lossless: true }),
    "dogs/3.jpeg": plain(blue).jpeg({ quality: 100 }),
    "dogs/.hidden.png": plain(blue),
    "dogs/notes.txt": "not a picture, and not taken for one",
  }, async ({ path, cacheFolder }) => {
    const dataset = await openDataset({ kind: "folder", path }, { size: 8, cacheFolder });
    assert.deepEqual([dataset.name, dataset.classes], ["photos", ["cats", "dogs"]]);
    assert.deepEqual(titles(dataset).sort(), ["cats/1.png", "cats/deep/2.WEBP", "dogs/3.jpeg"]);
    assert.deepEqual(dataset.warnings, []);
    assert.deepEqual(firstPixel(dataset, "cats/1.png"), [255, 0, 0]);
    assert.deepEqual(firstPixel(dataset, "cats/deep/2.WEBP"), [0, 255, 0]);
    const [r, g, b] = firstPixel(dataset, "dogs/3.jpeg");
    assert.ok(r < 4 && g < 4 && b > 250);
    for (const split of splits(dataset)) {
      for (let i = 0; i < split.length; i++) {
        assert.equal(dataset.classes[split.label(i)], split.title(i).split("/")[0]);
      }
    }
  });
});

Deno.test("openDataset() names broken images, counts them and goes on", async () => {
  const noise = Uint8Array.from({ length: 48 * 48 * 3 }, (_, i) => (i * 7919) % 251);
  const jpeg = await sharp(noise, { raw: { width: 48, height: 48, channels: 3 } }).jpeg()
    .toBuffer();
  await withFiles({
    "a.png": plain(red),
    "b.png": plain(green),
    "text.png": "words",
    "cut.jpg": jpeg.subarray(0, jpeg.length >> 1),
    "empty.webp": new Uint8Array(0),
  }, async ({ path, cacheFolder }) => {
    for (let time = 0; time < 2; time++) { // the second time from the cache
      const dataset = await openDataset({ kind: "folder", path }, { size: 8, cacheFolder });
      assert.deepEqual(titles(dataset).sort(), ["a.png", "b.png"]);
      assert.equal(dataset.warnings.length, 1);
      assert.match(dataset.warnings[0], /^Skipped 3 of 5 images: cut\.jpg \(Cannot decode .*\); /);
      for (const name of ["empty.webp", "text.png"]) assert.ok(dataset.warnings[0].includes(name));
    }
  });
});

Deno.test("openDataset() says what is wrong with a folder that it cannot use", async () => {
  await withFiles({
    "file.png": plain(red),
    "empty/readme.md": "none",
    "broken/a.png": "words",
    "broken/b.png": "words",
    "one/a.png": plain(red),
  }, async ({ path, cacheFolder }) => {
    const fails = (name: string, message: RegExp) =>
      assert.rejects(
        () => openDataset({ kind: "folder", path: join(path, name) }, { size: 8, cacheFolder }),
        { name: "RangeError", message },
      );
    await fails("nowhere", /"[^"]*nowhere" as it does not exist$/);
    await fails("file.png", /as it is a file$/);
    await fails("empty", /as it holds none \(png, jpg, .*\)$/);
    await fails("broken", /: 0 of 2 can be decoded\. Skipped 2 of 2 images: a\.png/);
    await fails("one", /: 1 of 1 can be decoded$/);
  });
});

Deno.test("openDataset() uses no classes where pictures lie beside the sub-folders, and says so", async () => {
  await withFiles(
    { "a.png": plain(red), "x/b.png": plain(red), "y/c.png": plain(red) },
    async ({ path, cacheFolder }) => {
      const dataset = await openDataset({ kind: "folder", path }, { size: 8, cacheFolder });
      assert.deepEqual(dataset.classes, []);
      assert.deepEqual(dataset.warnings, [
        "Classes are not used, as 1 of 3 images lie beside the sub-folders",
      ]);
    },
  );
});

Deno.test("listFiles() is in natural order, and follows no link in a circle", async () => {
  await withFiles(
    { "img10.png": plain(red), "img2.png": plain(red), "sub/img1.png": plain(red) },
    async ({ path }) => {
      if (Deno.build.os !== "windows") await Deno.symlink(path, join(path, "sub", "up"));
      const names = listFiles(path, isImageName).map((file) => file.title);
      assert.deepEqual(names, ["img2.png", "img10.png", "sub/img1.png"]);
    },
  );
});

Deno.test("openDataset() never writes into the folder", async () => {
  await withFiles({ "a.png": plain(red), "b.png": plain(blue) }, async ({ path, cacheFolder }) => {
    const state = () => [...Deno.readDirSync(path)].map((e) => e.name).sort();
    const before = state(), changed = (await Deno.stat(path)).mtime;
    const dataset = await openDataset({ kind: "folder", path }, { size: 8, cacheFolder });
    await dataset.test.load(16);
    assert.deepEqual([state(), (await Deno.stat(path)).mtime], [before, changed]);
    assert.equal([...Deno.readDirSync(cacheFolder)].length, 2);
  });
});

Deno.test("openDataset() decodes only what has changed since the last time", async () => {
  await withFiles({ "a.png": plain(red), "b.png": plain(red) }, async ({ path, cacheFolder }) => {
    const open = async () => {
      let decoded = 0;
      const onProgress = () => void decoded++;
      const dataset = await openDataset({ kind: "folder", path }, {
        size: 8,
        cacheFolder,
        onProgress,
      });
      return { dataset, decoded };
    };
    assert.equal((await open()).decoded, 2);
    assert.equal((await open()).decoded, 0);
    await plain(green).toFile(join(path, "a.png"));
    await Deno.utime(join(path, "a.png"), 1000, 1000);
    const { dataset, decoded } = await open();
    assert.equal(decoded, 1);
    assert.deepEqual(firstPixel(dataset, "a.png"), [0, 255, 0]);
    assert.deepEqual(firstPixel(dataset, "b.png"), [255, 0, 0]);
    await Deno.remove(join(path, "a.png"));
    await plain(blue).toFile(join(path, "c.png"));
    assert.deepEqual(titles((await open()).dataset).sort(), ["b.png", "c.png"]);
  });
});

Deno.test("openDataset() gives a picture the same side whatever else is in the folder", async () => {
  const all = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`${i}.png`, plain(red)]));
  const open = (path: string, cacheFolder: string) =>
    openDataset({ kind: "folder", path, testFraction: 0.3 }, { size: 4, cacheFolder });
  await withFiles(all, async ({ path, cacheFolder }) => {
    const testTitles = ({ test }: Dataset) =>
      Array.from({ length: test.length }, (_, i) => test.title(i));
    const before = testTitles(await open(path, cacheFolder));
    assert.ok(before.length > 8 && before.length < 30, `${before.length} of 60`);
    for (let i = 0; i < 60; i += 2) await Deno.remove(join(path, `${i}.png`));
    const after = testTitles(await open(path, cacheFolder));
    assert.deepEqual(after, before.filter((title) => parseInt(title) % 2 === 1));
  });
});

Deno.test("decodeSquare() cuts out the centre, and resizes the shorter side", async () => {
  const wide = new Uint8Array(48 * 16 * 3); // thirds of red, green and blue
  for (let i = 0; i < 48 * 16; i++) wide[i * 3 + Math.floor((i % 48) / 16)] = 255;
  const image = sharp(wide, { raw: { width: 48, height: 16, channels: 3 } });
  const same = await decodeSquare(await image.png().toBuffer(), { size: 16 });
  for (let i = 0; i < 256; i++) assert.deepEqual([...same.subarray(i * 3, i * 3 + 3)], [0, 255, 0]);
  const tall = await image.clone().rotate(90).png().toBuffer();
  for (const size of [4, 8, 40]) {
    const pixels = await decodeSquare(tall, { size });
    assert.equal(pixels.length, size * size * 3);
    const middle = ((size >> 1) * size + (size >> 1)) * 3;
    assert.deepEqual([...pixels.subarray(middle, middle + 3)], [0, 255, 0]);
  }
});

Deno.test("load() readies another size, decoded from the files anew", async () => {
  await withFiles({ "a.png": plain(red), "b.png": plain(blue) }, async ({ path, cacheFolder }) => {
    const dataset = await openDataset({ kind: "folder", path }, { size: 8, cacheFolder });
    for (const split of splits(dataset)) await split.load(20);
    assert.deepEqual(firstPixel(dataset, "a.png", 20), [255, 0, 0]);
    const batch = batchAt(dataset.train, { size: 20, batchSize: 3, seed: 0, index: 0 });
    assert.deepEqual(batch.images.shape, [3, 20, 20, 3]);
  });
});
