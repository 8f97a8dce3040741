/**
 * The words of configuration errors.
 *
 * @module
 */
import type { Path } from "./schema.ts";

/** A type as zod names it, in words. */
export function kindOf(expected: string): string {
  const names: Record<string, string> = {
    number: "a number",
    int: "a whole number",
    string: "a string",
    boolean: "true or false",
    object: "an object",
    record: "an object",
    array: "a list",
    tuple: "a list",
    never: "left out",
  };
  return names[expected] ?? expected;
}

/** What is allowed, in words. */
export function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? show(values[0]) : `one of ${values.map(show).join(", ")}`;
}

/** `["levels", 0, "width"]` as `levels[0].width`. */
export function showPath(path: Path): string {
  const text = path.map((key) =>
    typeof key === "number"
      ? `[${key}]`
      : /^[\w$]+$/.test(String(key))
      ? `.${String(key)}`
      : `[${JSON.stringify(String(key))}]`
  ).join("").replace(/^\./, "");
  return text || "it";
}

/** A value as short text. */
export function show(value: unknown): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch { // a cycle
    text = Object.prototype.toString.call(value);
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
