import type { KDiffusionConfig, KDiffusionDataset } from "../io/k_diffusion_config.ts";
import { parseKDiffusionConfig } from "../io/k_diffusion_config.ts";
import type { TrainConfig } from "./config.ts";

/** Whether a parsed file is a configuration of the reference: its model has a type. */
export function isKDiffusion(json: unknown): boolean {
  const model = (json as { model?: { type?: unknown } } | null)?.model;
  return typeof model === "object" && typeof model?.type === "string";
}

/**
 * A configuration of the reference as one of this library, and what of it has no effect, in words.
 *
 * `data` replaces the file's own data set, which the reference may take from where this library cannot: a hub, a Python
 * function. Batch size, length and demos are options of the reference's command, not of its files: they are this
 * library's defaults. Throws as `parseKDiffusionConfig` does, and a TypeError where data must be given.
 */
export function fromKDiffusion(
  json: unknown,
  { data }: { data?: string | undefined } = {},
): { config: TrainConfig; notes: string[] } {
  const file = parseKDiffusionConfig(json);
  const { dataset, sigmaMin, sigmaMax, notes } = file;
  return {
    config: {
      data: data ?? locationOf(dataset),
      size: [...file.size],
      model: file.spec as TrainConfig["model"] & object,
      sigmaData: file.sigmaData,
      weighting: file.weighting,
      density: finite(file.density),
      lossScales: file.lossScales,
      optimiser: optimiserOf(file),
      lrSchedule: file.lrSched,
      ema: file.emaSched,
      classDropout: dataset.condDropoutRate,
      augment: file.augmentProb,
      // what the reference draws its demonstrations with
      sampling: {
        sampler: { kind: "dpmpp-2m-sde", solver: "heun", eta: 0 },
        steps: 50,
        sigmaMin,
        sigmaMax,
      },
    } as TrainConfig,
    notes: file.optimizer.kind === "adam8bit"
      ? [...notes, "optimizer.type adam8bit is trained as adamw, in float32"]
      : notes,
  };
}

function locationOf({ kind, location }: KDiffusionDataset): string {
  if (location !== undefined && kind !== "huggingface" && kind !== "custom") return location;
  throw new TypeError(
    `Cannot train from the k-diffusion configuration as its data set must be a folder or file here: ` +
      `dataset.type is ${JSON.stringify(kind)}, dataset.location is ${JSON.stringify(location)}; ` +
      "name the pictures with --data",
  );
}

function optimiserOf({ optimizer }: KDiffusionConfig): TrainConfig["optimiser"] {
  if (optimizer.kind === "sgd") return optimizer;
  const { lr, betas, eps, weightDecay } = optimizer;
  return { kind: "adamw", lr, betas: [...betas], eps, weightDecay };
}

/** Plain JSON has no infinity: an open range ends at the largest level that training ever clips to. */
function finite(density: KDiffusionConfig["density"]): KDiffusionConfig["density"] {
  return "maxValue" in density && density.maxValue === Infinity
    ? { ...density, maxValue: Number.MAX_VALUE }
    : density;
}
