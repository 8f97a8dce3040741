/**
 * Where two pieces of JSON differ, in any order of keys: `optimiser.lr is 0.001, was 0.0005`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(jsonDifferences({ a: 1, b: 2 }, { b: 2, a: 3 }), ["a is 1, was 3"]);
 * ```
 */
export function jsonDifferences(now: unknown, before: unknown, path = ""): string[] {
  const isTree = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null;
  if (isTree(now) && isTree(before)) {
    const keys = [...new Set([...Object.keys(now), ...Object.keys(before)])];
    return keys.flatMap((k) => jsonDifferences(now[k], before[k], path ? `${path}.${k}` : k));
  }
  if (now === before) return [];
  return [`${path || "value"} is ${JSON.stringify(now)}, was ${JSON.stringify(before)}`];
}
