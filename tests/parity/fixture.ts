/**
 * Fixtures: numbers that the reference implementation computed, as `X.json` (what was computed, its
 * cases, its tolerance) beside `X.safetensors` (the tensors).
 *
 * @module
 */
import { parseSafetensors, type SafetensorsTensor } from "../../lib/io/safetensors.ts";
import * as tf from "@tensorflow/tfjs";
import { basename, join, relative, resolve } from "@std/path";

/** How two arrays are compared, see {@link metrics}. */
export type Metric = "max_abs_over_rms" | "max_abs" | "max_rel" | "update_rel_l2" | "exact";
/** A metric and the largest value of it that still passes. */
export type Tolerance = { metric: Metric; value: number; note?: string };

// deno-lint-ignore no-explicit-any
export type Json = any;

/** One fixture file; tensors are read when first asked for. */
export type Fixture = {
  /** Name of the folder: `module`, `model`, `sampler` … */
  room: string;
  /** File name without its extension: `rms_norm`, `a_na_global_2l.io`. */
  name: string;
  /** Name to print: `module/rms_norm`. */
  label: string;
  /** The JSON file, `{}` where there is none. */
  json: Json;
  /** The tensors of the fixture. Throws a RangeError where there are none. */
  tensors(): Map<string, SafetensorsTensor>;
  /** Another file of the same folder (`a_na_global_2l.weights`), if it is there. */
  sibling(name: string): Fixture | undefined;
};

/** Every fixture under a folder: the folder of rooms, one room, or a folder of case files. */
export function findFixtures(dir: string): Fixture[] {
  const root = resolve(dir);
  if (!isFolder(root)) {
    throw new RangeError(`Cannot read fixtures as the folder must exist: folder is ${dir}`);
  }
  const found: Fixture[] = [];
  const visit = (folder: string) => {
    const entries = [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1);
    const names = new Set<string>();
    for (const entry of entries) {
      const stem = entry.name.match(/^(.+)\.(json|safetensors)$/)?.[1];
      if (entry.isFile && stem) names.add(stem);
      if (entry.isDirectory) visit(join(folder, entry.name));
    }
    const fixtures = new Map<string, Fixture>();
    const label = relative(root, folder) || basename(folder);
    for (const name of names) fixtures.set(name, openFixture(folder, name, { label, fixtures }));
    found.push(...fixtures.values());
  };
  visit(root);
  return found;
}

function openFixture(
  folder: string,
  name: string,
  { label, fixtures }: { label: string; fixtures: Map<string, Fixture> },
): Fixture {
  let tensors: Map<string, SafetensorsTensor> | undefined;
  return {
    room: basename(folder),
    name,
    label: `${label}/${name}`,
    json: exists(join(folder, `${name}.json`))
      ? JSON.parse(Deno.readTextFileSync(join(folder, `${name}.json`)))
      : {},
    tensors: () => {
      tensors ??= parseSafetensors(Deno.readFileSync(join(folder, `${name}.safetensors`))).tensors;
      return tensors;
    },
    sibling: (other) => fixtures.get(other),
  };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** The tolerance of a fixture, or of one of its cases where that has its own. */
export function toleranceOf(fixture: Fixture, index?: number): Tolerance {
  const own = index === undefined ? undefined : fixture.json.cases?.[index]?.tolerance;
  const tolerance = own ?? fixture.json.tolerance;
  if (!(typeof tolerance?.value === "number" && tolerance.value >= 0)) {
    throw new RangeError(
      `Cannot judge ${fixture.label} as its JSON must give a tolerance: tolerance is ${
        JSON.stringify(tolerance)
      }`,
    );
  }
  return tolerance;
}

/** The tensors of case `index` (names start with `0.`), the prefix removed. */
export function caseTensors(fixture: Fixture, index: number): Map<string, SafetensorsTensor> {
  const prefix = `${index}.`;
  return new Map(
    [...fixture.tensors()].filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
  );
}

/** A fixture's tensor as a tfjs tensor: floats as float32, integers as int32, U8 and BOOL as int32. */
export function toTensor({ dtype, shape, data }: SafetensorsTensor): tf.Tensor {
  const floating = dtype.startsWith("F") || dtype === "BF16";
  return floating
    ? tf.tensor(Float32Array.from(data as Float64Array), shape, "float32")
    : tf.tensor(Int32Array.from(data as Int32Array, Number), shape, "int32");
}
