/** Which files of a data set are trained on and which held out, where their names say so. */
export type FileSides = { train: number[]; heldOut: number[]; warnings: string[] };

/** What names say, best first: a validation set is what is held out, else a test set. */
const SIDES = [
  { side: "train", words: /(?:^|[^a-z])(?:train|training)(?![a-z])/i },
  { side: "validation", words: /(?:^|[^a-z])(?:val|valid|validation|dev)(?![a-z])/i },
  { side: "test", words: /(?:^|[^a-z])(?:test|testing)(?![a-z])/i },
] as const;

/**
 * The sides of files by words in their names, such as `train-00000-of-00010.parquet` and
 * `test/0.tar`. Unless there are files of both sides, all are trained on and none is held out.
 */
export function sidesByName(names: readonly string[]): FileSides {
  const found = names.map((name) => SIDES.find(({ words }) => words.test(name))?.side);
  const of = (side: string) => names.flatMap((_, i) => found[i] === side ? [i] : []);
  const train = of("train"), validation = of("validation"), test = of("test");
  const heldOut = validation.length > 0 ? validation : test;
  if (train.length === 0 || heldOut.length === 0) {
    return { train: [...names.keys()], heldOut: [], warnings: [] };
  }
  const used = new Set([...train, ...heldOut]);
  const unused = names.filter((_, i) => !used.has(i));
  const warnings = unused.length === 0 ? [] : [
    `Left out ${unused.length} of ${names.length} files, as they are neither for training nor ` +
    `what is held out: ${unused.slice(0, 5).join(", ")}${unused.length > 5 ? " and others" : ""}`,
  ];
  return { train, heldOut, warnings };
}
