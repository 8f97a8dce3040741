import { sidesByName } from "./sides.ts";

/** What the paths of pictures say; labels and sides are of the pictures that are `kept`. */
export type PathLayout = {
  kept: number[];
  labels: Int32Array;
  classes: string[];
  heldOut?: Uint8Array;
  warnings: string[];
};

/** Names of folders that are sides of a data set rather than classes. */
const SIDE = /^(?:train|training|val|valid|validation|dev|test|testing)$/i;

/**
 * Reads folders as what they are meant for: sub-folders are classes if every picture is in one;
 * where all lie in `train` and `val` or `test`, these are the sides, and classes are below them.
 */
export function layoutOfPaths(titles: readonly string[]): PathLayout {
  const paths = titles.map((title) => title.split("/"));
  const tops = [...new Set(paths.map((path) => path.length > 1 ? path[0] : ""))];
  const sides = tops.every((top) => SIDE.test(top)) ? sidesByName(tops) : undefined;
  if (!sides || sides.heldOut.length === 0) {
    return { kept: [...titles.keys()], ...classesOfFolders(paths) };
  }
  const tested = new Set(sides.heldOut.map((i) => tops[i]));
  const used = new Set([...tested, ...sides.train.map((i) => tops[i])]);
  const kept = [...titles.keys()].filter((i) => used.has(paths[i][0]));
  const { warnings, ...own } = classesOfFolders(kept.map((i) => paths[i].slice(1)));
  return {
    kept,
    ...own,
    heldOut: Uint8Array.from(kept, (i) => Number(tested.has(paths[i][0]))),
    warnings: [...sides.warnings, ...warnings],
  };
}

/** The first folder of each path as its class, in natural order. */
function classesOfFolders(
  paths: readonly string[][],
): { labels: Int32Array; classes: string[]; warnings: string[] } {
  const folders = paths.map((path) => path.length > 1 ? path[0] : undefined);
  const loose = folders.filter((folder) => folder === undefined).length;
  if (loose > 0) {
    const warning =
      `Classes are not used, as ${loose} of ${paths.length} images lie beside the sub-folders`;
    const warnings = loose < paths.length ? [warning] : [];
    return { labels: new Int32Array(paths.length), classes: [], warnings };
  }
  const { compare } = new Intl.Collator("en", { numeric: true });
  const classes = [...new Set(folders as string[])].sort(compare);
  const index = new Map(classes.map((name, i) => [name, i]));
  return { labels: Int32Array.from(folders, (name) => index.get(name!)!), classes, warnings: [] };
}
