/**
 * Which zod schemas stand at a path of a configuration.
 *
 * @module
 */
import { z } from "zod";

/** Keys and indices from the root of a value to one of its parts. */
export type Path = readonly PropertyKey[];

/** The schemas that a path leads to; several below a union. */
export function schemasAt(schema: z.core.$ZodType, value: unknown, path: Path): z.core.$ZodType[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodUnion) {
    const options: readonly z.core.$ZodType[] = inner.options;
    const matching = options.filter((option) => kindFits(option, value));
    return (matching.length > 0 ? matching : options)
      .flatMap((option) => schemasAt(option, value, path));
  }
  if (inner instanceof z.ZodIntersection) {
    return [inner.def.left, inner.def.right].flatMap((side) => schemasAt(side, value, path));
  }
  if (path.length === 0) return [inner];
  const next = childSchema(inner, path[0]);
  return next === undefined ? [] : schemasAt(next, valueAt(value, [path[0]]), path.slice(1));
}

function childSchema(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodObject) {
    return Object.hasOwn(schema.shape, key) ? schema.shape[key as string] : undefined;
  }
  if (schema instanceof z.ZodArray) return schema.element;
  if (schema instanceof z.ZodTuple) return schema.def.items[Number(key)];
  if (schema instanceof z.ZodRecord) return schema.valueType;
  return undefined;
}

/** Strips optional, default, nullable and the like. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodLazy) return unwrap(schema.unwrap());
  if (schema instanceof z.ZodPipe) return unwrap(schema.in);
  const def: { innerType?: unknown } = schema._zod.def as { innerType?: unknown };
  return def.innerType instanceof z.ZodType ? unwrap(def.innerType) : schema;
}

/** Whether each literal in an object schema (its `kind`) equals the value's. */
function kindFits(schema: z.core.$ZodType, value: unknown): boolean {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return false;
  const literals = Object.entries(inner.shape).filter(([, s]) => unwrap(s) instanceof z.ZodLiteral);
  return literals.length > 0 &&
    literals.every(([key, s]) => s.safeParse(valueAt(value, [key])).success);
}

/** The keys that an object schema knows. */
export function ownKeys(schema: z.core.$ZodType): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** The part of a value that a path leads to, or `undefined`. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) =>
      at !== null && typeof at === "object" && Object.hasOwn(at, key)
        ? (at as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}

/** Whether a path leads to nothing; the root itself is never missing. */
export function isMissing(value: unknown, path: Path): boolean {
  return path.length > 0 && valueAt(value, path) === undefined;
}
