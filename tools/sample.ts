/**
 * `deno task sample`: draws pictures from a trained model.
 *
 * @module
 */
import { join } from "@std/path";
import { InvalidArgumentError } from "commander";
import {
  choiceOption,
  command,
  interruptSignal,
  listOption,
  numberOption,
  runCommand,
  sizeOption,
} from "../lib/command.ts";
import { scheduleKinds } from "../lib/diffusion/noise_levels.ts";
import { samplerKinds } from "../lib/diffusion/samplers/sampler.ts";
import { currentEngine, engineChoices, setEngine } from "../lib/engine/engine.ts";
import { treeDispose } from "../lib/engine/tree.ts";
import { type ModelChoice, openModel } from "./export/trained_model.ts";
import { classesOf } from "./sample/classes.ts";
import { describePlan } from "./sample/describe.ts";
import { missingSamples } from "./sample/draw.ts";
import { drawAll } from "./sample/draw_all.ts";
import { fingerprint } from "./sample/fingerprint.ts";
import { checkOutputs, type Outputs } from "./sample/outputs.ts";
import { readLowResolution } from "./sample/low_resolution.ts";
import { type DrawingFlags, planSamples, sizeOf, type Source } from "./sample/plan.ts";
import { defaultFolder, openStore } from "./sample/store.ts";

type Flags = DrawingFlags & Outputs & {
  guide?: string;
  lowResolution?: string;
  weights?: "ema" | "raw";
  emaLength?: number;
  arm?: { arm: string; seed?: number };
  engine?: (typeof engineChoices)[number];
  folder?: string;
  force?: boolean;
  dryRun?: boolean;
};

const count = numberOption({ min: 1, whole: true }), level = numberOption({ above: 0 });
const seed = numberOption({ min: 0, whole: true });

const program = command(
  "sample",
  "Draw pictures from a trained model. CHECKPOINT is the folder of a run (runs/emoji), a folder of checkpoints, " +
    "one checkpoint, or a .safetensors or .pth file of k-diffusion. A picture depends on its seed and class, not " +
    "on the batch. Finished pictures are kept, and the same command draws only what is missing.",
)
  .argument("<CHECKPOINT>", "the model")
  .optionsGroup("What:")
  .option("--n <number>", "pictures (default: 16, or one a seed)", count)
  .option(
    "--classes <list>",
    "names or numbers, in turn; none: without a class (default: all)",
    words,
  )
  .option("--seed <number>", "of the first picture, the next one's is one more (default: 0)", seed)
  .option("--seeds <list>", "a seed a picture", listOption(seed))
  .option(
    "--size <pixels>",
    "64, or 64x96 (height x width) (default: that of the training)",
    sizeOption,
  )
  .option(
    "--low-resolution <folder>",
    "small pictures to start from, for a model of superResolution; one is drawn from each",
  )
  .optionsGroup("How:")
  .option("--sampler <name>", `${samplerKinds.join(", ")}`, choiceOption(samplerKinds))
  .option("--steps <number>", "noise levels (default: the run's, or 50)", count)
  .option(
    "--schedule <name>",
    `of noise levels: ${scheduleKinds.join(", ")}`,
    choiceOption(scheduleKinds),
  )
  .option("--sigma-min <number>", "the least noise level (default: the model's)", level)
  .option("--sigma-max <number>", "the largest one (default: the model's)", level)
  .option(
    "--shift <number>",
    "times all levels, for another size: 2 for twice the side (default: 1)",
    level,
  )
  .option(
    "--noise <kind>",
    "brownian: more steps keep the picture; independent",
    choiceOption(["brownian", "independent"]),
  )
  .option("--guidance <scale>", "1: none (default: the run's, or 1)", numberOption())
  .option(
    "--guidance-interval <low,high>",
    "guide only between these noise levels",
    listOption(numberOption({ min: 0 })),
  )
  .option(
    "--guidance-rescale <share>",
    "bring back contrast, 0 to 1 (default: 0)",
    numberOption({ min: 0, max: 1 }),
  )
  .option("--guide <CHECKPOINT>", "a weaker model to guide away from (autoguidance)")
  .optionsGroup("With what:")
  .option("--weights <kind>", "ema: averaged (default), or raw", choiceOption(["ema", "raw"]))
  .option(
    "--ema-length <sigma>",
    "average of another length, such as 0.1, of a run with postHocEma",
    numberOption({ above: 0, below: 0.28 }),
  )
  .option("--arm <name>", "of an ablation run: base, or base-seed1 for another seed", armOption)
  .option("--batch-size <number>", "pictures at once (default: 16)", count)
  .option(
    "--engine <name>",
    `${engineChoices.join(", ")} (default: auto)`,
    choiceOption(engineChoices),
  )
  .optionsGroup("Where to (default: a grid, beside the pictures in runs/samples):")
  .option("--grid <file>", "a PNG file of all pictures", endingIn(["png"]))
  .option("--folder <folder>", "the pictures, one PNG file each")
  .option("--npz <file>", "arrays as the evaluator of ADM reads them", endingIn(["npz"]))
  .option("--webdataset <folder>", "tar shards of 1,000 pictures with classes and seeds")
  .option(
    "--trajectory <file>",
    "how the first one comes about: .png (a strip), .gif or .webp",
    endingIn(["png", "gif", "webp"]),
  )
  .option("--force", "replace these files where they exist")
  .option("--dry-run", "say what would be drawn, and stop")
  .action(main);

async function main(path: string, flags: Flags): Promise<void> {
  const { arm, force = false, emaLength: sigmaRel } = flags, pictures = wantsPictures(flags);
  if (sigmaRel !== undefined && flags.weights !== undefined) {
    throw new TypeError("Cannot use --ema-length and --weights together: leave out one");
  }
  const weights = sigmaRel === undefined ? flags.weights ?? "ema" : { sigmaRel };
  await setEngine(flags.engine ?? "auto");
  const model = await open(path, { weights, ...arm });
  const guide = flags.guide === undefined ? undefined : await open(flags.guide, {});
  const n = pictures || flags.seeds ? flags.n : 1;
  const lowResolution = flags.lowResolution === undefined
    ? undefined
    : await readLowResolution(flags.lowResolution, { model, size: sizeOf(model, flags) });
  const engine = currentEngine();
  const plan = planSamples({ model, guide, lowResolution, engine }, { ...flags, n });
  const { samples, settings } = plan;
  const store = await openStore(flags.folder ?? defaultFolder(path, settings), {
    settings,
    about: { model: model.source, weights, guide: guide?.source, classes: model.classNames },
    classes: classesOf(model),
  });
  const own = join(store.dir, "grid.png"), outputs = outputsOf(flags, own);
  await checkOutputs(outputs, {
    n: samples.length,
    size: settings.size,
    replace: (path) => force || path === own,
  });
  const kept = pictures ? store : undefined;
  console.log(describePlan({ model, guide, plan, store: kept, weights }));
  if (flags.dryRun) return;
  using interrupt = interruptSignal({
    message: "Stopping; the same command goes on from here. Press Ctrl-C again to stop at once",
  });
  try {
    await drawAll({ model, guide }, { plan, store, outputs, pictures, signal: interrupt });
  } catch (error) {
    if (!interrupt.aborted) throw error;
    const left = missingSamples(plan, store).length;
    console.error(`Stopped, with ${left} pictures left to draw. The same command goes on`);
    Deno.exitCode = 130;
  } finally {
    treeDispose([model.params, guide?.params ?? {}]);
  }
}

async function open(path: string, choice: ModelChoice): Promise<Source> {
  const trained = await openModel(path, choice);
  return { ...trained, fingerprint: fingerprint(trained) };
}

/** Whether more is asked for than a trajectory, which needs no pictures. */
function wantsPictures({ grid, npz, webdataset, trajectory, folder, n }: Flags): boolean {
  return !trajectory || [grid, npz, webdataset, folder, n].some((value) => value !== undefined);
}

/** What to write; where nothing else is asked for, a grid beside the pictures. */
function outputsOf({ grid, npz, webdataset, trajectory, folder }: Flags, own: string): Outputs {
  const asked = { grid, npz, webdataset, trajectory };
  const given = Object.entries(asked).filter(([, path]) => path !== undefined);
  return given.length === 0 && folder === undefined ? { grid: own } : Object.fromEntries(given);
}

/** `base` or `base-seed1`. */
function armOption(text: string): { arm: string; seed?: number } {
  const [, arm, seed] = /^(.+?)(?:-seed(\d+))?$/.exec(text) ?? [text, text];
  return { arm, ...(seed !== undefined && { seed: Number(seed) }) };
}

function words(text: string): string[] {
  return listOption((word) => word)(text);
}

function endingIn(endings: readonly string[]): (text: string) => string {
  return (text) => {
    if (endings.some((ending) => text.toLowerCase().endsWith(`.${ending}`))) return text;
    throw new InvalidArgumentError(`It must be a file that ends in .${endings.join(", .")}`);
  };
}

await runCommand(program);
