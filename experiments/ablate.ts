/**
 * `deno task ablate`: the command line of the ablation.
 *
 * @module
 */
import { join } from "@std/path";
import {
  choiceOption,
  command,
  interruptSignal,
  listOption,
  numberOption,
  runCommand,
} from "../lib/command.ts";
import { engineChoices } from "../lib/engine/engine.ts";
import { type Progress, progress } from "../lib/progress.ts";
import { formatTable } from "../lib/table.ts";
import { type AblationEvent, type AblationPlan, planAblation, runAblation } from "./ablation.ts";
import { axisNames } from "./arms.ts";
import { type AblationOptions, presetNames } from "./config.ts";

const program = command("ablate", "Train and compare the paper's ablation arms on real images")
  .option(
    "--preset <name>",
    `what to run: ${presetNames.join(", ")}`,
    choiceOption(presetNames),
    "emoji",
  )
  .option(
    "--axes <list>",
    `what to compare: ${axisNames.join(",")} (default: the preset's)`,
    listOption(choiceOption(axisNames)),
  )
  .option(
    "--seeds <list>",
    "one training of every arm for each seed (default: 0)",
    listOption(numberOption({ min: 0, whole: true })),
  )
  .option(
    "--minutes <number>",
    "how long all of it may take (default: the preset's, 15 for emoji)",
    numberOption({ above: 0 }),
  )
  .option(
    "--images <number>",
    "training images that every arm sees, in place of --minutes",
    numberOption({ min: 1, whole: true }),
  )
  .option("--size <pixels>", "side of the training images", numberOption({ min: 8, whole: true }))
  .option(
    "--data <folder>",
    "a folder of pictures, in place of the preset's; sub-folders are classes",
  )
  .option("--batch-size <number>", "images a step", numberOption({ min: 1, whole: true }))
  .option("--learning-rate <number>", "AdamW's learning rate", numberOption({ above: 0 }))
  .option(
    "--features <kind>",
    "what Fréchet distances are taken on: random, inception:FILE or dinov2:FILE, with trained weights (default: random)",
  )
  .option(
    "--engine <name>",
    `what computes: ${engineChoices.join(", ")} (default: auto)`,
    choiceOption(engineChoices),
  )
  .option(
    "--out <folder>",
    "folder of the run (default: runs/<preset>, or runs/<preset>-<folder> with --data)",
  )
  .option("--dry-run", "measure a few steps, print what would be run, and stop")
  .action(main);

type Flags = AblationOptions & { out?: string; dryRun?: boolean };

async function main({ out, dryRun, ...options }: Flags): Promise<void> {
  const dir = out ?? defaultFolder(options);
  using interrupt = interruptSignal({
    message: "Stopping; the same command goes on from here. Press Ctrl-C again to stop at once",
  });
  using bars = eventBars();
  const context = { dir, command: commandLine(), onEvent: bars.show, signal: interrupt };
  try {
    const plan = await planAblation(options, { ...context, measure: dryRun ?? false });
    bars.end();
    console.log(describePlan(plan));
    if (dryRun) return;
    await runAblation(plan, context);
    bars.end();
    console.log(`\nReport: ${join(dir, "report.html")}`);
  } catch (error) {
    bars.end();
    if (!interrupt.aborted) throw error;
    console.error(`Stopped. The same command goes on: ${context.command}`);
    Deno.exitCode = 130;
  }
}

/** One folder for each preset, and for each folder of pictures. */
function defaultFolder({ preset = "emoji", data }: AblationOptions): string {
  const pictures = data?.replace(/[\\/]+$/, "").split(/[\\/]/).at(-1)?.replace(/[^\w-]+/g, "-");
  return join("runs", pictures ? `${preset}-${pictures}` : preset);
}

/** The command as typed. */
function commandLine(): string {
  const quote = (text: string) =>
    /^[\w./,=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  return ["deno task ablate", ...Deno.args.map(quote)].join(" ");
}

/** A bar for each phase, ended when the next one begins. */
function eventBars(): { show(event: AblationEvent): void; end(): void } & Disposable {
  let bar: Progress | undefined, current = "";
  const end = () => {
    bar?.end();
    bar = undefined;
    current = "";
  };
  const update = (
    { label, unit, done, total, note }: {
      label: string;
      unit: string;
      done: number;
      total: number;
      note?: string;
    },
  ) => {
    if (label !== current) {
      end();
      bar = progress({ total, label, unit, initial: done });
      current = label;
    }
    bar!.update(done, note);
  };
  return {
    end,
    [Symbol.dispose]: end,
    show(event) {
      switch (event.kind) {
        case "data":
          return update({ label: event.what, unit: "pictures", ...event });
        case "measure": {
          const { done, total, arm } = event;
          return update({ label: "measuring a few steps", unit: "arms", done, total, note: arm });
        }
        case "arm": {
          const { arm, seed, phase, size, index, arms, done, total, note } = event;
          const what = `${index + 1}/${arms} ${arm}${seed > 0 ? ` (seed ${seed})` : ""}: `;
          const doing = phase === "train" ? "training" : phase === "sample" ? "sampling" : phase;
          const at = phase === "train" ? "" : ` at ${size} px`;
          const unit = phase === "distance" ? "parts" : "images";
          return update({ label: what + doing + at, unit, done, total, note });
        }
        case "plan":
        case "report":
          return end();
      }
    },
  };
}

function describePlan(plan: AblationPlan): string {
  const { ablation, arms, dataset, images, timings, seconds, dir } = plan;
  const table = formatTable(arms, {
    columns: [
      { title: "arm", value: ({ name }) => name },
      { title: "differs in", value: ({ title }) => title },
      { title: "parameters", value: ({ params }) => `${(params / 1e6).toFixed(2)} M` },
      { title: "GMAC/image", value: ({ macs }) => (macs / 1e9).toFixed(3) },
      { title: "images", value: () => images },
      ...(timings.length === 0 ? [] : [{
        title: "ms/step",
        value: ({ name }: { name: string }) =>
          (1000 * timings.find(({ arm }) => arm === name)!.step).toFixed(0),
      }]),
    ],
  });
  const count = `${dataset.train.length} training and ${dataset.test.length} held-out pictures`;
  const classes = dataset.classes.length > 1 ? `, ${dataset.classes.length} classes` : "";
  const facts = [
    `${dataset.name}: ${count}${classes}, ${ablation.size} px`,
    `batch ${ablation.batchSize}, seeds ${ablation.seeds.join(", ")}` +
    (seconds === undefined ? "" : `, about ${Math.ceil(seconds / 60)} minutes in all`),
    `${plan.resumed ? "going on with" : "results in"} ${dir}`,
    ...dataset.warnings,
  ];
  return `\n${facts.join("\n")}\n\n${table}\n`;
}

await runCommand(program);
