import { closest, distance } from "fastest-levenshtein";

/**
 * The known word nearest to a mistyped one, or `undefined` where none is near.
 *
 * Near means at most two edits (Levenshtein distance), or one edit for every three letters of a
 * longer word, or the same word in another case.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nearest } from "./nearest.ts";
 *
 * assert.equal(nearest("lerning_rate", ["learning_rate", "seed"]), "learning_rate");
 * assert.equal(nearest("colour", ["learning_rate", "seed"]), undefined);
 * ```
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const sameLetters = known.find((other) => other.toLowerCase() === word.toLowerCase());
  if (sameLetters !== undefined) return sameLetters;
  const best = closest(word, known);
  const allowed = Math.max(2, Math.floor(word.length / 3));
  return distance(word, best) <= allowed ? best : undefined;
}
