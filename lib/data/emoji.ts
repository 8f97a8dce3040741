/**
 * The Noto emoji set (npm `@iconify-json/noto`, Apache 2.0) as a data set: 3,819 vector pictures
 * in nine categories, rasterised by librsvg at any size and composited on light, plain
 * backgrounds whose colour is drawn from a seed.
 *
 * @module
 */
import metadata from "@iconify-json/noto/metadata.json" with { type: "json" };
import manifest from "@iconify-json/noto/package.json" with { type: "json" };
import { closest } from "fastest-levenshtein";
import sharp from "sharp";
import { cachePath, defaultCacheFolder, readCache, sha256, writeCache } from "./cache.ts";
import type { PixelBlock } from "./compose.ts";
import type { Dataset, LoadProgress, Split } from "./dataset.ts";
import { emojiFamily, isSkinTone, retiredPictures } from "./emoji_families.ts";
import { inParallel } from "./pool.ts";
import { makeSplit, splitByFamily } from "./split.ts";

const CATEGORIES = metadata.categories as Record<string, string[]>;

/** The nine categories, the classes of the set. */
export const EMOJI_CATEGORIES: readonly string[] = Object.keys(CATEGORIES);

/** Which emoji, and how they are drawn. Plain data, so that a run's configuration can hold it. */
export type EmojiSource = {
  kind: "emoji";
  /** Categories by name, any case, or by one word of the name ("smileys"). All nine by default. */
  categories?: readonly string[];
  /**
   * Whether the five skin tones of a picture are pictures of their own (default true). They are
   * 2,076 of the 3,819, all in "People & Body": without them no category outweighs the others.
   */
  skinTones?: boolean;
  /** Whether half of the training draws are mirrored (default false: letters have a side). */
  mirror?: boolean;
  /** Share of the picture families that is held out (default 0.1). */
  testFraction?: number;
};

/** One picture of the set. */
export type Emoji = { name: string; category: string; family: string };

const plain = (text: string) => text.toLowerCase().replace(/[^a-z]+/g, " ").trim();

/**
 * The category that a name means: the whole name, or one word of it, in any case.
 *
 * Errors: RangeError that names the nearest known one.
 */
export function emojiCategory(name: string): string {
  const names = new Map<string, string>();
  for (const category of EMOJI_CATEGORIES) {
    names.set(plain(category), category);
    for (const word of plain(category).split(" ")) names.set(word, category);
  }
  const found = names.get(plain(name));
  if (found) return found;
  const nearest = names.get(closest(plain(name), [...names.keys()]))!;
  throw new RangeError(
    `Cannot find the emoji category "${name}": did you mean "${nearest}"? ` +
      `Known categories are ${EMOJI_CATEGORIES.join(", ")}`,
  );
}

/** All 3,819 pictures, by category and then by name. */
export function listEmoji(): Emoji[] {
  const categoryOf = new Map<string, string>();
  for (const [category, names] of Object.entries(CATEGORIES)) {
    for (const name of names) categoryOf.set(name, category);
  }
  for (const { name, category } of retiredPictures((name) => categoryOf.get(name)!)) {
    categoryOf.set(name, category);
  }
  return EMOJI_CATEGORIES.flatMap((category) =>
    [...categoryOf].filter(([, c]) => c === category).map(([name]) => name).sort()
      .map((name) => ({ name, category, family: emojiFamily(name) }))
  );
}

type Icons = {
  width?: number;
  height?: number;
  icons: Record<string, { body: string; width?: number; height?: number }>;
};
let drawings: Promise<Icons> | undefined;

/** The vector drawings: 25 MB of JSON, read only where a cache lacks pixels. */
function loadDrawings(): Promise<Icons> {
  drawings ??= import("@iconify-json/noto/icons.json", { with: { type: "json" } })
    .then((module) => module.default as unknown as Icons);
  return drawings;
}

/** Draws one emoji as [size, size, 4] bytes of red, green, blue and alpha (not premultiplied). */
export async function rasteriseEmoji(
  name: string,
  { size }: { size: number },
): Promise<Uint8Array> {
  const { icons, width = 128, height = 128 } = await loadDrawings();
  const icon = icons[name];
  if (!icon) throw new RangeError(`Cannot draw the emoji as the set has none named "${name}"`);
  const viewBox = `0 0 ${icon.width ?? width} ${icon.height ?? height}`;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${size}" height="${size}" viewBox="${viewBox}">${icon.body}</svg>`;
  // the size in the root element: librsvg draws at that size, nothing is resampled
  return await sharp(new TextEncoder().encode(svg)).toColourspace("srgb").ensureAlpha()
    .raw({ depth: "uchar" }).toBuffer();
}

/**
 * Opens the emoji set at one size; other sizes are true drawings too (`split.load`).
 *
 * Train and test are split by picture family: skin tones, genders and mirror images of one
 * picture are on the same side. Pixels are cached in `cacheFolder`.
 */
export async function openEmoji(
  source: Omit<EmojiSource, "kind">,
  { size, cacheFolder = defaultCacheFolder(), onProgress }: {
    size: number;
    cacheFolder?: string;
    onProgress?: LoadProgress;
  },
): Promise<Dataset> {
  const { categories = EMOJI_CATEGORIES, skinTones = true, mirror = false, testFraction = 0.1 } =
    source;
  const wanted = new Set(categories.map(emojiCategory));
  const classes = EMOJI_CATEGORIES.filter((category) => wanted.has(category));
  if (classes.length === 0) {
    throw new RangeError("Cannot open the emoji set as no category is selected: categories is []");
  }
  const pictures = listEmoji().filter(({ name, category }) =>
    wanted.has(category) && (skinTones || !isSkinTone(name))
  );
  const sides = splitByFamily(pictures.map((p) => p.family), { testFraction });

  const side = (name: "train" | "test"): Split => {
    const own = sides[name].map((i) => pictures[i]);
    return makeSplit({
      name,
      labels: own.map((p) => classes.indexOf(p.category)),
      titles: own.map((p) => p.name),
      mirror,
      getPixels: (size, onProgress) => emojiPixels(own, { size, cacheFolder, onProgress }),
    });
  };
  const dataset = { train: side("train"), test: side("test") };
  const report = onProgress && { onProgress };
  await dataset.train.load(size, report);
  await dataset.test.load(size, report);
  const name = classes.length === EMOJI_CATEGORIES.length
    ? "Noto emoji"
    : `Noto emoji (${classes.join(", ")})`;
  return { name, classes, channels: 3, ...dataset, warnings: [] };
}

/** Pixels of pictures in order, from the cache or drawn now: one cache file a category. */
async function emojiPixels(
  pictures: Emoji[],
  { size, cacheFolder, onProgress }: {
    size: number;
    cacheFolder: string;
    onProgress: LoadProgress | undefined;
  },
): Promise<PixelBlock> {
  const each = size * size * 4;
  const data = new Uint8Array(pictures.length * each);
  let done = 0;
  for (const category of new Set(pictures.map((p) => p.category))) {
    const from = pictures.findIndex((p) => p.category === category);
    const names = pictures.filter((p) => p.category === category).map((p) => p.name);
    const part = data.subarray(from * each, (from + names.length) * each);
    const key = {
      package: `noto ${manifest.version}`,
      renderer: `librsvg ${sharp.versions.rsvg}`,
      size,
      category,
      pictures: await sha256(names.join("\n")),
    };
    const path = await cachePath(key, { folder: cacheFolder, name: `emoji-${category}-${size}` });
    const cached = await readCache(path);
    if (cached?.data.length === part.length) {
      part.set(cached.data);
    } else {
      await loadDrawings();
      await inParallel(names.length, {
        limit: 8,
        work: async (i) => {
          part.set(await rasteriseEmoji(names[i], { size }), i * each);
          onProgress?.({ done: done + i + 1, total: pictures.length, what: category });
        },
      });
      await writeCache(path, { head: key, data: part });
    }
    done += names.length;
  }
  return { data, size, bytes: 4 };
}
