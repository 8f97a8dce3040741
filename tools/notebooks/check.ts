/**
 * Lint and types of notebooks.
 *
 * Deno neither lints nor type-checks notebooks, so the cells of each become one module beside it,
 * for as long as the check takes; what is found there is told by cell and line.
 *
 * @module
 */
import { basename, dirname, resolve, toFileUrl } from "@std/path";
import { z } from "zod";
import { deno } from "./deno.ts";
import { codeCells, type NotebookFile } from "./notebook.ts";

/** What one tool says against the notebooks. */
export type Finding = { tool: "lint" | "types"; text: string };

/** A module made of cells; `lines[i]` is where its line `i + 1` comes from. */
type CellModule = NotebookFile & { file: string; code: string; lines: Place[] };
type Place = { number: number; line: number };

/** Lints and type-checks notebooks together; nothing is found where all is well. */
export async function checkNotebooks(
  files: readonly NotebookFile[],
  { signal }: { signal: AbortSignal },
): Promise<Finding[]> {
  if (files.length === 0) return [];
  const modules = files.map(toModule);
  const removeAll = () => {
    for (const { file } of modules) removeIfThere(file);
  };
  // Deno.exit, as after a second Ctrl-C, passes `finally` by but not this
  globalThis.addEventListener("unload", removeAll);
  try {
    for (const { file, code } of modules) await Deno.writeTextFile(file, code);
    const results = [
      await checkLint(modules, signal),
      await checkTypes(modules, signal),
    ];
    return results.filter((finding) => finding !== undefined);
  } finally {
    removeAll();
    globalThis.removeEventListener("unload", removeAll);
  }
}

/** The cells as one module, each below a comment with its number. */
function toModule({ path, notebook }: NotebookFile): CellModule {
  const lines: Place[] = [];
  let code = "";
  for (const cell of codeCells(notebook)) {
    const text = `// [${cell.number}]\n${cell.code.replace(/\n*$/, "\n")}`;
    code += text;
    const count = text.split("\n").length - 1;
    for (let line = 0; line < count; line++) lines.push({ number: cell.number, line });
  }
  const file = resolve(dirname(path), `.${basename(path, ".ipynb")}.nbcheck.ts`);
  return { path, notebook, file, lines, code: `${code}export {};\n` };
}

const lintReport = z.object({
  diagnostics: z.array(z.object({
    filename: z.string(),
    range: z.object({ start: z.object({ line: z.int(), col: z.int() }) }),
    code: z.string(),
    message: z.string(),
    hint: z.string().nullish(),
  })),
  errors: z.array(z.object({ file_path: z.string(), message: z.string() })),
});

async function checkLint(
  modules: readonly CellModule[],
  signal: AbortSignal,
): Promise<Finding | undefined> {
  const { code, text, stdout } = await deno(["lint", "--json", ...names(modules)], { signal });
  if (code === 0) return undefined;
  let report: unknown;
  try {
    report = JSON.parse(stdout);
  } catch {
    return { tool: "lint", text };
  }
  const { diagnostics, errors } = lintReport.parse(report);
  const meant = diagnostics.filter(({ filename, code }) => {
    const module = moduleOf(modules, filename);
    return !(code === "no-unreachable" && module && mayThrow(module));
  });
  const found = meant.map(({ filename, range: { start }, code, message, hint }) => {
    const module = moduleOf(modules, filename);
    const place = module ? placeOf(module, start.line) : `${filename}:${start.line}`;
    return `${place}: ${message} (${code})${hint ? `\n  hint: ${hint}` : ""}`;
  });
  // What does not parse; the same is told, with its place, by the check of types
  const unreadable = errors.map(({ file_path, message }) => {
    const module = moduleOf(modules, file_path);
    return module ? translate(message, [module]) : `${file_path}: ${message}`;
  });
  const texts = [...found, ...unreadable];
  return texts.length === 0 ? undefined : { tool: "lint", text: texts.join("\n") };
}

/** Whether a cell may throw on purpose, so that the cells after it only seem out of reach. */
function mayThrow({ notebook }: CellModule): boolean {
  return notebook.cells.some(({ metadata }) => metadata.tags?.includes("raises-exception"));
}

async function checkTypes(
  modules: readonly CellModule[],
  signal: AbortSignal,
): Promise<Finding | undefined> {
  const { code, text } = await deno(["check", "--quiet", ...names(modules)], { signal });
  if (code === 0) return undefined;
  const told = translate(text, modules).split(/\n*Stack backtrace:/)[0]
    .replace(/\n*error: Type checking failed\..*$/s, "");
  return { tool: "types", text: told };
}

/** Puts notebook, cell and line in the place of every position in a module of cells. */
function translate(text: string, modules: readonly CellModule[]): string {
  return modules.reduce(
    (told, module) =>
      [toFileUrl(module.file).href, module.file].reduce(
        (part, name) =>
          part.replaceAll(
            new RegExp(`${RegExp.escape(name)}(?::(\\d+)(?::(\\d+))?)?`, "g"),
            (_, line?: string) => line ? placeOf(module, Number(line)) : module.path,
          ),
        told,
      ),
    text,
  );
}

function placeOf({ path, lines }: CellModule, line: number): string {
  const place = lines[Math.min(line, lines.length) - 1];
  return place ? `${path} cell [${place.number}] line ${place.line}` : path;
}

function moduleOf(modules: readonly CellModule[], name: string): CellModule | undefined {
  return modules.find(({ file }) => name === file || name === toFileUrl(file).href);
}

function names(modules: readonly CellModule[]): string[] {
  return modules.map(({ file }) => file);
}

function removeIfThere(file: string): void {
  try {
    Deno.removeSync(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
