/**
 * What a training run is going to do, found out before it does any of it.
 *
 * @module
 */
import type { Dataset } from "../data/dataset.ts";
import { detectDataSource } from "../data/detect.ts";
import { type DataSource, openDataset } from "../data/open_dataset.ts";
import { currentEngine, type EngineName, setEngine } from "../engine/engine.ts";
import { checkFeatureSpec } from "../metrics/open_features.ts";
import { type Cost, cost } from "../models/cost.ts";
import type { HditSpec } from "../models/spec.ts";
import { modelFor, resolveConfig, type ResolvedConfig, type TrainConfig } from "./config.ts";
import { checkSameRun, readRunConfig } from "./folder.ts";

/** How far something has come that takes a while. */
export type WorkProgress = (
  progress: { what: string; done: number; total: number; note?: string },
) => void;

/** A run that is ready to go. */
export type TrainPlan = {
  dir: string;
  config: ResolvedConfig & { data: DataSource };
  spec: HditSpec;
  dataset: Dataset;
  cost: Cost;
  engine: EngineName;
  /** Whether the folder holds this run already. */
  resumed: boolean;
};

/** What may change when a run is gone on with: its length, and what does not touch the parameters. */
const FREE = ["images", "sampling", "demo", "evaluate", "log", "save", "engine"];

/** A plan's configuration as `config.json` has it, which is a configuration again: with the model as it is trained. */
export function configFile({ config, spec }: Pick<TrainPlan, "config" | "spec">): TrainConfig {
  const { given: _, ...rest } = config;
  return { ...rest, model: spec } as unknown as TrainConfig;
}

/** What decides the parameters that a run ends with. */
function identityOf(config: object): unknown {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !FREE.includes(key)));
}

/**
 * Checks a configuration, sets the engine, opens the pictures and looks into the run's folder. Writes nothing there.
 *
 * @throws {TypeError|RangeError} before any long work, where something does not fit.
 */
export async function planTraining(
  asked: TrainConfig,
  { dir, onProgress }: { dir: string; onProgress?: WorkProgress | undefined },
): Promise<TrainPlan> {
  const resolved = resolveConfig(asked);
  const data = typeof resolved.data === "string" ? detectDataSource(resolved.data) : resolved.data;
  const config = { ...resolved, data }, { size } = config;
  const saved = await readRunConfig(dir);
  const dataset = await openDataset(data, {
    size,
    onProgress: ({ what, ...rest }) => onProgress?.({ what: "pictures", ...rest, note: what }),
  });
  const spec = modelFor(config, dataset);
  if (saved) {
    const same = { saved: identityOf(saved), asked: identityOf(configFile({ config, spec })) };
    checkSameRun(dir, same);
  }
  await setEngine(config.engine);
  if (config.evaluate.samples > 0) await checkFeatureSpec(config.evaluate.features);
  return {
    dir,
    config,
    spec,
    dataset,
    cost: cost(spec, size),
    engine: currentEngine(),
    resumed: saved !== undefined,
  };
}
