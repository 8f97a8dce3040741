import ndarray from "ndarray";
import { uniforms } from "../engine/random.ts";
import { composePicture, drawAppearance, type PixelBlock } from "./compose.ts";
import type { Draw, LoadProgress, Split } from "./dataset.ts";

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

/**
 * A side of a data set from its labels, titles and a function that gets its pixels at a size.
 *
 * `mirror` mirrors half of the draws; a test split is never mirrored.
 */
export function makeSplit(
  { name, labels, titles, mirror, getPixels }: {
    name: "train" | "test";
    labels: readonly number[];
    titles: readonly string[];
    mirror: boolean;
    getPixels: (size: number, onProgress?: LoadProgress) => Promise<PixelBlock>;
  },
): Split {
  const blocks = new Map<number, PixelBlock>();
  const loading = new Map<number, Promise<void>>();
  const stream = `data/${name}/appearance`;

  function check(i: number): void {
    if (!(Number.isInteger(i) && i >= 0 && i < labels.length)) {
      throw new RangeError(
        `Cannot get the picture as its index must be 0 to ${labels.length - 1}: index is ${i}`,
      );
    }
  }

  function write(i: number, draw: Draw & { out: Float32Array; offset: number }): void {
    check(i);
    const { size, seed, counter, out, offset } = draw;
    const block = blocks.get(size);
    if (!block) {
      throw new RangeError(
        `Cannot draw a picture at size ${size} as it is not loaded: ` +
          `sizes loaded are ${
            [...blocks.keys()].join(", ") || "none"
          }, so call load(${size}) first`,
      );
    }
    const { background, mirrored } = drawAppearance({
      seed,
      counter: counter * labels.length + i,
      stream,
    });
    composePicture(block, {
      i,
      background,
      mirrored: mirrored && mirror && name === "train",
      out,
      offset,
    });
  }

  return {
    name,
    length: labels.length,
    label: (i) => (check(i), labels[i]),
    title: (i) => (check(i), titles[i]),
    load(size, { onProgress } = {}) {
      if (!(Number.isInteger(size) && size >= 1 && size <= 4096)) {
        return Promise.reject(
          new RangeError(
            `Cannot load pictures as size must be a whole number from 1 to 4096: size is ${size}`,
          ),
        );
      }
      let promise = loading.get(size);
      if (!promise) {
        promise = getPixels(size, onProgress).then((block) => void blocks.set(size, block));
        promise.catch(() => loading.delete(size)); // so that a later call tries again
        loading.set(size, promise);
      }
      return promise;
    },
    image(i, draw) {
      const out = new Float32Array(draw.size * draw.size * 3);
      write(i, { ...draw, out, offset: 0 });
      return ndarray(out, [draw.size, draw.size, 3]);
    },
    write,
  };
}
