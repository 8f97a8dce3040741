/**
 * `deno task train`: trains a model in a folder, or goes on with the run that the folder holds.
 *
 * @module
 */
import { basename, join } from "@std/path";
import {
  choiceOption,
  command,
  interruptSignal,
  numberOption,
  runCommand,
  sizeOption,
} from "../lib/command.ts";
import { treeDispose } from "../lib/engine/tree.ts";
import { engineChoices } from "../lib/engine/engine.ts";
import { type ModelPresetName, presets } from "../lib/models/presets.ts";
import { type Progress, progress } from "../lib/progress.ts";
import type { TrainConfig } from "../lib/runs/config.ts";
import { trainConfigJsonSchema } from "../lib/runs/config.ts";
import { fromKDiffusion, isKDiffusion } from "../lib/runs/from_k_diffusion.ts";
import { planTraining, type TrainPlan, type WorkProgress } from "../lib/runs/plan.ts";
import { runTraining, type TrainEvent } from "../lib/runs/train.ts";
import { memory, PROCESS_BYTES } from "../lib/training/memory.ts";
import { openModel } from "./export/trained_model.ts";

const presetNames = Object.keys(presets) as ModelPresetName[];
const count = numberOption({ min: 1, whole: true });

const program = command(
  "train",
  "Train a model on pictures. CONFIG is a JSON file of this library or of k-diffusion; options override it, and\n" +
    "without CONFIG they say all. The same command goes on with a run that was stopped.",
)
  .argument("[CONFIG]", "the configuration: see --schema for its keys")
  .option("--data <path>", "pictures: a folder, an archive, a data set's files, or emoji")
  .option("--size <pixels>", "64, or 64x96 (height x width)", sizeOption)
  .option("--model <preset>", "one of the presets of `deno task flops`", modelOption)
  .option("--batch-size <number>", "images a step", count)
  .option("--accumulate <number>", "parts that a batch is computed in, to save memory", count)
  .option("--images <number>", "training images in all", count)
  .option("--minutes <number>", "stop in order after this time", numberOption({ above: 0 }))
  .option("--learning-rate <number>", "of the optimiser", numberOption({ above: 0 }))
  .option("--augment <share>", "probability of each augmentation", numberOption({ min: 0, max: 1 }))
  .option("--seed <number>", "of everything random", numberOption({ min: 0, whole: true }))
  .option("--demo-every <images>", "images between grids of samples; 0: none", everyOption())
  .option("--evaluate-every <images>", "images between evaluations; 0: none", everyOption())
  .option("--init-from <path>", "trained weights to start from: a run, a .safetensors, a .pth")
  .option("--reset-ema", "make the parameters the averaged ones, and start the average again")
  .option("--tensorboard", "write TensorBoard's event files too")
  .option("--engine <name>", engineChoices.join(", "), choiceOption(engineChoices))
  .option("--out <folder>", "folder of the run (default: runs/<name of CONFIG or data>)")
  .option("--dry-run", "say what would be done, and stop")
  .option("--schema", "print the JSON schema of CONFIG for editors, and stop")
  .action(main);

type Flags = {
  data?: string;
  size?: [number, number];
  model?: ModelPresetName;
  batchSize?: number;
  accumulate?: number;
  images?: number;
  minutes?: number;
  learningRate?: number;
  augment?: number;
  seed?: number;
  demoEvery?: number;
  evaluateEvery?: number;
  initFrom?: string;
  resetEma?: boolean;
  tensorboard?: boolean;
  engine?: TrainConfig["engine"];
  out?: string;
  dryRun?: boolean;
  schema?: boolean;
};

async function main(file: string | undefined, flags: Flags): Promise<void> {
  if (flags.schema) return console.log(JSON.stringify(trainConfigJsonSchema(), null, 2));
  const config = await readConfig(file, flags);
  const dir = flags.out ?? join("runs", nameOf(file ?? flags.data!));
  using interrupt = interruptSignal({
    message: "Stopping; the same command goes on from here. Press Ctrl-C again to stop at once",
  });
  using bars = openBars();
  const plan = await planTraining(config, { dir, onProgress: bars.work });
  bars.end();
  console.log(await describePlan(plan));
  if (flags.dryRun) return;
  const start = flags.initFrom === undefined ? undefined : await openModel(flags.initFrom);
  const events = runTraining(plan, {
    signal: interrupt,
    minutes: flags.minutes,
    initFrom: start,
    resetEma: flags.resetEma,
    onProgress: bars.work,
    onSkip: ({ title, reason }) => console.error(`\nskipped ${title}: ${reason}`),
    onStep: ({ images, loss, gradNorm, noiseScale }) =>
      bars.training(
        plan,
        images,
        [
          `loss ${loss.toFixed(4)}`,
          `gradient norm ${gradNorm.toPrecision(2)}`,
          ...(noiseScale === undefined ? [] : [`noise scale ${noiseScale.toPrecision(2)}`]),
        ].join(", "),
      ),
  });
  for await (const event of events) {
    const line = describe(event, dir);
    if (line === undefined) continue;
    bars.end();
    console.log(line);
    if (event.kind === "start" && start) treeDispose(start.params);
    if (event.kind === "end" && !event.done) Deno.exitCode = interrupt.aborted ? 130 : 0;
  }
}

/** The file's configuration with the flags over it. */
async function readConfig(file: string | undefined, flags: Flags): Promise<TrainConfig> {
  const { config, notes } = await readFile(file, flags);
  for (const note of notes) console.error(`note: ${note}`);
  const { data, size, model, batchSize, accumulate, images, augment, seed, engine } = flags;
  const demo = flags.demoEvery, evaluate = flags.evaluateEvery, lr = flags.learningRate;
  const over = {
    data,
    size,
    model,
    batchSize,
    accumulate,
    images,
    augment,
    seed,
    engine,
    demo: demo === undefined ? undefined : { ...config.demo, every: demo },
    evaluate: evaluate === undefined ? undefined : { ...config.evaluate, every: evaluate },
    log: flags.tensorboard ? { ...config.log, tensorboard: true } : undefined,
    optimiser: lr === undefined ? undefined : { ...config.optimiser ?? { kind: "adamw" }, lr },
  };
  const given = Object.entries(over).filter(([, value]) => value !== undefined);
  return { ...config, ...Object.fromEntries(given) } as TrainConfig;
}

async function readFile(
  file: string | undefined,
  { data }: Flags,
): Promise<{ config: Partial<TrainConfig>; notes: string[] }> {
  if (file === undefined) {
    if (data !== undefined) return { config: {}, notes: [] };
    throw new TypeError(
      "Cannot train as there are no pictures: name them with --data, or a CONFIG",
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    throw new TypeError(
      `Cannot use the configuration ${file} as ${
        error instanceof SyntaxError ? `it is not JSON: ${error.message}` : "it cannot be read"
      }`,
    );
  }
  return isKDiffusion(json)
    ? fromKDiffusion(json, { data })
    : { config: json as Partial<TrainConfig>, notes: [] };
}

/** A word for the folder of a run from a path. */
function nameOf(path: string): string {
  return basename(path).replace(/\.jsonc?$/, "").replace(/[^\w-]+/g, "-") || "run";
}

async function describePlan(plan: TrainPlan): Promise<string> {
  const { config, spec, dataset, cost, engine, dir, resumed } = plan;
  const { size, batchSize, accumulate, images } = config;
  const bytes = engine === "onnxruntime"
    ? PROCESS_BYTES + (await memory(spec, size, { batch: batchSize / accumulate })).total
    : undefined;
  const widths = spec.levels.map(({ depth, width }) => `${depth} x ${width}`).join(", ");
  const classes = spec.numClasses > 0 ? `, ${spec.numClasses} classes` : "";
  const facts = [
    `${dataset.name}: ${dataset.train.length} training and ${dataset.test.length} held-out pictures, ` +
    `${size.join(" x ")} px${classes}`,
    `${(cost.params / 1e6).toFixed(2)} M parameters (layers x width a level: ${widths}), ` +
    `${(cost.macs / 1e9).toFixed(3)} G multiply-adds an image`,
    `batch ${batchSize}${accumulate > 1 ? ` in ${accumulate} parts` : ""}, ` +
    `${images.toLocaleString("en")} images, engine ${engine}` +
    (bytes === undefined ? "" : `, about ${(bytes / 1e9).toFixed(1)} GB of memory`),
    `${resumed ? "going on with" : "results in"} ${dir}`,
    ...dataset.warnings,
  ];
  return `\n${facts.join("\n")}\n`;
}

/** What is printed of an event; most show in the bar alone. */
function describe(event: TrainEvent, dir: string): string | undefined {
  const at = "images" in event ? `${event.images.toLocaleString("en")} images: ` : "";
  switch (event.kind) {
    case "start": {
      const lines = event.skipped.map((what) => `passed over ${what}`);
      if (event.step > 0) lines.push(`${at}going on from step ${event.step}`);
      return lines.length > 0 ? lines.join("\n") : undefined;
    }
    case "evaluation": {
      const { heldOut, distance, best } = event;
      const fd = distance &&
        `, FD (${distance.features}) ${distance.value.toFixed(2)} from ${distance.n} samples`;
      return `${at}held-out loss ${heldOut.mean.toFixed(4)}${best ? " (best)" : ""}${fd ?? ""}`;
    }
    case "demo":
      return `${at}${join(dir, event.file)}`;
    case "end":
      return event.done
        ? `${at}done. Draw pictures with: deno task sample ${dir}`
        : `${at}stopped. The same command goes on`;
    case "steps":
    case "train":
      return undefined;
  }
}

/** One bar at a time: of the training, and of what interrupts it. */
function openBars() {
  let bar: Progress | undefined, label = "";
  const end = () => {
    bar?.end();
    bar = undefined;
    label = "";
  };
  const show = (
    what: string,
    { done, total, unit, note }: { done: number; total: number; unit: string; note?: string },
  ) => {
    if (what !== label) {
      end();
      bar = progress({ total, label: what, unit, initial: done });
      label = what;
    }
    bar!.update(done, note);
  };
  return {
    end,
    [Symbol.dispose]: end,
    work: ({ what, ...progress }: Parameters<WorkProgress>[0]) =>
      show(what, { unit: ["samples", "demo"].includes(what) ? "steps" : "", ...progress }),
    training: ({ config }: TrainPlan, images: number, note: string) =>
      show("training", { done: images, total: config.images, unit: "images", note }),
  };
}

function everyOption() {
  return numberOption({ min: 0, whole: true });
}

function modelOption(text: string): ModelPresetName {
  return choiceOption(presetNames)(text);
}

await runCommand(program);
