/**
 * Which emoji are variants of one picture.
 *
 * The set draws a picture in up to six skin tones and three genders (`man-cook-dark-skin-tone`,
 * `woman-cook`, `cook`), some also facing the other way, and keeps 90 pictures under retired
 * names that are redrawings of others. If one of them were trained on and another tested, the
 * held-out loss would measure memory. So the split is by family: the name without tone, gender,
 * age of the bare figure, and side. Colours of hearts and squares, and the hours of clocks, are
 * pictures of their own.
 *
 * @module
 */

const TONE = /-?(medium-dark|medium-light|medium|dark|light)-skin-tone/g;
const TONE_NUMBER = /-tone[1-5]$/; // the older way to write it

/** Words that say who is shown, not what: left out of a family's name. */
const WHO = new Set(
  "man woman person men women people adult boy girl child mans womans mens womens".split(" "),
);

/** Words that differ between the genders of one picture. */
const SAME: Record<string, string> = {
  merman: "merperson",
  mermaid: "merperson",
  older: "old", // old-man, old-woman, older-person
  left: "side", // mirror images
  right: "side",
  leftwards: "side",
  rightwards: "side",
};

/** Whole names whose relation the words do not show. */
const NAMES: Record<string, string> = {
  "prince": "with-crown", // the ungendered picture is person-with-crown
  "princess": "with-crown",
  "santa-claus": "claus",
  "mrs-claus": "claus",
  "mx-claus": "claus",
};

/** Pictures without a category, under the name of the one they are a redrawing of. */
const REDRAWN: Record<string, string> = {
  "crazy-face": "zany-face",
  "disappointed-but-relieved-face": "sad-but-relieved-face",
  "face-savouring-delicious-food": "face-savoring-food",
  "face-with-cold-sweat": "downcast-face-with-sweat",
  "face-with-open-mouth-and-cold-sweat": "anxious-face-with-sweat",
  "face-with-stuck-out-tongue": "face-with-tongue",
  "face-with-stuck-out-tongue-and-closed-eyes": "squinting-face-with-tongue",
  "face-with-stuck-out-tongue-and-winking-eye": "winking-face-with-tongue",
  "face-with-symbols-over-mouth": "face-with-symbols-on-mouth",
  "first-quarter-moon-with-face": "first-quarter-moon-face",
  "full-moon-with-face": "full-moon-face",
  "hugging-face": "smiling-face-with-open-hands",
  "knocked-out-face": "face-with-crossed-out-eyes",
  "last-quarter-moon-with-face": "last-quarter-moon-face",
  "left-pointing-magnifying-glass": "magnifying-glass-tilted-left",
  "right-pointing-magnifying-glass": "magnifying-glass-tilted-right",
  "smiling-face-with-open-mouth": "grinning-face-with-big-eyes",
  "smiling-face-with-open-mouth-and-closed-eyes": "grinning-squinting-face",
  "smiling-face-with-open-mouth-and-cold-sweat": "grinning-face-with-sweat",
  "smiling-face-with-open-mouth-and-smiling-eyes": "grinning-face-with-smiling-eyes",
};
for (const tone of ["", "-light", "-medium-light", "-medium", "-medium-dark", "-dark"]) {
  const suffix = tone && `${tone}-skin-tone`;
  REDRAWN[`man-in-business-suit-levitating${suffix}`] = `person-in-suit-levitating${suffix}`;
}
for (const tone of [1, 2, 3, 4, 5]) {
  const toned = "breast-feeding love-you-gesture man-climbing man-elf mermaid woman-climbing".split(
    " ",
  );
  for (const name of toned) REDRAWN[`${name}-tone${tone}`] = name;
}
REDRAWN["woman-mage-tone3"] = "woman-mage";

const DIGITS = "zero one two three four five six seven eight nine".split(" ");

/** The 90 pictures that the package puts in no category, and the category each belongs to. */
export function retiredPictures(
  categoryOf: (name: string) => string,
): { name: string; category: string }[] {
  const redrawn = Object.entries(REDRAWN).map(([name, now]) => ({
    name,
    category: categoryOf(now),
  }));
  const symbols = [...DIGITS.map((_, i) => `${i}`), ...DIGITS.map((d) => `digit-${d}`)];
  symbols.push("asterisk", "pound", "pound-symbol");
  const parts =
    "bald curly-haired red-haired white-haired light-skin-tone medium-light-skin-tone " +
    "medium-skin-tone medium-dark-skin-tone dark-skin-tone";
  return [
    ...redrawn,
    ...symbols.map((name) => ({ name, category: "Symbols" })),
    ...parts.split(" ").map((name) => ({ name, category: "People & Body" })),
    { name: "flag-martinique", category: "Flags" },
  ].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Whether a picture is one of the five skin tones of another. */
export function isSkinTone(name: string): boolean {
  const toneless = name.replace(TONE, "").replace(TONE_NUMBER, "");
  return toneless !== name && toneless !== ""; // the five swatches are pictures of their own
}

/**
 * The family of a picture: equal for all variants of one picture.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { emojiFamily } from "./emoji_families.ts";
 *
 * assert.equal(emojiFamily("man-cook-medium-dark-skin-tone"), "cook");
 * assert.equal(emojiFamily("woman-and-man-holding-hands-light-skin-tone"), "holding-hands");
 * assert.equal(emojiFamily("princess"), emojiFamily("person-with-crown"));
 * ```
 */
export function emojiFamily(name: string): string {
  const current = REDRAWN[name] ?? name;
  const digit = DIGITS.indexOf(current.replace(/^digit-/, ""));
  if (/^digit-/.test(current) && digit >= 0) return `${digit}`;
  if (current === "pound-symbol") return "pound";

  const toneless = current.replace(TONE, "").replace(TONE_NUMBER, "")
    .replace(/^-/, "").replace(/-facing-right$/, "").replace("woman-and-man", "people");
  if (toneless === "") return "skin-tone"; // the five swatches
  if (NAMES[toneless]) return NAMES[toneless];
  const words = toneless.split("-").filter((word) => !WHO.has(word));
  return words.map((word) => SAME[word] ?? word).join("-") || "person";
}
