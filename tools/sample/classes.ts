import { nearest } from "../../lib/nearest.ts";

/** The classes of a model: how many, and their names where they are known. */
export type Classes = { names: readonly string[]; numClasses: number };

export function classesOf(
  { classNames: names, spec: { numClasses } }: {
    classNames: string[];
    spec: { numClasses: number };
  },
): Classes {
  return { names, numClasses };
}

/** What the class list calls samples without a class. */
export const NO_CLASS = "none";

/**
 * Class numbers of a list of names and numbers; `none` is the null class, number `numClasses`.
 *
 * @throws {TypeError|RangeError} where a name is not known, naming the nearest, or a number too large.
 */
export function parseClasses(
  given: readonly string[],
  { names, numClasses }: Classes,
): number[] {
  if (numClasses === 0) {
    throw new TypeError("Cannot sample classes as the model is unconditional: leave out --classes");
  }
  return given.map((word) => {
    const named = names.indexOf(word); // first, since names may be digits
    if (named >= 0) return named;
    if (word === NO_CLASS) return numClasses;
    if (/^\d+$/.test(word)) return checkNumber(Number(word), numClasses);
    throw new RangeError(
      `Cannot sample the class ${word} as ${whatThereIs(word, names, numClasses)}`,
    );
  });
}

function checkNumber(label: number, numClasses: number): number {
  if (label < numClasses) return label;
  throw new RangeError(
    `Cannot sample class ${label} as classes are 0 to ${numClasses - 1}, or ${NO_CLASS}`,
  );
}

function whatThereIs(word: string, names: readonly string[], numClasses: number): string {
  if (names.length === 0) {
    return `the model does not name its classes: they are 0 to ${numClasses - 1}, or ${NO_CLASS}`;
  }
  const near = nearest(word, [...names, NO_CLASS]);
  if (near !== undefined) return `there is none of that name: did you mean ${near}?`;
  const shown = names.length > 12 ? [...names.slice(0, 12), `${names.length - 12} more`] : names;
  return `there are ${shown.join(", ")}`;
}

/** What to call a class. */
export function className(
  label: number,
  { names, numClasses }: Classes,
): string {
  return label === numClasses ? NO_CLASS : names[label] ?? String(label);
}
