/**
 * How the shapes in a recorded graph depend on the batch: one function recorded at several batch
 * sizes, compared operation by operation.
 *
 * @module
 */
import {
  type Constant,
  type Data,
  type GraphNode,
  isConstant,
  type Operand,
  type Shape,
  sizeOf,
  type Storage,
  subgraph,
} from "../graph.ts";

/** One function as it was recorded at one batch size. */
export type Recording = { batch: number; placeholders: Storage[]; outputs: Operand[] };

/** A number that is at0 + perBatch · batch. */
export type Linear = { readonly at0: number; readonly perBatch: number };

/** Of the first recording. */
export type BatchShapes = {
  /** Dimensions of storages and operands, values of constants. */
  shapes: Map<Storage | Operand | Constant, readonly Linear[]>;
  /** Known tensors that have one row over and over along an axis that grows with the batch. */
  repeated: Map<Storage, { row: Data; axis: number }>;
};

/** Whether a list of numbers is the same at every batch size. */
export function isFixed(values: readonly Linear[]): boolean {
  return values.every(({ perBatch }) => perBatch === 0);
}

/**
 * Compares recordings of one function; of a single one all is fixed.
 *
 * @throws {RangeError} where the function does not do the same at every batch size, up to whole
 * numbers that grow in proportion to the batch.
 */
export function batchShapes(recordings: readonly Recording[]): BatchShapes {
  const batches = recordings.map(({ batch }) => batch);
  const graphs = recordings.map(({ outputs }) => subgraph(outputs.map(({ storage }) => storage)));
  const shapes: BatchShapes["shapes"] = new Map();
  const repeated: BatchShapes["repeated"] = new Map();
  const partners = new Map<Storage, readonly Storage[]>();

  /** Notes that storages of the recordings are one and the same value. */
  const pair = (storages: readonly Storage[]) => {
    const [main] = storages, known = partners.get(main);
    if (known) {
      requireOne(storages.map((storage, i) => storage === known[i]), "operands");
      return;
    }
    partners.set(main, storages);
    const dims = fitLinear(storages.map(({ shape }) => shape), { batches, what: "a tensor" });
    shapes.set(main, dims);
    requireOne(storages.map(({ dtype }) => dtype), "element types");
    requireOne(storages.map(({ node }) => node === undefined), "operations");
    if (main.node) return;
    requireOne(storages.map((s, i) => recordings[i].placeholders.indexOf(s)), "inputs");
    if (recordings[0].placeholders.includes(main)) return;
    const axis = dims.findIndex(({ perBatch }) => perBatch !== 0);
    const rows = axis < 0 ? storages.map(({ data }) => data!) : storages.map((s) => row(s, axis));
    if (!rows.every((data) => sameData(data, rows[0]))) {
      refuse(`the numbers of a constant [${main.shape}] depend on the batch`);
    }
    if (axis >= 0) repeated.set(main, { row: rows[0], axis });
  };
  const operands = (inputs: readonly Operand[]) => {
    pair(inputs.map(({ storage }) => storage));
    const views = inputs.map(({ shape }) => shape);
    shapes.set(inputs[0], fitLinear(views, { batches, what: "an operand" }));
  };

  requireOne(graphs.map(({ nodes }) => nodes.length), "numbers of operations");
  graphs[0].nodes.forEach((main, i) => {
    const nodes = graphs.map(({ nodes }) => nodes[i]);
    requireOne(nodes.map(signature), "operations");
    main.inputs.forEach((input, j) => {
      if (!input) return;
      const inputs = nodes.map(({ inputs }) => inputs[j]!);
      if (isConstant(input)) shapes.set(input, constantValues(inputs as Constant[], batches));
      else operands(inputs as Operand[]);
    });
    main.outputs.forEach((_, k) => pair(nodes.map(({ outputs }) => outputs[k])));
  });
  recordings[0].outputs.forEach((_, k) => operands(recordings.map(({ outputs }) => outputs[k])));
  for (const [k, main] of recordings[0].placeholders.entries()) {
    if (!partners.has(main)) pair(recordings.map(({ placeholders }) => placeholders[k]));
  }
  return { shapes, repeated };
}

/** Lines through the values at each batch size. */
export function fitLinear(
  lists: readonly Shape[],
  { batches, what }: { batches: readonly number[]; what: string },
): Linear[] {
  requireOne(lists.map(({ length }) => length), "ranks");
  return lists[0].map((first, k) => {
    const values = lists.map((list) => list[k]);
    if (values.every((value) => value === first)) return { at0: first, perBatch: 0 };
    const perBatch = (values[1] - first) / (batches[1] - batches[0]);
    const at0 = first - perBatch * batches[0];
    const fits = values.every((value, i) => value === at0 + perBatch * batches[i]);
    if (!(fits && Number.isInteger(perBatch) && Number.isInteger(at0))) {
      refuse(
        `${what} has ${values.join(", ")} along axis ${k} for batches of ${batches.join(", ")}`,
      );
    }
    return { at0, perBatch };
  });
}

function constantValues(constants: readonly Constant[], batches: readonly number[]): Linear[] {
  const [{ type }] = constants;
  const values = constants.map(({ values }) => values);
  const linear = fitLinear(values, { batches, what: "a constant" });
  if (!(type === "int64" || type === "int32") && !isFixed(linear)) {
    refuse(`a constant of an operation is ${values.map((list) => `[${list}]`).join(", ")}`);
  }
  return linear;
}

function signature({ op, domain, attributes, inputs, outputs }: GraphNode): string {
  const kinds = inputs.map((input) => !input ? "-" : isConstant(input) ? input.type : "x");
  return `${domain}.${op}${JSON.stringify(attributes)}(${kinds}) ${outputs.length}`;
}

/** The row that a known tensor repeats along an axis. */
function row({ shape, data }: Storage, axis: number): Data {
  const n = shape[axis], inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const out = data!.slice(0, outer * inner);
  for (let i = 0; i < data!.length; i++) {
    const place = Math.floor(i / (n * inner)) * inner + i % inner;
    if (Math.floor(i / inner) % n === 0) out[place] = data![i];
    else if (!Object.is(out[place], data![i])) refuse(`a constant [${shape}] has unequal rows`);
  }
  return out;
}

function sameData(a: Data, b: Data): boolean {
  return a === b || a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

function requireOne(values: readonly unknown[], what: string): void {
  if (values.some((value) => value !== values[0])) {
    refuse(`the ${what} differ with the batch: ${[...new Set(values)].join(" and ")}`);
  }
}

function refuse(reason: string): never {
  throw new RangeError(
    "Cannot make the batch dynamic as the function must do the same at every batch size: " +
      `${reason}; export it for one batch size`,
  );
}
