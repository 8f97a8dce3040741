import { NO_LABEL } from "./classes.ts";
import type { PictureState } from "./load_pictures.ts";
import type { PictureList } from "./pictures.ts";

type Sides = readonly [height: number, width: number];
const pixels = ([height, width]: Sides) => `${width} × ${height}`;

/** `first; second; and 3 more`, with at most 20 named. */
function enumerate(named: readonly string[]): string {
  const rest = named.length > 20 ? `; and ${named.length - 20} more` : "";
  return named.slice(0, 20).join("; ") + rest;
}

/** Which pictures could not be decoded, and why; `states` are of `rows`, of all by default. */
export function skippedPictures(
  { titles }: PictureList,
  states: readonly (PictureState | undefined)[],
  rows?: readonly number[],
): string[] {
  const broken = states.flatMap((state, k) =>
    state && "error" in state ? [`${titles[rows ? rows[k] : k]} (${state.error})`] : []
  );
  if (broken.length === 0) return [];
  const tried = states.filter((state) => state !== undefined).length;
  return [`Skipped ${broken.length} of ${tried} images: ${enumerate(broken)}`];
}

/** Which pictures have no label where others have one. */
export function unlabelledPictures({ titles, labels }: PictureList): string[] {
  const without = titles.filter((_, i) => labels[i] === NO_LABEL);
  if (without.length === 0) return [];
  return [
    `Left out ${without.length} of ${titles.length} images, as they have no label: ` +
    enumerate(without),
  ];
}

/**
 * Which pictures had to be enlarged to cover the size.
 *
 * Errors: RangeError where that is all of them, unless they are pixels of one size already, which
 * a user of the format knows.
 */
export function resizedPictures(
  { places, called, titles }: PictureList,
  { states, size }: { states: readonly (PictureState | undefined)[]; size: Sides },
): string[] {
  if (places.kind === "pixels") {
    const from = [places.block.height, places.block.width] as const;
    if (from.join() === size.join()) return [];
    return [`All images are resized from ${pixels(from)} to ${pixels(size)} px`];
  }
  const decoded = states.flatMap((state, i) =>
    state && "from" in state ? [{ title: titles[i], from: state.from }] : []
  );
  const small = decoded.filter(({ from }) => from[0] < size[0] || from[1] < size[1]);
  if (small.length === 0) return [];
  const named = small.map(({ title, from }) => `${title} (${pixels(from)})`);
  if (small.length < decoded.length) {
    return [
      `Enlarged ${small.length} of ${decoded.length} images, as they are smaller than ` +
      `${pixels(size)} px: ${enumerate(named)}`,
    ];
  }
  const scales = small.map(({ from }) => Math.min(from[0] / size[0], from[1] / size[1]));
  const largest = scales.indexOf(scales.reduce((a, b) => Math.max(a, b)));
  throw new RangeError(
    `Cannot open the ${called} at ${pixels(size)} px as all of its ${small.length} images are ` +
      `smaller: the largest is ${named[largest]}, so ask for a smaller size`,
  );
}

/** That pictures are decoded again whenever they are drawn. */
export function notHeld({ bytes, memory }: { bytes: number; memory: number }): string {
  const gigabytes = (n: number) => `${Number((n / 1e9).toPrecision(3))} GB`;
  return `Pictures are decoded whenever they are drawn, as all would take ${gigabytes(bytes)}: ` +
    `memory is ${gigabytes(memory)}`;
}
