/**
 * Runs the library on fixtures of the reference implementation, one result a case.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { findFixtures, type Fixture, type Metric, type Tolerance } from "./fixture.ts";
import { errorOf } from "./metrics.ts";

export * from "./fixture.ts";
export * from "./metrics.ts";

/** What came out of one case. */
export type CaseResult = {
  /** `module/rms_norm[0]`, `model/a_na_global_2l`. */
  name: string;
  /** The largest error of its tensors, by the tolerance's metric. */
  error: number;
  tolerance: number;
  ok: boolean;
  /** The worst tensor, or why it failed. */
  note?: string;
};

/** A case for which there is no code yet. */
export type MissingCase = { name: string; missing: true };

/**
 * What to do with a fixture. `stem` is its name, or the start of it up to one of `.`, `_` and `-`; among
 * several handlers the longest stem wins, then the one of the same room, then `when`. A handler
 * with `partOf` marks a file that another one reads (`common` is part of `samplers`).
 */
export type Handler =
  & { room: string; stem: string; when?: (fixture: Fixture) => boolean }
  & ({ run: (fixture: Fixture) => AsyncIterable<CaseResult> } | { partOf: string });

/** The handler for a fixture, or undefined. */
export function handlerOf(fixture: Fixture, handlers: Handler[]): Handler | undefined {
  const rooms = new Set(handlers.map((handler) => handler.room));
  const fits = ({ room, stem, when }: Handler) =>
    (room === fixture.room || !rooms.has(fixture.room)) &&
    (stem === "" || fixture.name === stem ||
      fixture.name.startsWith(stem) && ".-_".includes(fixture.name[stem.length])) &&
    (when?.(fixture) ?? true);
  return handlers.filter(fits).sort((a, b) => b.stem.length - a.stem.length)[0];
}

/** Runs every fixture under `dir`. */
export async function* runParity(
  { dir, handlers }: { dir: string; handlers: Handler[] },
): AsyncIterable<CaseResult | MissingCase> {
  const fixtures = findFixtures(dir);
  if (fixtures.length === 0) {
    throw new RangeError(
      `Cannot check parity as the folder must hold fixtures (*.json beside *.safetensors): folder is ${dir}`,
    );
  }
  for (const fixture of fixtures) {
    const handler = handlerOf(fixture, handlers);
    if (!handler || "partOf" in handler && !fixture.sibling(handler.partOf)) {
      const cases: unknown[] = fixture.json.cases ?? [undefined];
      for (let i = 0; i < cases.length; i++) {
        const index = cases[i] === undefined ? "" : `[${i}]`;
        yield { name: `${fixture.label}${index}`, missing: true };
      }
    } else if ("run" in handler) {
      try {
        yield* handler.run(fixture);
      } catch (error) {
        yield failed(fixture.label, error);
      }
    }
  }
}

/** The result of a case that threw. */
export function failed(name: string, error: unknown): CaseResult {
  const note = error instanceof Error ? error.message : `${error}`;
  return { name, error: NaN, tolerance: 0, ok: false, note };
}

/** Compares tensors by name and reports the worst; expected names without an actual value fail. */
export async function compareTensors(
  name: string,
  { actual, expected, tolerance, metric = tolerance.metric }: {
    actual: Record<string, tf.Tensor | ArrayLike<number>>;
    expected: Record<string, SafetensorsTensor | ArrayLike<number>>;
    tolerance: Tolerance;
    metric?: Metric;
  },
): Promise<CaseResult> {
  let worst = { error: 0, note: "" };
  if (Object.keys(expected).length === 0) worst = { error: NaN, note: "nothing to compare with" };
  for (const [key, want] of Object.entries(expected)) {
    const got = actual[key];
    let error = NaN, note = key;
    if (got === undefined) {
      note = `${key} was not computed`;
    } else {
      const shape = "shape" in want ? want.shape : undefined;
      const values = got instanceof tf.Tensor ? await got.data() : got;
      if (got instanceof tf.Tensor && shape && `${got.shape}` !== `${shape}`) {
        note = `${key} has shape [${got.shape}], not [${shape}]`;
      } else {
        error = errorOf(values, numbers("data" in want ? want.data : want), metric);
      }
    }
    if (!(error <= worst.error) && !Number.isNaN(worst.error)) worst = { error, note };
  }
  return result(name, { ...worst, tolerance: tolerance.value });
}

/** A case's result from its error. */
export function result(
  name: string,
  { error, tolerance, note }: { error: number; tolerance: number; note?: string },
): CaseResult {
  return { name, error, tolerance, ok: error <= tolerance, ...(note ? { note } : {}) };
}

function numbers(data: ArrayLike<number> | BigInt64Array): ArrayLike<number> {
  return data instanceof BigInt64Array ? Array.from(data, Number) : data;
}
