/**
 * How the shapes in a recorded graph depend on sizes such as the batch: one function recorded at
 * several sizes, compared operation by operation.
 *
 * @module
 */
import {
  type Constant,
  type Data,
  type GraphNode,
  isConstant,
  type Operand,
  sizeOf,
  type Storage,
  subgraph,
} from "../graph.ts";
import { evaluate, interpolate, isFixed, type Multilinear } from "./multilinear.ts";

/** A size that may vary: its name, and the three values at which the function is recorded. */
export type DynamicSize = { name: string; at: readonly [low: number, high: number, check: number] };
/** One function as it was recorded at one value of each size. */
export type Recording = { sizes: readonly number[]; placeholders: Storage[]; outputs: Operand[] };
/** Known numbers that depend on the sizes. */
export type Grown =
  /** One row over and over along an axis. */
  | { kind: "rows"; row: Data; axis: number }
  /** One number everywhere. */
  | { kind: "fill"; value: Data }
  /** 0, 1, 2, … */
  | { kind: "range" }
  /** A single whole number. */
  | { kind: "number"; value: Multilinear };

/** Of the first recording. */
export type DynamicShapes = {
  sizes: readonly DynamicSize[];
  /** Dimensions of storages and operands, values of constants. */
  shapes: Map<Storage | Operand | Constant, readonly Multilinear[]>;
  grown: Map<Storage, Grown>;
};

/** The sizes to record at: all combinations of low and high values, and one more to check. */
export function samplesOf(sizes: readonly DynamicSize[]): number[][] {
  const corners = Array.from(
    { length: 2 ** sizes.length },
    (_, m) => sizes.map(({ at }, i) => at[m >> i & 1]),
  );
  return sizes.length === 0 ? corners : [...corners, sizes.map(({ at }) => at[2])];
}

/**
 * Compares recordings of one function at the sizes of {@link samplesOf}.
 *
 * @throws {RangeError} where the function does not do the same at every size, up to whole numbers that are multilinear
 * in the sizes.
 */
export function dynamicShapes(
  recordings: readonly Recording[],
  sizes: readonly DynamicSize[],
): DynamicShapes {
  const graphs = recordings.map(({ outputs }) => subgraph(outputs.map(({ storage }) => storage)));
  const shapes: DynamicShapes["shapes"] = new Map();
  const grown: DynamicShapes["grown"] = new Map();
  const partners = new Map<Storage, readonly Storage[]>();
  const fit = fitter(recordings, sizes);

  /** Notes that storages of the recordings are one and the same value. */
  const pair = (storages: readonly Storage[]) => {
    const [main] = storages, known = partners.get(main);
    if (known) {
      fit.one(storages.map((storage, i) => storage === known[i]), "operands");
      return;
    }
    partners.set(main, storages);
    const dims = fit.lists(storages.map(({ shape }) => shape), "a tensor");
    shapes.set(main, dims);
    fit.one(storages.map(({ dtype }) => dtype), "element types");
    fit.one(storages.map(({ node }) => node === undefined), "operations");
    if (main.node) return;
    fit.one(storages.map((s, i) => recordings[i].placeholders.indexOf(s)), "inputs");
    if (recordings[0].placeholders.includes(main)) return;
    const rule = growthOf(storages, { dims, fit });
    if (rule) grown.set(main, rule);
  };
  const operands = (inputs: readonly Operand[]) => {
    pair(inputs.map(({ storage }) => storage));
    shapes.set(inputs[0], fit.lists(inputs.map(({ shape }) => shape), "an operand"));
  };

  fit.one(graphs.map(({ nodes }) => nodes.length), "numbers of operations");
  graphs[0].nodes.forEach((main, i) => {
    const nodes = graphs.map(({ nodes }) => nodes[i]);
    fit.one(nodes.map(signature), "operations");
    main.inputs.forEach((input, j) => {
      if (!input) return;
      const inputs = nodes.map(({ inputs }) => inputs[j]!);
      if (isConstant(input)) shapes.set(input, constantValues(inputs as Constant[], fit));
      else operands(inputs as Operand[]);
    });
    main.outputs.forEach((_, k) => pair(nodes.map(({ outputs }) => outputs[k])));
  });
  recordings[0].outputs.forEach((_, k) => operands(recordings.map(({ outputs }) => outputs[k])));
  for (const [k, main] of recordings[0].placeholders.entries()) {
    if (!partners.has(main)) pair(recordings.map(({ placeholders }) => placeholders[k]));
  }
  return { sizes, shapes, grown };
}

/** What compares values of the recordings, and says what differs. */
type Fitter = {
  lists(lists: readonly (readonly number[])[], what: string): Multilinear[];
  one(values: readonly unknown[], what: string): void;
  refuse(reason: string): never;
};

function fitter(recordings: readonly Recording[], sizes: readonly DynamicSize[]): Fitter {
  const names = sizes.map(({ name }) => name).join(", ");
  const refuse = (reason: string): never => {
    throw new RangeError(
      `Cannot make the ${names} dynamic as the function must do the same at every size: ${reason}; export it for one size`,
    );
  };
  const one = (values: readonly unknown[], what: string) => {
    if (values.every((value) => value === values[0])) return;
    refuse(`the ${what} differ with the ${names}: ${[...new Set(values)].join(" and ")}`);
  };
  const box = sizes.map(({ at: [low, high] }) => [low, high] as const);
  const lists = (lists: readonly (readonly number[])[], what: string) => {
    one(lists.map(({ length }) => length), "ranks");
    return lists[0].map((_, k) => {
      const values = lists.map((list) => list[k]);
      const found = interpolate(values.slice(0, 2 ** sizes.length), box);
      if (found && values.every((v, i) => v === evaluate(found, recordings[i].sizes))) return found;
      const at = recordings.map(({ sizes }) => sizes.join(" × ")).join(", ");
      return refuse(`${what} has ${values.join(", ")} along axis ${k} where the ${names} is ${at}`);
    });
  };
  return { lists, one, refuse };
}

/** How known numbers depend on the sizes; undefined where they do not. */
function growthOf(
  storages: readonly Storage[],
  { dims, fit }: { dims: readonly Multilinear[]; fit: Fitter },
): Grown | undefined {
  const [{ shape, data }] = storages;
  const growing = [...dims.keys()].filter((axis) => !isFixed([dims[axis]]));
  if (growing.length === 0) {
    if (storages.every((other) => sameData(other.data!, data!))) return undefined;
    if (sizeOf(shape) === 1 && storages.every(({ data }) => Number.isInteger(data![0]))) {
      return { kind: "number", value: fit.lists(storages.map(({ data }) => [data![0]]), "it")[0] };
    }
  } else if (shape.length === 1 && storages.every(({ data }) => data!.every((v, i) => v === i))) {
    return { kind: "range" };
  } else if (storages.every(({ data: all }) => all!.every((v) => Object.is(v, data![0])))) {
    return { kind: "fill", value: data!.slice(0, 1) };
  } else if (growing.length === 1) {
    const [axis] = growing, rows = storages.map((storage) => repeatedRow(storage, axis));
    if (rows[0] && rows.every((row) => row && sameData(row, rows[0]!))) {
      return { kind: "rows", row: rows[0], axis };
    }
  }
  return fit.refuse(`the numbers of a constant [${shape}] depend on it`);
}

/** The row that a known tensor repeats along an axis, if it does. */
function repeatedRow({ shape, data }: Storage, axis: number): Data | undefined {
  const n = shape[axis], inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const out = data!.slice(0, outer * inner);
  for (let i = 0; i < data!.length; i++) {
    const place = Math.floor(i / (n * inner)) * inner + i % inner;
    if (Math.floor(i / inner) % n === 0) out[place] = data![i];
    else if (!Object.is(out[place], data![i])) return undefined;
  }
  return out;
}

function constantValues(constants: readonly Constant[], fit: Fitter): Multilinear[] {
  const [{ type, dims }] = constants;
  if ((type === "int64" || type === "int32") && dims.length <= 1) {
    return fit.lists(constants.map(({ values }) => values), "a constant");
  }
  if (!constants.every(({ values }) => sameData(values, constants[0].values))) {
    const shown = constants.map(({ values }) => `[${values}]`).join(", ");
    fit.refuse(`a constant of an operation is ${shown}`);
  }
  return [];
}

function signature({ op, domain, attributes, inputs, outputs }: GraphNode): string {
  const kinds = inputs.map((input) => !input ? "-" : isConstant(input) ? input.type : "x");
  return `${domain}.${op}${JSON.stringify(attributes)}(${kinds}) ${outputs.length}`;
}

function sameData(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
