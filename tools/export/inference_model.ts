import {
  type LoadedModel,
  loadInferenceCheckpoint,
  loadTrainingCheckpoint,
} from "../../lib/io/k_diffusion_checkpoint.ts";
import { parseKDiffusionConfig } from "../../lib/io/k_diffusion_config.ts";
import type { TrainedModel } from "./trained_model.ts";

/**
 * The model of one of the reference's checkpoints: `.safetensors` for inference, or `.pth` of its
 * training program, of which the averaged weights are taken.
 */
export async function inferenceModel(path: string): Promise<TrainedModel> {
  const { config, spec, params } = await load(path);
  // the arguments of the model's class alone say nothing of sizes and noise levels
  const known = "levels" in config ? undefined : parseKDiffusionConfig(config);
  return {
    spec,
    params,
    size: known?.size,
    sigmaData: known?.sigmaData ?? 0.5, // the paper's configurations
    sigmaMin: known?.sigmaMin ?? 0.01,
    sigmaMax: known?.sigmaMax ?? 160,
    classNames: [],
    source: path,
  };
}

async function load(path: string): Promise<LoadedModel> {
  const kind = path.slice(path.lastIndexOf(".") + 1);
  switch (kind) {
    case "safetensors":
      return await loadInferenceCheckpoint(path);
    case "pth":
    case "pt":
      return loadTrainingCheckpoint(path);
    default:
      throw new TypeError(
        `Cannot read the model as the file must be .safetensors or .pth: it is ${path}`,
      );
  }
}
