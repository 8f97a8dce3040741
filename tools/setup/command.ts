/**
 * `deno task setup --engine tensorflow`.
 *
 * @module
 */
import { choiceOption, command, runCommand } from "../../lib/command.ts";
import { removeTensorflow, setUpTensorflow } from "./tensorflow.ts";

const engines = ["onnxruntime", "tensorflow", "cpu"] as const;

type Options = {
  engine: typeof engines[number];
  cuda: boolean;
  remove: boolean;
  yes: boolean;
  dryRun: boolean;
};

const program = command("setup", "Prepare the checkout, and the engine that is named")
  .requiredOption("--engine <name>", `one of ${engines.join(", ")}`, choiceOption(engines))
  .option("--cuda", "tensorflow: with the CUDA libraries, for an NVIDIA GPU", false)
  .option("--remove", "tensorflow: remove what was fetched and built, for all checkouts", false)
  .option("--yes", "do not ask before downloading", false)
  .option("--dry-run", "only say what would be downloaded", false)
  .action(async ({ engine, cuda, remove, yes, dryRun }: Options) => {
    if (engine !== "tensorflow") {
      console.log(`The engine ${engine} needs no set-up`);
      return;
    }
    if (remove) {
      await removeTensorflow();
      return;
    }
    const ask = !yes && Deno.stdin.isTerminal();
    await setUpTensorflow({
      flavour: cuda ? "cuda" : "cpu",
      confirm: (question) => !ask || confirm(question),
      dryRun,
    });
  });

await runCommand(program);
