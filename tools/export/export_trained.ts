import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { exportOnnx } from "../../lib/io/onnx_export.ts";
import type { TrainedModel } from "./trained_model.ts";

/** The ONNX file of a trained model, at its own size unless told otherwise. */
export function exportTrained(
  { spec, prediction, size: trainedSize, sampling: _, source: __, ...trained }: TrainedModel,
  { size, ...options }: {
    size?: number;
    dynamicSize?: boolean;
    dynamicBatch?: boolean;
    batch?: number;
    denoiser?: boolean;
  } = {},
): Uint8Array<ArrayBuffer> {
  const sides = size === undefined ? trainedSize : [size, size] as const;
  if (!sides) {
    throw new TypeError("Cannot export the model as its size is not known: say --size PIXELS");
  }
  return exportOnnx({
    model: hditModel(spec, { prediction }),
    ...trained,
    ...options,
    size: sides,
  });
}
