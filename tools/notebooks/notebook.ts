/**
 * Notebook files: nbformat 4, as far as a Deno notebook needs it.
 *
 * @module
 */
import { z } from "zod";
import { parseConfig } from "../../lib/config.ts";
import { writeTextFileAtomic } from "../../lib/io/atomic.ts";

/** Text as one string or, as front ends save it, as lines that keep their line ends. */
const text = z.union([z.string(), z.array(z.string())]);
const bundle = z.record(z.string(), z.unknown());
const metadata = z.looseObject({ tags: z.array(z.string()).optional() });

const output = z.discriminatedUnion("output_type", [
  z.strictObject({ output_type: z.literal("stream"), name: z.enum(["stdout", "stderr"]), text }),
  z.strictObject({ output_type: z.literal("display_data"), data: bundle, metadata: bundle }),
  z.strictObject({
    output_type: z.literal("execute_result"),
    data: bundle,
    metadata: bundle,
    execution_count: z.int().min(0).nullable(),
  }),
  z.strictObject({
    output_type: z.literal("error"),
    ename: z.string(),
    evalue: z.string(),
    traceback: z.array(z.string()),
  }),
]);

const common = {
  id: z.string().regex(/^[\w-]{1,64}$/).optional(),
  metadata,
  source: text,
};
const attachments = z.record(z.string(), bundle).optional();
const cell = z.discriminatedUnion("cell_type", [
  z.strictObject({ cell_type: z.literal("markdown"), ...common, attachments }),
  z.strictObject({ cell_type: z.literal("raw"), ...common, attachments }),
  z.strictObject({
    cell_type: z.literal("code"),
    ...common,
    execution_count: z.int().min(0).nullable(),
    outputs: z.array(output),
  }),
]);

const notebook = z.strictObject({
  nbformat: z.literal(4),
  nbformat_minor: z.int().min(0),
  metadata: z.looseObject({
    kernelspec: z.looseObject({ name: z.literal("deno"), display_name: z.string() }),
    // Without it `deno fmt` passes the notebook by
    language_info: z.looseObject({ name: z.literal("typescript") }),
  }),
  cells: z.array(cell),
}).superRefine(({ cells, nbformat_minor }, context) => {
  const seen = new Set<string>();
  for (const [i, { id }] of cells.entries()) {
    const path = ["cells", i, "id"];
    const needed = nbformat_minor >= 5; // nbformat 4.5 brought cell ids
    const message = needed && id === undefined
      ? "every cell needs an id from nbformat_minor 5 on"
      : !needed && id !== undefined
      ? "cells have no id before nbformat_minor 5"
      : id !== undefined && seen.has(id)
      ? "every cell needs an id of its own"
      : undefined;
    if (message !== undefined) context.addIssue({ code: "custom", path, message });
    if (id !== undefined) seen.add(id);
  }
});

/** A notebook. */
export type Notebook = z.output<typeof notebook>;
/** One output of a cell. */
export type Output = z.output<typeof output>;
/** A cell with code. */
export type CodeCell = Extract<Notebook["cells"][number], { cell_type: "code" }>;

/** A notebook and where it was read. */
export type NotebookFile = { path: string; notebook: Notebook };

/** A code cell with its number, which is the one that a run shows beside it: `[3]`. */
export type NumberedCell = { number: number; code: string; cell: CodeCell };

/**
 * Reads a notebook and checks it.
 *
 * @throws {TypeError | RangeError | SyntaxError} where it is not a Deno notebook in nbformat 4.
 */
export async function readNotebook(path: string): Promise<Notebook> {
  const content = await Deno.readTextFile(path);
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new SyntaxError(`Cannot use ${path} as it is not JSON`, { cause: error });
  }
  checkNotebook(value, path);
  return value;
}

/** Asserts that a value is a notebook; the value keeps the order of its keys. */
export function checkNotebook(value: unknown, path: string): asserts value is Notebook {
  parseConfig(notebook, value, { what: path });
}

/** Writes a notebook as front ends do; a reader sees the old file or the new one, nothing between. */
export async function writeNotebook(path: string, value: Notebook): Promise<void> {
  checkNotebook(value, path);
  await writeTextFileAtomic(path, JSON.stringify(value, null, 1) + "\n");
}

/** The cells that run: those with code that is not blank. */
export function codeCells(notebook: Notebook): NumberedCell[] {
  return notebook.cells
    .filter((cell) => cell.cell_type === "code")
    .map((cell) => ({ cell, code: [cell.source].flat().join("") }))
    .filter(({ code }) => code.trim() !== "")
    .map(({ cell, code }, i) => ({ number: i + 1, code, cell }));
}
