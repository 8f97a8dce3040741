/** A label that is missing. */
export const NO_LABEL = -1;

/** More classes than any data set of pictures has: a greater label is something else, such as a number of rows. */
const MOST_CLASSES = 100_000;

/**
 * The names of the classes of labels: those that the data give, else their numbers. Labels may be
 * missing (`NO_LABEL`); where all are, there are no classes, and the labels become 0.
 *
 * Errors: RangeError where a label is no class, with the picture's title.
 */
export function classesOfLabels(
  labels: Int32Array,
  { names, titles, called }: {
    names: readonly string[] | undefined;
    titles: readonly string[];
    called: string;
  },
): { labels: Int32Array; classes: readonly string[] } {
  if (labels.every((label) => label === NO_LABEL)) {
    return { labels: new Int32Array(labels.length), classes: [] };
  }
  const count = names?.length ?? MOST_CLASSES;
  const wrong = labels.findIndex((label) => !(label === NO_LABEL || (label >= 0 && label < count)));
  if (wrong >= 0) {
    throw new RangeError(
      `Cannot open the ${called} as labels must be 0 to ${count - 1}: ` +
        `${titles[wrong]} has ${labels[wrong]}`,
    );
  }
  const most = labels.reduce((a, b) => Math.max(a, b));
  return { labels, classes: names ?? Array.from({ length: most + 1 }, (_, i) => `${i}`) };
}
