/**
 * Runs a notebook from top to bottom on a kernel of its own.
 *
 * @module
 */
import { dirname, resolve } from "@std/path";
import { type Kernel, KernelEnded, startKernel } from "./kernel.ts";
import type { Reply } from "./messages.ts";
import { codeCells, type Notebook, type NumberedCell } from "./notebook.ts";
import { collectOutputs, type Displays, toFile } from "./outputs.ts";

/** How a run went: all cells, or up to one that failed. */
export type Outcome =
  | { kind: "ok"; cells: number }
  | { kind: "failed"; cell: number; reason: string; detail: string };

/** How to run a notebook. */
export type RunNotebookOptions = {
  /** Where the notebook lies; its folder is the kernel's working directory. */
  path: string;
  /** Longest time that a cell may take, in seconds. */
  cellSeconds: number;
  /** Ends the run. */
  signal: AbortSignal;
  /** Called before each cell. */
  onCell?: (cell: NumberedCell, count: number) => void;
};

/**
 * Runs a notebook's cells in order and puts their outputs into it.
 *
 * A cell tagged `raises-exception` may throw. Any other that throws, takes too long or ends the
 * kernel ends the run.
 *
 * @throws the signal's reason, where it is aborted.
 */
export async function runNotebook(
  notebook: Notebook,
  { path, cellSeconds, signal, onCell }: RunNotebookOptions,
): Promise<Outcome> {
  signal.throwIfAborted();
  const displays: Displays = new Map();
  const cells = codeCells(notebook);
  const gathered: { cell: NumberedCell["cell"]; list: () => ReturnType<typeof toFile>[] }[] = [];
  for (const cell of notebook.cells) {
    if (cell.cell_type === "code") Object.assign(cell, { outputs: [], execution_count: null });
  }
  await using kernel = await startKernel({ cwd: resolve(dirname(path)) });
  const stop = () => void kernel.stop();
  signal.addEventListener("abort", stop);
  try {
    for (const numbered of cells) {
      signal.throwIfAborted();
      onCell?.(numbered, cells.length);
      const { cell, number, code } = numbered;
      const outputs = collectOutputs(displays);
      gathered.push({ cell, list: () => outputs.list().map(toFile) });
      const result = await executeWithin(kernel, { code, cellSeconds, onMessage: outputs.add });
      signal.throwIfAborted();
      if (result.kind === "failed") return { cell: number, ...result };
      cell.execution_count = result.reply.execution_count ?? number;
      const mayThrow = cell.metadata.tags?.includes("raises-exception") ?? false;
      if (result.reply.status !== "ok" && !mayThrow) {
        return { kind: "failed", cell: number, ...describeError(result.reply) };
      }
    }
    return { kind: "ok", cells: cells.length };
  } finally {
    signal.removeEventListener("abort", stop);
    // Only now: a later cell may have updated an earlier one's outputs
    for (const { cell, list } of gathered) cell.outputs = list();
  }
}

type Execution =
  | { kind: "replied"; reply: Reply }
  | { kind: "failed"; reason: string; detail: string };

async function executeWithin(
  kernel: Kernel,
  { code, cellSeconds, onMessage }: {
    code: string;
    cellSeconds: number;
    onMessage: Parameters<Kernel["execute"]>[1];
  },
): Promise<Execution> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kernel.stop();
  }, cellSeconds * 1000);
  try {
    return { kind: "replied", reply: await kernel.execute(code, onMessage) };
  } catch (error) {
    if (!(error instanceof KernelEnded)) throw error;
    const reason = late
      ? `The cell ran longer than its limit of ${cellSeconds} s (--cell-seconds raises it)`
      : error.message;
    return { kind: "failed", reason, detail: late ? "" : error.log };
  } finally {
    clearTimeout(timer);
  }
}

/** How much of a traceback is shown, in lines. */
const tail = 12;

function describeError({ status, ename, evalue, traceback }: Reply) {
  const reason = status === "error" ? `${ename}: ${evalue}` : `The kernel answered "${status}"`;
  const lines = traceback.flatMap((part) => part.split("\n")).filter((line) => line !== reason);
  return { reason, detail: lines.slice(-tail).join("\n") };
}
