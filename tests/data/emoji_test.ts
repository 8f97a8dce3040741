import assert from "node:assert/strict";
import icons from "@iconify-json/noto/icons.json" with { type: "json" };
import { join } from "@std/path";
import { batchAt, heldOut } from "../../lib/data/batches.ts";
import {
  EMOJI_CATEGORIES,
  emojiCategory,
  listEmoji,
  openEmoji,
  rasteriseEmoji,
} from "../../lib/data/emoji.ts";
import { emojiFamily, isSkinTone } from "../../lib/data/emoji_families.ts";

const withFolder = async (use: (folder: string) => Promise<void>) => {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
};

Deno.test("listEmoji() has each of the package's 3,819 pictures once, in nine categories", () => {
  const names = listEmoji().map((emoji) => emoji.name);
  assert.equal(EMOJI_CATEGORIES.length, 9);
  assert.deepEqual(names.toSorted(), Object.keys(icons.icons).sort());
  assert.equal(new Set(names).size, 3819);
});

Deno.test("emojiFamily() is one for skin tones, genders and sides of a picture", () => {
  const families = [
    "cook man-cook woman-cook cook-dark-skin-tone man-cook-medium-light-skin-tone",
    "mage man-mage woman-mage woman-mage-tone3",
    "person-climbing man-climbing woman-climbing-tone1 man-climbing-medium-skin-tone",
    "man woman person boy girl child woman-dark-skin-tone",
    "man-beard woman-beard person-beard man-dark-skin-tone-beard",
    "man-blond-hair woman-light-skin-tone-blond-hair",
    "old-man old-woman older-person older-person-dark-skin-tone",
    "prince princess person-with-crown princess-dark-skin-tone",
    "santa-claus mrs-claus mx-claus",
    "mermaid merman merperson mermaid-tone4",
    "men-holding-hands women-holding-hands people-holding-hands woman-and-man-holding-hands " +
    "men-holding-hands-dark-skin-tone-light-skin-tone",
    "kiss kiss-man-man kiss-woman-man kiss-person-person-dark-skin-tone-light-skin-tone",
    "couple-with-heart couple-with-heart-woman-woman-light-skin-tone-dark-skin-tone",
    "family family-man-woman-boy family-adult-child",
    "deaf-man deaf-woman deaf-person",
    "pregnant-man pregnant-woman pregnant-person-light-skin-tone",
    "man-walking woman-walking-facing-right person-walking",
    "man-in-tuxedo woman-in-tuxedo person-in-tuxedo",
    "person-in-suit-levitating man-in-business-suit-levitating-dark-skin-tone",
    "leftwards-hand rightwards-hand-dark-skin-tone",
    "grinning-face-with-big-eyes smiling-face-with-open-mouth",
    "digit-one 1",
  ];
  const found = families.map((names) => new Set(names.split(" ").map(emojiFamily)));
  found.forEach((family, i) => assert.equal(family.size, 1, `${families[i]}: ${[...family]}`));
  assert.equal(new Set(found.map((family) => [...family][0])).size, families.length);
  const known = new Set(Object.keys(icons.icons));
  families.flatMap((names) => names.split(" ")).forEach((name) => assert.ok(known.has(name), name));
});

Deno.test("emojiFamily() keeps pictures apart that share words", () => {
  const apart =
    "kiss kiss-mark frowning-face man-frowning person-running running-shirt red-heart blue-heart " +
    "one-oclock two-oclock thumbs-up thumbs-down baby baby-angel man-elf man-fairy";
  const families = apart.split(" ").map(emojiFamily);
  assert.equal(new Set(families).size, families.length, `${families}`);
});

Deno.test("isSkinTone() knows tones in any place, and leaves the five swatches", () => {
  for (const name of ["thumbs-up-dark-skin-tone", "man-light-skin-tone-bald", "man-elf-tone2"]) {
    assert.equal(isSkinTone(name), true, name);
  }
  for (const name of ["thumbs-up", "medium-dark-skin-tone", "light-bulb", "dark-skin-tone"]) {
    assert.equal(isSkinTone(name), false, name);
  }
});

Deno.test("emojiCategory() takes names in any case and single words, and names the nearest", () => {
  for (const name of ["Smileys & Emotion", "smileys", "EMOTION", " smileys &  emotion "]) {
    assert.equal(emojiCategory(name), "Smileys & Emotion");
  }
  assert.throws(() => emojiCategory("smilies"), {
    name: "RangeError",
    message: /^Cannot find the emoji category "smilies": did you mean "Smileys & Emotion"\?/,
  });
});

Deno.test("openEmoji() puts no family on both sides, and a picture on the same side of any selection", async () => {
  await withFolder(async (cacheFolder) => {
    const all = await openEmoji({}, { size: 4, cacheFolder });
    const titles = (split: typeof all.train) =>
      Array.from({ length: split.length }, (_, i) => split.title(i));
    assert.equal(all.train.length + all.test.length, 3819);
    const tested = new Set(titles(all.test).map(emojiFamily));
    assert.deepEqual(titles(all.train).filter((name) => tested.has(emojiFamily(name))), []);
    assert.ok(tested.size > 100 && tested.size < 190, `${tested.size} of 1,475 families`);

    const two = await openEmoji({ categories: ["food", "smileys"] }, { size: 4, cacheFolder });
    assert.deepEqual(two.classes, ["Food & Drink", "Smileys & Emotion"]);
    assert.ok(titles(two.test).every((name) => titles(all.test).includes(name)));
    assert.equal(two.test.label(0), 0);
    assert.equal(two.test.label(two.test.length - 1), 1);

    const plain = await openEmoji({ skinTones: false }, { size: 4, cacheFolder });
    assert.equal(plain.train.length + plain.test.length, 3819 - 2076);
  });
});

Deno.test("openEmoji() keeps its pixels in the cache, and makes a damaged cache again", async () => {
  await withFolder(async (cacheFolder) => {
    const open = () => openEmoji({ categories: ["flags"] }, { size: 16, cacheFolder });
    const batch = async () => batchAt((await open()).train, { ...draw, size: 16 }).images.data;
    const draw = { batchSize: 8, seed: 1, index: 0 };
    const fresh = await batch();
    const files = [...Deno.readDirSync(cacheFolder)].map((entry) => join(cacheFolder, entry.name));
    assert.equal(files.length, 1);

    const whole = await Deno.readFile(files[0]);
    let drawn = 0;
    const count = () => void drawn++;
    await openEmoji({ categories: ["flags"] }, { size: 16, cacheFolder, onProgress: count });
    assert.equal(drawn, 0);
    const damaged = [whole.slice(0, whole.length >> 1), new Uint8Array(0), whole.slice()];
    damaged[2][whole.length >> 1] ^= 1;
    for (const bytes of damaged) {
      await Deno.writeFile(files[0], bytes);
      assert.deepEqual(await batch(), fresh);
      assert.deepEqual(await Deno.readFile(files[0]), whole);
    }
  });
});

Deno.test("openEmoji() works where the cache cannot be written", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    const dataset = await openEmoji(
      { categories: ["flags"] },
      { size: 8, cacheFolder: join(file, "cache") }, // under a file
    );
    assert.equal(dataset.train.length + dataset.test.length, 10);
  });
});

Deno.test("rasteriseEmoji() draws the same shape at every size, in place to a hundredth", async () => {
  const measure = async (size: number) => {
    const pixels = await rasteriseEmoji("red-heart", { size });
    assert.equal(pixels.length, size * size * 4);
    assert.equal(pixels[3], 0); // a corner is transparent
    assert.ok(pixels[(size / 2) * (size + 1) * 4] > 200); // the middle is red
    let area = 0, x = 0, y = 0;
    for (let i = 0; i < size * size; i++) {
      const alpha = pixels[i * 4 + 3] / 255;
      area += alpha / size ** 2;
      x += alpha * (i % size + 0.5) / size ** 3;
      y += alpha * (Math.floor(i / size) + 0.5) / size ** 3;
    }
    return [area, x / area, y / area];
  };
  const fine = await measure(256);
  for (const size of [32, 64, 96]) {
    (await measure(size)).forEach((value, i) =>
      assert.ok(Math.abs(value - fine[i]) < 0.01, `${size} px: ${value} and ${fine[i]}`)
    );
  }
});

Deno.test("heldOut() shows the same pictures on the same backgrounds at every size", async () => {
  await withFolder(async (cacheFolder) => {
    const { test } = await openEmoji({ categories: ["smileys"] }, { size: 8, cacheFolder });
    await test.load(12);
    const corner = (size: number, n: number) => {
      const { images } = heldOut(test, { size, n, seed: 3 });
      return Array.from({ length: n }, (_, i) => [0, 1, 2].map((c) => images.get(i, 0, 0, c)));
    };
    const open = corner(8, 20);
    assert.deepEqual(corner(8, 9), open.slice(0, 9));
    const equal = corner(12, 20).filter((colour, i) => `${colour}` === `${open[i]}`).length;
    assert.ok(equal >= 14, `${equal} of 20 corners`); // the others are covered by the picture
  });
});
