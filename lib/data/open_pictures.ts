import { defaultCacheFolder } from "./cache.ts";
import { NO_LABEL } from "./classes.ts";
import { type Dataset, heightAndWidth, type OpenOptions, type Split } from "./dataset.ts";
import { loadPictures, tryPictures } from "./load_pictures.ts";
import {
  notHeld,
  resizedPictures,
  skippedPictures,
  unlabelledPictures,
} from "./picture_warnings.ts";
import type { PictureList } from "./pictures.ts";
import { makeSplit, splitByFamily } from "./split.ts";

/** What sources of every format may say beside where they are. */
export type PictureOptions = {
  /** Whether half of the training draws are mirrored (default false). */
  mirror?: boolean;
  /**
   * Share of the pictures that is held out, by a hash of their titles (default 0.1, at least one).
   * It has no part where the data come with a test set of their own.
   */
  testFraction?: number;
};

/**
 * Decodes the pictures of a list at one size and splits them: the path of all formats.
 *
 * Pictures that cannot be decoded are left out and named in `warnings`. Where all would take more
 * than `memory` bytes they are decoded when they are drawn, and 64 of them now, to try.
 *
 * Errors: RangeError where train or test would be empty, or all pictures are smaller than `size`.
 */
export async function openPictures(
  list: PictureList,
  { mirror = false, testFraction = 0.1, size, ...options }: PictureOptions & OpenOptions,
): Promise<Dataset> {
  const { memory = 2 * 2 ** 30, cacheFolder = defaultCacheFolder(), onProgress } = options;
  const base = heightAndWidth(size), channels = list.bytes === 1 ? 1 : 3;
  const all = list.titles.map((_, i) => i);
  const bytesAt = ([height, width]: readonly number[]) => all.length * height * width * list.bytes;
  const isHeld = (size: readonly number[]) => bytesAt(size) <= memory;

  const whole = isHeld(base)
    ? await loadPictures(list, { rows: all, part: "all", size: base, cacheFolder, onProgress })
    : await tryPictures(list, { size: base });
  const good = all.filter((i) => whole.at[i] >= 0 && list.labels[i] !== NO_LABEL);
  const skipped = [...skippedPictures(list, whole.states), ...unlabelledPictures(list)];
  if (good.length < 2) {
    throw new RangeError(
      `Cannot open the ${list.called} as train and test need a picture each: ` +
        `${good.length} of ${all.length} can be decoded` + skipped.map((text) =>
          `. ${text}`
        ).join(""),
    );
  }
  const warnings = [
    ...list.warnings,
    ...skipped,
    ...resizedPictures(list, { states: whole.states, size: base }),
    ...(isHeld(base) ? [] : [notHeld({ bytes: bytesAt(base), memory })]),
  ];

  const sides = sidesOf(list, { good, testFraction });
  const side = (name: "train" | "test"): Split => {
    const rows = sides[name];
    return makeSplit({
      name,
      labels: Int32Array.from(rows, (i) => list.labels[i]),
      titles: rows.map((i) => list.titles[i]),
      channels,
      mirror,
      getPlaces: async (size, onProgress) => {
        if (size.join() === base.join()) {
          return { places: whole.places, rows: Int32Array.from(rows, (i) => whole.at[i]) };
        }
        if (!isHeld(size)) return { places: list.places, rows: Int32Array.from(rows) };
        const loaded = await loadPictures(list, {
          rows,
          part: name,
          size,
          cacheFolder,
          onProgress,
        });
        const [gone] = skippedPictures(list, loaded.states, rows);
        if (gone === undefined) return { places: loaded.places, rows: loaded.at };
        throw new RangeError(
          `Cannot load size ${
            size.join(" × ")
          } as pictures have changed since the data were opened. ${gone}`,
        );
      },
    });
  };
  const dataset = { train: side("train"), test: side("test") };
  await dataset.train.load(base);
  await dataset.test.load(base);
  return { name: list.name, classes: list.classes, channels, ...dataset, warnings };
}

/** Which pictures are on which side: as the format says, else by family. */
function sidesOf(
  { heldOut, families, titles, called }: PictureList,
  { good, testFraction }: { good: readonly number[]; testFraction: number },
): { train: number[]; test: number[] } {
  if (!heldOut) {
    const own = good.map((i) => families ? families[i] : titles[i].normalize("NFC"));
    const { train, test } = splitByFamily(own, { testFraction });
    return { train: train.map((k) => good[k]), test: test.map((k) => good[k]) };
  }
  const { train = [], test = [] } = Object.groupBy(good, (i) => heldOut[i] ? "test" : "train");
  if (train.length > 0 && test.length > 0) return { train, test };
  throw new RangeError(
    `Cannot open the ${called} as train and test need a picture each: ` +
      `${train.length} to train with and ${test.length} to test with can be used`,
  );
}
