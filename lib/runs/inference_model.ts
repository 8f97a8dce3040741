import {
  type LoadedModel,
  loadInferenceCheckpoint,
  loadTrainingCheckpoint,
} from "../io/k_diffusion_checkpoint.ts";
import { parseKDiffusionConfig } from "../io/k_diffusion_config.ts";

/**
 * The model of one of the reference's checkpoints: `.safetensors` for inference, which holds the averaged
 * weights alone, or `.pth` of its training program.
 */
export async function inferenceModel(path: string, weights: "ema" | "raw") {
  const { config, spec, params } = await load(path, weights);
  // the arguments of the model's class alone say nothing of sizes and noise levels
  const known = "levels" in config ? undefined : parseKDiffusionConfig(config);
  return {
    spec,
    params,
    size: known?.size,
    prediction: "edm" as const,
    sigmaData: known?.sigmaData ?? 0.5, // the paper's configurations
    sigmaMin: known?.sigmaMin ?? 0.01,
    sigmaMax: known?.sigmaMax ?? 160,
    classNames: [],
    sampling: {},
    source: path,
  };
}

async function load(path: string, weights: "ema" | "raw"): Promise<LoadedModel> {
  const kind = path.slice(path.lastIndexOf(".") + 1);
  switch (kind) {
    case "safetensors":
      if (weights === "ema") return await loadInferenceCheckpoint(path);
      throw new TypeError(
        `Cannot take other weights as ${path} holds one set of them, the averaged ones usually`,
      );
    case "pth":
    case "pt":
      return loadTrainingCheckpoint(path, { weights: weights === "ema" ? "model_ema" : "model" });
    default:
      throw new TypeError(
        `Cannot read the model as the file must be .safetensors or .pth: it is ${path}`,
      );
  }
}
