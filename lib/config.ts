/**
 * Configurations: a value checked against a zod schema, with errors written for people.
 *
 * @module
 */
import type { z } from "zod";
import { isMissing, ownKeys, type Path, schemasAt, valueAt } from "./config/schema.ts";
import { kindOf, oneOf, show, showPath } from "./config/text.ts";
import { nearest } from "./nearest.ts";

/** How a configuration is named in errors. */
export type ParseConfigOptions = {
  /** What the value is, with its article: "the model spec", "runs/a/config.json". */
  what: string;
};

type Issue = z.core.$ZodIssue;
/** `range`: of the right type, but not allowed; `type`: anything else that is wrong. */
type Problem = { kind: "type" | "range"; text: string };

/**
 * Checks a configuration against a schema and returns it with the schema's defaults filled in.
 *
 * Objects in the schema are `z.strictObject`, so that an unknown key is an error; the error names
 * the nearest known key. Each problem gives the path, the current and the required value; all
 * problems are reported together.
 *
 * @throws {RangeError} where every problem is a value out of range.
 * @throws {TypeError} where a key is unknown or missing, or a value has the wrong type.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { z } from "zod";
 * import { parseConfig } from "./config.ts";
 *
 * const schema = z.strictObject({ width: z.int().min(1), skip: z.enum(["lerp", "add"]) });
 * const what = "the level";
 * assert.deepEqual(parseConfig(schema, { width: 64, skip: "add" }, { what }).width, 64);
 * assert.throws(() => parseConfig(schema, { width: 0, skip: "add" }, { what }), {
 *   name: "RangeError",
 *   message: "Cannot use the level as width must be >= 1: current value is 0",
 * });
 * ```
 */
export function parseConfig<S extends z.ZodType>(
  schema: S,
  value: unknown,
  { what }: ParseConfigOptions,
): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => describe(issue, { schema, value }));
  const texts = [...new Set(problems.map((problem) => problem.text))];
  const message = texts.length === 1
    ? `Cannot use ${what} as ${texts[0]}`
    : `Cannot use ${what}, ${texts.length} problems:\n${texts.map((t) => `- ${t}`).join("\n")}`;
  if (problems.every((problem) => problem.kind === "range")) throw new RangeError(message);
  throw new TypeError(message);
}

type Context = { schema: z.ZodType; value: unknown };

/** One issue as problems in words; `path` is where `issue.path` starts. */
function describe(issue: Issue, context: Context, path: Path = []): Problem[] {
  const at = [...path, ...issue.path];
  const name = showPath(at);
  const current = `current value is ${show(valueAt(context.value, at))}`;
  const must = (required: string, kind: Problem["kind"] = "range"): Problem[] => [
    { kind, text: `${name} must be ${required}: ${current}` },
  ];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = schemasAt(context.schema, context.value, at).flatMap(ownKeys);
      return issue.keys.map((key) => unknownKey([...at, key], known));
    }
    case "invalid_type":
      if (isMissing(context.value, at)) {
        return [{ kind: "type", text: `${name} is missing: it must be ${kindOf(issue.expected)}` }];
      }
      return must(kindOf(issue.expected), "type");
    case "too_small":
    case "too_big": {
      const upper = issue.code === "too_big";
      const bound = upper ? issue.maximum : issue.minimum;
      const sign = (upper ? "<" : ">") + (issue.inclusive ? "=" : "");
      const number = issue.exact ? `${bound}` : `${sign} ${bound}`;
      return must(number + countedIn(issue.origin));
    }
    case "not_multiple_of":
      return must(`a multiple of ${issue.divisor}`);
    case "invalid_value":
      return notOneOf(issue.values, context, at);
    case "invalid_format":
      return must(`in the form ${issue.pattern ?? issue.format}`);
    case "invalid_union":
      return describeUnion(issue, context, at);
    case "invalid_key":
    case "invalid_element":
      return issue.issues.flatMap((inner) => describe(inner, context, at));
    case "custom":
      return [{ kind: "range", text: `${name}: ${issue.message} (${current})` }];
  }
}

function countedIn(origin: string): string {
  if (origin === "string") return " characters long";
  return ["array", "set", "map"].includes(origin) ? " items long" : "";
}

function unknownKey(path: Path, known: readonly string[]): Problem {
  const near = nearest(String(path.at(-1)), known);
  const list = known.map((key) => `"${key}"`).join(", ");
  const hint = near === undefined ? `known keys are ${list || "none"}` : `did you mean "${near}"?`;
  return { kind: "type", text: `${showPath(path)} is not a known key: ${hint}` };
}

/** A value that is not one of those listed. */
function notOneOf(values: readonly unknown[], context: Context, path: Path): Problem[] {
  const wrong = valueAt(context.value, path);
  const name = showPath(path);
  if (wrong === undefined) {
    return [{ kind: "type", text: `${name} is missing: it must be ${oneOf(values)}` }];
  }
  const words = values.filter((value) => typeof value === "string");
  const near = typeof wrong === "string" ? nearest(wrong, words) : undefined;
  const hint = near === undefined ? "" : `, did you mean "${near}"?`;
  const text = `${name} must be ${oneOf(values)}: current value is ${show(wrong)}${hint}`;
  return [{ kind: "range", text }];
}

/** A union: the problems of the branch that was most likely meant, or the list of what is allowed. */
function describeUnion(
  issue: Extract<Issue, { code: "invalid_union" }>,
  context: Context,
  at: Path,
): Problem[] {
  const { discriminator } = issue;
  if (discriminator !== undefined) {
    const options = "options" in issue && Array.isArray(issue.options) ? issue.options : [];
    // The schema reports a wrong value at the discriminator's own path
    const path = at.at(-1) === discriminator ? at : [...at, discriminator];
    return notOneOf(options, context, path);
  }
  const wrongKinds = issue.errors.map((branch) => branch.flatMap(wrongKind));
  const likely = issue.errors
    .filter((_, i) => wrongKinds[i].length === 0)
    .toSorted((a, b) => a.length - b.length)[0];
  if (likely !== undefined) return likely.flatMap((inner) => describe(inner, context, at));
  const required = [...new Set(wrongKinds.flat())].join(" or ");
  const current = show(valueAt(context.value, at));
  return [{
    kind: "type",
    text: `${showPath(at)} must be ${required}: current value is ${current}`,
  }];
}

/** What a branch of a union wants, where the whole value is not of its kind. */
function wrongKind(issue: Issue): string[] {
  if (issue.path.length > 0) return [];
  if (issue.code === "invalid_type") return [kindOf(issue.expected)];
  if (issue.code === "invalid_value") return [oneOf(issue.values)];
  return [];
}
