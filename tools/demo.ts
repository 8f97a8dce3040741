/**
 * `deno task demo`: a static page that samples from an exported model in the browser.
 *
 * @module
 */
import { command, interruptSignal, numberOption, runCommand } from "../lib/command.ts";
import { setEngine } from "../lib/engine/engine.ts";
import { treeDispose } from "../lib/engine/tree.ts";
import { readDenoiserInfo } from "../lib/io/onnx_metadata.ts";
import { serveSite, writeSite } from "./demo/site.ts";
import { exportTrained } from "./export/export_trained.ts";
import { openModel } from "./export/trained_model.ts";

type Flags = {
  model?: string;
  run?: string;
  arm?: string;
  seed?: number;
  size?: number;
  out?: string;
  serve?: boolean;
  port: number;
  force?: boolean;
};

const DEFAULT_RUN = "runs/emoji";
const DEFAULT_OUT = "demo";

const program = command("demo", "Make a static page that samples from a model in the browser")
  .option("--model <file>", "an ONNX file written by deno task export")
  .option("--run <path>", `what deno task export takes (default: ${DEFAULT_RUN})`)
  .option("--arm <name>", "of a run: which arm (default: base)")
  .option("--seed <number>", "of a run: which seed", numberOption({ min: 0, whole: true }))
  .option("--size <pixels>", "side of the images", numberOption({ min: 1, whole: true }))
  .option("--out <folder>", `where to write the page (default: ${DEFAULT_OUT})`)
  .option("--serve", "show the page on this machine; without --out no folder is kept")
  .option("--port <number>", "for --serve", numberOption({ min: 0, max: 65535, whole: true }), 8000)
  .option("--force", "overwrite what the folder holds")
  .action(main);

async function main({ out, serve, port, force = false, ...source }: Flags): Promise<void> {
  const model = await modelFile(source);
  const temporary = serve && out === undefined ? await Deno.makeTempDir() : undefined;
  const folder = temporary ?? out ?? DEFAULT_OUT;
  try {
    const bytes = await writeSite(folder, { model, force });
    if (!temporary) {
      console.log(`Wrote ${folder}: ${(bytes / 1e6).toFixed(1)} MB, for any web server`);
    }
    if (serve) await serveUntilStopped(folder, port);
  } finally {
    if (temporary) await Deno.remove(temporary, { recursive: true });
  }
}

/** The bytes of the model: a file as it is, or exported now. */
async function modelFile(
  { model, run, ...choice }: Pick<Flags, "model" | "run" | "arm" | "seed" | "size">,
): Promise<Uint8Array> {
  if (model !== undefined) {
    const given = Object.entries({ run, ...choice }).find(([, value]) => value !== undefined);
    if (given) throw new TypeError(`Cannot use --model and --${given[0]}: the file is fixed`);
    const file = await Deno.readFile(model);
    readDenoiserInfo(file); // or say why it cannot be used
    return file;
  }
  await setEngine();
  const { arm, seed, size } = choice;
  const trained = await openModel(run ?? DEFAULT_RUN, { arm, seed });
  try {
    return exportTrained(trained, size === undefined ? {} : { size });
  } finally {
    treeDispose(trained.params);
  }
}

async function serveUntilStopped(folder: string, port: number): Promise<void> {
  using interrupt = interruptSignal({ message: "Stopping" });
  const server = serveSite(folder, { port, signal: interrupt });
  console.log(`http://127.0.0.1:${server.addr.port}/ (Ctrl-C stops)`);
  await server.finished;
}

if (import.meta.main) await runCommand(program);
