/**
 * The format of notebooks.
 *
 * `deno fmt --check` calls every notebook unformatted whose cells do not end in a line end, even
 * where `deno fmt` has just written it so (2.9.6; its cache hides that on the machine that
 * formatted). So `deno.json` keeps notebooks from it, and its own output is compared here.
 *
 * @module
 */
import { dirname } from "@std/path";
import { deno } from "./deno.ts";
import { codeCells, type Notebook, type NotebookFile } from "./notebook.ts";

/** A notebook's cells that `deno fmt` would write otherwise. */
export type Unformatted = {
  /** Positions among all cells, with the formatted text. */
  cells: { index: number; text: string }[];
};

/**
 * Finds the cells that are not formatted; none in a notebook that does not parse.
 *
 * @throws the signal's reason, where it is aborted.
 */
export async function findUnformatted(
  { path, notebook }: NotebookFile,
  { signal }: { signal: AbortSignal },
): Promise<Unformatted> {
  const bare = {
    nbformat: 4,
    nbformat_minor: 4,
    metadata: { language_info: { name: "typescript" } },
    cells: notebook.cells.map((cell) => ({
      cell_type: cell.cell_type,
      metadata: {},
      source: [`${sourceOf(cell)}\n`],
      ...(cell.cell_type === "code" ? { execution_count: null, outputs: [] } : {}),
    })),
  };
  const { code, stdout } = await deno(["fmt", "--ext", "ipynb", "-"], {
    cwd: dirname(path),
    stdin: JSON.stringify(bare),
    signal,
  });
  if (code !== 0) return { cells: [] };
  const formatted: { cells: Notebook["cells"] } = JSON.parse(stdout);
  const cells = formatted.cells
    .map((cell, index) => ({ index, text: sourceOf(cell).trimEnd() }))
    .filter(({ index }) => notebook.cells[index].cell_type !== "raw")
    .filter(({ index, text }) => text !== sourceOf(notebook.cells[index]));
  return { cells };
}

/** One line for each cell that is not formatted, with the first line that would change. */
export function describeUnformatted(
  { path, notebook }: NotebookFile,
  { cells }: Unformatted,
): string[] {
  const numbers = new Map(codeCells(notebook).map(({ cell, number }) => [cell, number]));
  return cells.map(({ index, text }) => {
    const cell = notebook.cells[index];
    const number = cell.cell_type === "code" ? numbers.get(cell) : undefined;
    const name = number === undefined
      ? `${cell.cell_type} cell, number ${index + 1} of all`
      : `cell [${number}]`;
    const now = sourceOf(cell).split("\n");
    const wanted = text.split("\n");
    const line = now.findIndex((part, i) => part !== wanted[i]);
    const change = line < 0
      ? "more lines"
      : `${JSON.stringify(now[line])} becomes ${JSON.stringify(wanted[line] ?? "")}`;
    return `${path} ${name} line ${Math.max(line, 0) + 1}: ${change}`;
  });
}

/** Writes the formatted text into the cells of a notebook in memory. */
export function applyFormat(notebook: Notebook, { cells }: Unformatted): void {
  for (const { index, text } of cells) {
    notebook.cells[index].source = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  }
}

function sourceOf({ source }: Notebook["cells"][number]): string {
  return [source].flat().join("");
}
