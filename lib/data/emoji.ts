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
import type { Dataset, OpenOptions } from "./dataset.ts";
import { emojiFamily, isSkinTone, retiredPictures } from "./emoji_families.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import type { PictureList } from "./pictures.ts";

export { rasteriseEmoji } from "./emoji_drawing.ts";

const CATEGORIES = metadata.categories as Record<string, string[]>;

/** The nine categories, the classes of the set. */
export const EMOJI_CATEGORIES: readonly string[] = Object.keys(CATEGORIES);

/** Which emoji, and how they are drawn. Plain data, so that a run's configuration can hold it. */
export type EmojiSource = PictureOptions & {
  kind: "emoji";
  /** Categories by name, any case, or by one word of the name ("smileys"). All nine by default. */
  categories?: readonly string[];
  /**
   * Whether the five skin tones of a picture are pictures of their own (default true). They are
   * 2,076 of the 3,819, all in "People & Body": without them no category outweighs the others.
   */
  skinTones?: boolean;
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

/**
 * Opens the emoji set at one size; other sizes are true drawings too (`split.load`).
 *
 * Train and test are split by picture family: skin tones, genders and mirror images of one
 * picture are on the same side.
 */
export async function openEmoji(
  source: Omit<EmojiSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(listEmojiPictures(source), { ...source, ...options });
}

/** The pictures of a selection, to be drawn. */
function listEmojiPictures(
  { categories = EMOJI_CATEGORIES, skinTones = true }: Omit<EmojiSource, "kind">,
): PictureList {
  const wanted = new Set(categories.map(emojiCategory));
  const classes = EMOJI_CATEGORIES.filter((category) => wanted.has(category));
  if (classes.length === 0) {
    throw new RangeError("Cannot open the emoji set as no category is selected: categories is []");
  }
  const pictures = listEmoji().filter(({ name, category }) =>
    wanted.has(category) && (skinTones || !isSkinTone(name))
  );
  const names = pictures.map((p) => p.name);
  const all = classes.length === EMOJI_CATEGORIES.length;
  return {
    name: all ? "Noto emoji" : `Noto emoji (${classes.join(", ")})`,
    called: "emoji set",
    origin: `emoji ${classes}${skinTones ? "" : " without skin tones"}`,
    places: { kind: "emoji", names },
    titles: names,
    stamps: names.map((name) => `noto ${manifest.version} ${name}`),
    labels: Int32Array.from(pictures, (p) => classes.indexOf(p.category)),
    classes,
    bytes: 4,
    families: pictures.map((p) => p.family),
    warnings: [],
  };
}
