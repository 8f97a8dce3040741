import assert from "node:assert/strict";
import { choiceOption, listOption, numberOption } from "../lib/command.ts";

const module = new URL("../lib/command.ts", import.meta.url).href;
const config = new URL("../deno.json", import.meta.url).pathname;

/** Starts a program that uses the module, in a process of its own. */
function start(body: string, ...args: string[]): Deno.ChildProcess {
  const code = `import * as c from ${JSON.stringify(module)};\n${body}`;
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", "--config", config, code, ...args],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outcome(child: Deno.ChildProcess) {
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const program = `
  const program = c.command("train", "Trains").requiredOption("--minutes <n>", "time", c.numberOption({ above: 0 }))
    .option("--seeds <list>", "seeds", c.listOption(c.numberOption({ min: 0, whole: true })))
    .action(({ minutes, seeds }) => {
      if (minutes === 9) throw new RangeError("Cannot train that long");
      console.log(minutes, seeds);
    });
  await c.runCommand(program, Deno.args);`;

Deno.test("numberOption() takes numbers in its range only, and says which", () => {
  const cases: [range: Parameters<typeof numberOption>[0], wrong: string[], message: string][] = [
    [
      { above: 0 },
      ["0", "-1", "x", "", " ", "NaN", "Infinity", "1e999"],
      "It must be a number > 0",
    ],
    [{ min: 1, max: 8, whole: true }, ["0", "9", "1.5"], "It must be a whole number >= 1 and <= 8"],
    [{ below: 1 }, ["1"], "It must be a number < 1"],
    [{}, ["one"], "It must be a number"],
  ];
  for (const [range, wrong, message] of cases) {
    for (const text of wrong) assert.throws(() => numberOption(range)(text), { message });
  }
  assert.equal(numberOption({ min: 1, max: 8, whole: true })("8"), 8);
});

Deno.test("choiceOption() names the nearest word", () => {
  const choice = choiceOption(["position", "skip"]);
  assert.equal(choice("skip"), "skip");
  assert.throws(() => choice("positon"), {
    message: /one of position, skip\. Did you mean position\?$/,
  });
  assert.throws(() => choice("zzz"), { message: "It must be one of position, skip" });
});

Deno.test("listOption() refuses gaps", () => {
  assert.throws(() => listOption(String)("a,,b"), /no gaps/);
  assert.deepEqual(listOption(String)("a, b"), ["a", "b"]);
});

Deno.test("runCommand() exits with 2 on wrong usage, 1 on a failing action, 0 otherwise", async () => {
  const runs = [
    { args: ["--minutes", "2", "--seeds", "0,1"], code: 0, text: /2 \[ 0, 1 \]/ },
    { args: ["--help"], code: 0, text: /--minutes <n>/ },
    {
      args: ["--minutes", "-3"],
      code: 2,
      text: /'--minutes <n>' argument '-3' is invalid. It must be a number > 0/,
    },
    {
      args: ["--minutes", "3", "--seds", "3"],
      code: 2,
      text: /unknown option '--seds'\n\(Did you mean --seeds\?\)/,
    },
    { args: ["--minutes", "3", "extra"], code: 2, text: /too many arguments/ },
    { args: [], code: 2, text: /required option '--minutes <n>' not specified/ },
    { args: ["--minutes", "9"], code: 1, text: /^error: Cannot train that long\n/ },
  ];
  for (const { args, code, text } of runs) {
    const result = await outcome(start(program, ...args));
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stdout + result.stderr, text);
  }
});

Deno.test({
  name: "interruptSignal() aborts at the first signal and exits at the second",
  ignore: Deno.build.os === "windows",
  async fn() {
    // The program says when it listens and when it was aborted; it ends by itself only in order
    const body = `
      using interrupt = c.interruptSignal({ message: "stopping" });
      console.log("ready");
      const gone = setTimeout(() => Deno.exit(9), 20000);
      await new Promise((done) => interrupt.addEventListener("abort", done));
      console.log("aborted", interrupt.reason.name);
      if (Deno.args[0] === "orderly") clearTimeout(gone);
      else await new Promise(() => {}); // still listening`;
    for (const manner of ["orderly", "stubborn"]) {
      const child = start(body, manner);
      const errors = new Response(child.stderr).text();
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const line = async () => (await reader.read()).value;
      assert.equal(await line(), "ready\n");
      child.kill("SIGTERM");
      assert.equal(await line(), "aborted AbortError\n");
      if (manner === "stubborn") child.kill("SIGINT");
      const { code } = await child.status;
      await reader.cancel();
      assert.equal(code, manner === "orderly" ? 0 : 130);
      assert.equal(await errors, "\nstopping\n");
    }
  },
});
