import ndarray from "ndarray";
import { uniforms } from "../engine/random.ts";
import { heightAndWidth } from "./dataset.ts";
import type { Draw, LoadProgress, Size, Split, SplitSource } from "./dataset.ts";
import { drawPicture, heldPixels } from "./draw.ts";
import type { PicturePlaces } from "./pictures.ts";

/**
 * Splits pictures into train and test so that a family never falls on both sides.
 *
 * A family is tested on if the number that its name hashes to is under `testFraction`: the side
 * of a picture does not depend on which others are in the set, on their order, or on a run's
 * seed. If that leaves a side empty, the family with the least (or greatest) number goes there.
 *
 * Errors: RangeError where there are fewer than two families, or the fraction is not within (0, 1).
 */
export function splitByFamily(
  families: readonly string[],
  { testFraction }: { testFraction: number },
): { train: number[]; test: number[] } {
  if (!(testFraction > 0 && testFraction < 1)) {
    throw new RangeError(
      `Cannot split the data as testFraction must be between 0 and 1: testFraction is ${testFraction}`,
    );
  }
  const place = new Map<string, number>();
  for (const family of families) {
    if (!place.has(family)) {
      place.set(family, uniforms({ seed: 0, stream: `data/split/${family}` }, 0, 1)[0]);
    }
  }
  if (!(place.size >= 2)) {
    throw new RangeError(
      `Cannot split the data as train and test need a picture each: ` +
        `the number of different pictures is ${place.size}`,
    );
  }
  const places = [...place.values()].sort((a, b) => a - b);
  const tested = places.filter((u) => u < testFraction).length;
  const last = places[Math.min(Math.max(tested, 1), places.length - 1) - 1];
  const train: number[] = [], test: number[] = [];
  families.forEach((family, i) => (place.get(family)! <= last ? test : train).push(i));
  return { train, test };
}

/** The places of a split's pictures at one size, and which of them picture `i` is. */
export type SplitPlaces = { places: PicturePlaces; rows: Int32Array };

/**
 * A side of a data set from its labels, titles and a function that gets its pictures at a size.
 *
 * `mirror` mirrors half of the draws; a test split is never mirrored.
 */
export function makeSplit(
  { name, labels, titles, channels, mirror, getPlaces }: {
    name: "train" | "test";
    labels: Int32Array;
    titles: readonly string[];
    channels: 1 | 3;
    mirror: boolean;
    getPlaces: (
      size: readonly [number, number],
      onProgress: LoadProgress | undefined,
    ) => Promise<SplitPlaces>;
  },
): Split {
  const sources = new Map<string, SplitSource>();
  const loading = new Map<string, Promise<void>>();

  function check(i: number): void {
    if (!(Number.isInteger(i) && i >= 0 && i < labels.length)) {
      throw new RangeError(
        `Cannot get the picture as its index must be 0 to ${labels.length - 1}: index is ${i}`,
      );
    }
  }

  function source(size: Size): SplitSource {
    const found = sources.get(heightAndWidth(size).join());
    if (found) return found;
    const asked = typeof size === "number" ? size : `[${size}]`;
    const loaded = [...sources.values()].map(({ size: [h, w] }) => h === w ? h : `[${h},${w}]`);
    throw new RangeError(
      `Cannot draw a picture at size ${asked} as it is not loaded: ` +
        `sizes loaded are ${loaded.join(", ") || "none"}, so call load(${asked}) first`,
    );
  }

  function write(i: number, draw: Draw & { out: Float32Array; offset: number }): void {
    check(i);
    const own = source(draw.size);
    drawPicture(own, { ...draw, i, block: heldPixels(own), row: own.rows[i] });
  }

  return {
    name,
    length: labels.length,
    label: (i) => (check(i), labels[i]),
    title: (i) => (check(i), titles[i]),
    async load(size, { onProgress } = {}) {
      const sides = heightAndWidth(size), key = sides.join();
      let promise = loading.get(key);
      if (!promise) {
        promise = getPlaces(sides, onProgress).then((own) => {
          const plain = { name, size: sides, channels, mirror: mirror && name === "train", labels };
          sources.set(key, { ...plain, ...own });
        });
        promise.catch(() => loading.delete(key)); // so that a later call tries again
        loading.set(key, promise);
      }
      await promise;
    },
    source,
    image(i, draw) {
      const [height, width] = heightAndWidth(draw.size);
      const out = new Float32Array(height * width * channels);
      write(i, { ...draw, out, offset: 0 });
      return ndarray(out, [height, width, channels]);
    },
    write,
  };
}
