import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";

const tool = fromFileUrl(new URL("../../tools/notebooks.ts", import.meta.url));

type Cell = string | { code: string; tags: string[] } | { markdown: string };

/** A notebook in nbformat 4.5 with such cells. */
function notebook(cells: readonly Cell[], metadata: Record<string, unknown> = {}) {
  return {
    cells: cells.map((cell, i) => {
      const id = `cell-${i}`;
      if (typeof cell === "object" && "markdown" in cell) {
        return { cell_type: "markdown", id, metadata: {}, source: [cell.markdown] };
      }
      const { code, tags } = typeof cell === "string" ? { code: cell, tags: [] } : cell;
      const source = code.match(/[^\n]*\n|[^\n]+$/g) ?? [];
      return {
        cell_type: "code",
        id,
        metadata: { tags },
        execution_count: null,
        outputs: [],
        source,
      };
    }),
    metadata: {
      kernelspec: { name: "deno", display_name: "Deno", language: "typescript" },
      language_info: { name: "typescript", file_extension: ".ts" },
      ...metadata,
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

type Run = {
  code: number;
  /** What was printed, without the folder's path and with single spaces. */
  text: string;
  /** The notebook's outputs after the run, by code cell. */
  outputs: unknown[][];
  /** The notebook's text before and after the run. */
  before: string;
  after: string;
  /** What lies in the folder after the run. */
  names: string[];
};

/** Runs the tool on a notebook in a folder of its own, outside the repository. */
async function run(
  value: ReturnType<typeof notebook> | string,
  options: { args?: string[]; files?: Record<string, string>; interruptAfter?: RegExp } = {},
): Promise<Run> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "hdit-notebooks-" }));
  try {
    const files: Record<string, string> = {
      "deno.json": '{ "fmt": { "lineWidth": 100 } }',
      "n.ipynb": typeof value === "string" ? value : JSON.stringify(value),
      ...options.files,
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", tool, ...options.args ?? [], "n.ipynb"],
      cwd: folder,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = new Response(child.stderr).text();
    let text = "";
    let interrupt = options.interruptAfter;
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (interrupt?.test(text.replaceAll(/ +/g, " "))) {
        interrupt = undefined;
        child.kill("SIGINT");
      }
    }
    const { code } = await child.status;
    const after = await Deno.readTextFile(join(folder, "n.ipynb"));
    const cells: { outputs?: unknown[] }[] = typeof value === "string"
      ? []
      : JSON.parse(after).cells;
    return {
      code,
      text: (text + await stderr).replaceAll(folder, "").replaceAll(/ +/g, " "),
      outputs: cells.flatMap(({ outputs }) => outputs ? [outputs] : []),
      before: files["n.ipynb"],
      after,
      names: (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).toSorted(),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("notebooks runs cells in order and leaves the file as it was", async () => {
  const { code, text, before, after, names } = await run(
    notebook([{ markdown: "# Title" }, "const a = 1;", "", 'import { b } from "./b.ts";\na + b;']),
    { files: { "b.ts": "export const b: number = 2;\n" } },
  );
  assert.equal(code, 0, text);
  assert.match(text, /^ok format, lint and types of 1 notebook\nok n\.ipynb, 2 cells in /);
  assert.equal(after, before);
  assert.deepEqual(names, ["b.ts", "deno.json", "n.ipynb"]);
});

Deno.test("notebooks --inplace writes every kind of output", async () => {
  const display = "Deno.jupyter.broadcast";
  const value = notebook([
    'console.log("a");\nconsole.log("b\\nc");\nconsole.error("d");\n1 + 1;',
    `await ${display}("display_data", {
  data: { "text/html": "<b>0</b>\\n0", "application/json": { n: [0] } },
  metadata: {},
  transient: { display_id: "bar" },
});`,
    `await ${display}("update_display_data", {
  data: { "text/html": "<b>1</b>\\n1" },
  metadata: { done: true },
  transient: { display_id: "bar" },
});
console.log("gone");
await ${display}("clear_output", { wait: true });
console.log("kept");`,
    { code: 'throw new RangeError("too far");', tags: ["raises-exception"] },
  ]);
  const { code, text, outputs, after, names } = await run(value, { args: ["--inplace"] });
  assert.equal(code, 0, text);
  const [, , , thrown] = outputs as [unknown, unknown, unknown, { traceback: string[] }[]];
  assert.match(thrown[0].traceback.join("\n"), /too far/);
  assert.deepEqual(outputs, [
    [
      { output_type: "stream", name: "stdout", text: ["a\n", "b\n", "c\n"] },
      { output_type: "stream", name: "stderr", text: ["d\n"] },
      {
        output_type: "execute_result",
        execution_count: 1,
        data: { "text/plain": ["2"] },
        metadata: {},
      },
    ],
    [{
      output_type: "display_data",
      data: { "text/html": ["<b>1</b>\n", "1"] },
      metadata: { done: true },
    }],
    [{ output_type: "stream", name: "stdout", text: ["kept\n"] }],
    [{
      output_type: "error",
      ename: "RangeError",
      evalue: "too far",
      traceback: thrown[0].traceback,
    }],
  ]);
  assert.deepEqual(names, ["deno.json", "n.ipynb"]);
  const counts = JSON.parse(after).cells.map((cell: { execution_count: number }) =>
    cell.execution_count
  );
  assert.deepEqual(counts, [1, 2, 3, 4]);
});

Deno.test("notebooks loses no output of many short cells, and writes the same each time", async () => {
  const cells = Array.from({ length: 60 }, (_, i) => `console.log(${i});\n"result ${i}";`);
  const first = await run(notebook(cells), { args: ["--inplace", "--no-check"] });
  assert.equal(first.code, 0, first.text);
  for (const [i, outputs] of first.outputs.entries()) {
    assert.deepEqual(outputs, [
      { output_type: "stream", name: "stdout", text: [`${i}\n`] },
      {
        output_type: "execute_result",
        execution_count: i + 1,
        data: { "text/plain": [`"result ${i}"`] },
        metadata: {},
      },
    ]);
  }
  const second = await run(first.after, { args: ["--inplace"] });
  assert.equal(second.code, 0, second.text);
  assert.equal(second.after, first.after);
});

Deno.test("progress() shows one bar in a notebook, in its last state, from a loop that blocks too", async () => {
  const module = new URL("../../lib/progress.ts", import.meta.url).href;
  const { imports } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  const names = ["cli-progress", "@types/cli-progress"];
  const { code, text, outputs } = await run(
    notebook([
      `import { inNotebook, progress } from "${module}";
{
  using bar = progress({ total: 20, label: "training", unit: "images" });
  for (let i = 1; i <= 20; i++) {
    const until = performance.now() + 20;
    while (performance.now() < until);
    bar.update(i);
  }
}
inNotebook();`,
    ]),
    {
      args: ["--inplace", "--no-check"],
      files: {
        "deno.json": JSON.stringify({
          imports: Object.fromEntries(names.map((name) => [name, imports[name]])),
        }),
      },
    },
  );
  assert.equal(code, 0, text);
  const [[bar, result]] = outputs as { data: Record<string, string[]> }[][];
  assert.match(bar.data["text/plain"][0], /^training: 20\/20 images \(100 %\) in /);
  assert.match(bar.data["text/html"][0], /^<progress value="1\.0000"/);
  assert.deepEqual(result.data["text/plain"], ["true"]);
  assert.equal(outputs[0].length, 2);
});

Deno.test("notebooks carries an output that takes several reads", async () => {
  const size = 280_000; // the kernel's library drops much larger ones on some machines
  const { code, text, outputs } = await run(notebook([`console.log("x".repeat(${size}));`]), {
    args: ["--inplace"],
  });
  assert.equal(code, 0, text);
  const [[stream]] = outputs as { text: string[] }[][];
  assert.equal(stream.text.join("").length, size + 1);
});

Deno.test("notebooks tells which cell threw, and where", async () => {
  const { code, text, before, after } = await run(
    notebook([
      { markdown: "# Title" },
      "const a = 1;",
      "function f(x: number) {\n  throw new RangeError(`bad ${x}`);\n}\nf(a);",
      'console.log("not reached");',
    ]),
    { args: ["--inplace"] },
  );
  assert.equal(code, 1);
  assert.match(
    text,
    /FAIL n\.ipynb cell \[2\] after .*\n RangeError: bad 1\n.*at f \(<anonymous>:2:9\)/,
  );
  assert.equal(after, before, "a failed run writes nothing");
});

Deno.test("notebooks tells that the kernel ended, and with what", async () => {
  const { code, text } = await run(notebook(["const a = 1;", "console.log(a);\nDeno.exit(3);"]));
  assert.equal(code, 1);
  assert.match(text, /FAIL n\.ipynb cell \[2\] .*\n The kernel ended with exit code 3\n/);
});

Deno.test("notebooks stops a cell at its time limit", async () => {
  const forEver = "while (true);";
  const { code, text } = await run(notebook([forEver]), { args: ["--cell-seconds", "0.5"] });
  assert.equal(code, 1);
  assert.match(
    text,
    /FAIL n\.ipynb cell \[1\] .*\n.*longer than its limit of 0\.5 s \(--cell-seconds/,
  );
});

Deno.test("notebooks tells type, lint and format errors by cell and line", async () => {
  const { code, text, names } = await run(notebook([
    { markdown: "# Title" },
    "const a: number = 1;",
    "// a comment\nconst b: string = a;\nconsole.log(b);",
    "var c = 2;\nconsole.log( c );",
  ]));
  assert.equal(code, 1);
  assert.match(
    text,
    /FAIL format\n n\.ipynb cell \[3\] line 2: "console\.log\( c \);" becomes "console\.log\(c\);"/,
  );
  assert.match(text, /FAIL lint\n n\.ipynb cell \[3\] line 1: .*\(no-var\)/);
  assert.match(
    text,
    /FAIL types\n.*'number' is not assignable to type 'string'[^]*at n\.ipynb cell \[2\] line 2\n/,
  );
  assert.doesNotMatch(text, /nbcheck|Stack backtrace|not reached/);
  assert.deepEqual(names, ["deno.json", "n.ipynb"]);
});

Deno.test("notebooks tells of a missing export, which the kernel would pass over", async () => {
  const files = { "b.ts": "export const b: number = 2;\n" };
  const { code, text } = await run(notebook(['import { c } from "./b.ts";\nconsole.log(c);']), {
    files,
  });
  assert.equal(code, 1);
  assert.match(text, /has no exported member 'c'[^]*at n\.ipynb cell \[1\] line 1/);
});

Deno.test("notebooks tells of code that does not parse", async () => {
  const { code, text } = await run(notebook(["const a = 1;\nconsole.log(a);", "\n\nconst b = ;"]));
  assert.equal(code, 1);
  assert.match(text, /Expression expected[^]*at n\.ipynb cell \[2\] line 3/);
});

Deno.test("notebooks --no-check runs what has type errors", async () => {
  const { code, text } = await run(notebook(['const a: number = "1";']), { args: ["--no-check"] });
  assert.equal(code, 0, text);
});

Deno.test("notebooks --fix formats code and text in the file", async () => {
  const { code, text, after } = await run(
    notebook([{ markdown: "*  item" }, "const a=1\nconsole.log( a )"]),
    { args: ["--fix"] },
  );
  assert.equal(code, 0, text);
  assert.match(text, /^ok formatted 2 cells of n\.ipynb\n/);
  const sources = JSON.parse(after).cells.map((cell: { source: string[] }) => cell.source);
  assert.deepEqual(sources, [["- item"], ["const a = 1;\n", "console.log(a);"]]);
});

Deno.test("notebooks names what is wrong with a file that is no Deno notebook", async () => {
  const python = notebook(["1;"], { kernelspec: { name: "python3", display_name: "Python 3" } });
  const twice = notebook(["1;", "2;"]);
  twice.cells[1].id = twice.cells[0].id;
  const cases: [value: Parameters<typeof run>[0], text: RegExp][] = [
    ["{", /FAIL n\.ipynb\n Cannot use n\.ipynb as it is not JSON/],
    [python, /metadata\.kernelspec\.name must be "deno": current value is "python3"/],
    [twice, /cells\[1\]\.id: every cell needs an id of its own/],
    [JSON.stringify({ ...twice, nbformat: 3 }), /nbformat must be 4: current value is 3/],
  ];
  for (const [value, expected] of cases) {
    const { code, text } = await run(value);
    assert.equal(code, 1);
    assert.match(text, expected);
  }
});

Deno.test({
  name: "notebooks stops at Ctrl-C, with nothing left behind",
  ignore: Deno.build.os === "windows",
  async fn() {
    const { code, text, names } = await run(
      notebook(["await new Promise((done) => setTimeout(done, 60_000));"]),
      { interruptAfter: /ok format/ },
    );
    assert.equal(code, 130, text);
    assert.deepEqual(names, ["deno.json", "n.ipynb"]);
  },
});

Deno.test("notebooks exits with 2 on wrong usage", async () => {
  const { code, text } = await run(notebook(["1;"]), { args: ["--cell-seconds", "0"] });
  assert.equal(code, 2);
  assert.match(text, /It must be a number > 0/);
});
