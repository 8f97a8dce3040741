/**
 * Checks notebooks and runs them on Deno's own kernel: no Python, no Jupyter.
 *
 * Format, lint and types first, then each notebook from top to bottom. Exits with 1 where
 * something is wrong, with 130 when interrupted.
 *
 * @module
 */
import { fromFileUrl, join, relative, resolve } from "@std/path";
import { command, interruptSignal, numberOption, runCommand } from "../lib/command.ts";
import { checkNotebooks } from "./notebooks/check.ts";
import { applyFormat, describeUnformatted, findUnformatted } from "./notebooks/format.ts";
import { type NotebookFile, readNotebook, writeNotebook } from "./notebooks/notebook.ts";
import { runNotebook } from "./notebooks/run.ts";

type Options = { inplace: boolean; check: boolean; fix: boolean; cellSeconds: number };

/** Every notebook of the repository, in the order of their names. */
async function allNotebooks(): Promise<string[]> {
  const folder = fromFileUrl(new URL("../notebooks/", import.meta.url));
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  return names.filter((name) => name.endsWith(".ipynb")).toSorted()
    .map((name) => relative(Deno.cwd(), join(folder, name)));
}

async function readAll(paths: readonly string[]): Promise<NotebookFile[] | undefined> {
  const files: NotebookFile[] = [];
  let failed = false;
  for (const path of paths) {
    try {
      files.push({ path, notebook: await readNotebook(path) });
    } catch (error) {
      failed = true;
      console.log(`FAIL  ${path}\n${indent(error instanceof Error ? error.message : `${error}`)}`);
    }
  }
  return failed ? undefined : files;
}

/** Formats the cells in the notebooks' files. */
async function fixFormat(files: readonly NotebookFile[], signal: AbortSignal): Promise<void> {
  for (const file of files) {
    const unformatted = await findUnformatted(file, { signal });
    if (unformatted.cells.length === 0) continue;
    applyFormat(file.notebook, unformatted);
    await writeNotebook(file.path, file.notebook);
    console.log(`ok    formatted ${count(unformatted.cells.length, "cell")} of ${file.path}`);
  }
}

/** Checks format, lint and types, and says what is wrong; whether nothing is. */
async function check(files: readonly NotebookFile[], signal: AbortSignal): Promise<boolean> {
  const unformatted: string[] = [];
  for (const file of files) {
    unformatted.push(...describeUnformatted(file, await findUnformatted(file, { signal })));
  }
  if (unformatted.length > 0) {
    const hint = "`deno task notebooks --fix` formats them";
    console.log(`FAIL  format\n${indent([...unformatted, hint].join("\n"))}`);
  }
  const findings = await checkNotebooks(files, { signal });
  for (const { tool, text } of findings) console.log(`FAIL  ${tool}\n${indent(text)}`);
  if (unformatted.length + findings.length > 0) return false;
  console.log(`ok    format, lint and types of ${count(files.length, "notebook")}`);
  return true;
}

/** Runs one notebook and says how it went; whether it went well. */
async function runOne(
  { path, notebook }: NotebookFile,
  { inplace, cellSeconds, signal }: Options & { signal: AbortSignal },
): Promise<boolean> {
  const start = performance.now();
  const bar = Deno.stderr.isTerminal() ? cellBar(path) : undefined;
  const outcome = await runNotebook(notebook, {
    path,
    cellSeconds,
    signal,
    onCell: ({ number }, total) => bar?.update(number - 1, total),
  }).finally(() => bar?.clear());
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (outcome.kind === "failed") {
    await new Promise((resolve) => setTimeout(resolve, 50));
    signal.throwIfAborted(); // a Ctrl-C may reach the kernel first
    console.log(`FAIL  ${path} cell [${outcome.cell}] after ${seconds} s`);
    console.log(indent([outcome.reason, outcome.detail].filter(Boolean).join("\n")));
    return false;
  }
  if (inplace) await writeNotebook(path, notebook);
  console.log(`ok    ${path}, ${count(outcome.cells, "cell")} in ${seconds} s`);
  return true;
}

/** Which cell is running, on one line of a terminal. */
function cellBar(path: string) {
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  return {
    update: (done: number, total: number) => write(`\r\x1b[K      ${path} [${done + 1}/${total}]`),
    clear: () => write("\r\x1b[K"),
  };
}

/** Whether all went well. */
async function main(names: readonly string[], options: Options): Promise<boolean> {
  using signal = interruptSignal({ message: "Stopping" });
  const files = await readAll(names.length > 0 ? await located(names) : await allNotebooks());
  if (files === undefined) return false;
  if (files.length === 0) console.log("ok    no notebooks");
  if (options.fix) await fixFormat(files, signal);
  if (options.check && files.length > 0 && !await check(files, signal)) return false;
  let failed = 0;
  for (const file of files) {
    if (!await runOne(file, { ...options, signal })) failed++;
  }
  return failed === 0;
}

/** Paths as given; a task runs in the root, so they may be meant from where it was called. */
function located(names: readonly string[]): Promise<string[]> {
  const from = Deno.env.get("INIT_CWD") ?? Deno.cwd();
  return Promise.all(names.map(async (name) => {
    const isHere = await Deno.stat(name).then(() => true, () => false);
    return isHere ? name : relative(Deno.cwd(), resolve(from, name));
  }));
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "      ");
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

if (import.meta.main) {
  const program = command("notebooks", "Checks notebooks and runs them on Deno's own kernel")
    .argument("[files...]", "notebooks (default: notebooks/*.ipynb)")
    .option("--inplace", "write the outputs into the notebooks", false)
    .option("--fix", "format the cells first, in the notebooks' files", false)
    .option("--no-check", "leave out format, lint and types")
    .option(
      "--cell-seconds <n>",
      "longest time that a cell may take",
      numberOption({ above: 0, max: 86_400 }),
      300,
    )
    .action(async (names: string[], options: Options) => {
      try {
        if (!await main(names, options)) Deno.exitCode = 1;
      } catch (error) {
        if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
        Deno.exitCode = 130;
      }
    });
  await runCommand(program);
}
