import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import { preconditioned } from "../diffusion/preconditioning.ts";
import type { Cond } from "../diffusion/types.ts";
import { exportFunction, type ExportInput } from "../engine/onnxruntime/export.ts";
import { treeDispose, treeEntries, treeMap } from "../engine/tree.ts";
import type { HditSpec } from "../models/spec.ts";
import { denoiserMetadata } from "./onnx_metadata.ts";

export { type DenoiserInfo, readDenoiserInfo, readOnnxMetadata } from "./onnx_metadata.ts";

/** What to export, and what the file says of it. */
export type ExportOnnxOptions<P> = {
  model: DiffusionModel<P>;
  /** Not disposed; may be on any engine. */
  params: P;
  /** The size of the images: positions and windows are tables of the file. */
  size: readonly [height: number, width: number];
  sigmaData?: number; // 0.5
  /** With the preconditioning inside: D(x; sigma). Else the inner network F(c_in x, sigma). */
  denoiser?: boolean; // true
  /** Any batch size, instead of `batch`. */
  dynamicBatch?: boolean; // true
  batch?: number; // 1
  /** Length of the sequence that a model with cross-attention attends to. */
  crossTokens?: number;
  classNames?: readonly string[];
  /** The noise levels that samplers of the file should use. */
  sigmaMin?: number; // 0.01, as the paper's configurations
  sigmaMax?: number; // 160
};

/**
 * A model as one ONNX file (opset 18, standard operators alone, weights inside), for ONNX Runtime in
 * Python, in the browser, anywhere.
 *
 * Inputs: `x` [batch, H, W, C] float32, the noisy image; `sigma` [batch] float32; and those that
 * the model has of `class_cond` [batch] int32 (numClasses is the null class), `mapping_cond`
 * [batch, mappingCondDim], `cross_cond` [batch, crossTokens, crossCondDim], `cross_cond_padding`
 * [batch, crossTokens] (1 at padding) and `self_cond` [batch, H, W, C] (zeros for no estimate).
 * Output: `denoised` [batch, H, W, C], or `raw` for the inner network. The batch is dynamic, the size
 * is not. Metadata: the spec, the size, the classes and the noise levels (see `readDenoiserInfo`).
 *
 * @throws {TypeError} where the engine is not onnxruntime.
 * @throws {RangeError} where the size does not fit the model, the names not the classes, or the file
 * would exceed 2 GB.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { hditModel } from "../diffusion/diffusion_model.ts";
 * import { setEngine } from "../engine/engine.ts";
 * import { presets } from "../models/presets.ts";
 * import { exportOnnx, readDenoiserInfo } from "./onnx_export.ts";
 *
 * await setEngine();
 * const model = hditModel(presets.smoke);
 * const params = model.init({ seed: 0, stream: "init" });
 * const file = exportOnnx({ model, params, size: [16, 16], classNames: ["cat", "dog"] });
 * assert.deepEqual(readDenoiserInfo(file).classNames, ["cat", "dog"]);
 * ```
 */
export function exportOnnx<P>(options: ExportOnnxOptions<P>): Uint8Array<ArrayBuffer> {
  const { model, params, size, sigmaData = 0.5, denoiser = true } = options;
  const { dynamicBatch = true, batch = 1 } = options;
  const { classNames = [], sigmaMin = 0.01, sigmaMax = 160 } = options;
  model.check(size);
  if (!(Number.isInteger(batch) && batch >= 1)) {
    throw new RangeError(
      `Cannot export the model as batch must be a whole number >= 1: batch is ${batch}`,
    );
  }
  if (!(classNames.length === 0 || classNames.length === model.numClasses)) {
    throw new RangeError(
      `Cannot export the model as there must be a name a class: ${classNames.length} names, ${model.numClasses} classes`,
    );
  }
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && sigmaMax < Infinity)) {
    throw new RangeError(
      `Cannot export the model as 0 < sigmaMin < sigmaMax must hold: sigmaMin is ${sigmaMin}, sigmaMax is ${sigmaMax}`,
    );
  }
  // the runtime reads the arrays in place: nothing is copied where it holds them already
  const own = treeMap(params, (leaf) => tf.tensor(leaf.dataSync(), leaf.shape, leaf.dtype));
  try {
    const apply = (x: tf.Tensor4D, sigma: tf.Tensor1D, cond: Cond) =>
      model.apply(own, { x, sigma, cond });
    const run = denoiser
      ? preconditioned(apply, { kind: model.prediction ?? "edm", sigmaData })
      : apply;
    const output = denoiser ? "denoised" : "raw";
    return exportFunction(({ x, sigma, ...conditions }) => {
      const cond = Object.fromEntries(
        Object.entries(conditions).map(([name, tensor]) => [CONDITIONS[name], tensor]),
      );
      return { [output]: run(x as tf.Tensor4D, sigma as tf.Tensor1D, cond) };
    }, {
      inputs: inputsOf(model, options),
      batch: dynamicBatch ? "dynamic" : batch,
      names: treeEntries(own),
      metadata: denoiserMetadata({
        size,
        channels: model.channels,
        numClasses: model.numClasses,
        classNames: [...classNames],
        sigmaData,
        sigmaMin,
        sigmaMax,
        output,
        spec: model.config,
      }),
    });
  } finally {
    treeDispose(own);
  }
}

/** Conditions as the model names them, by their names in the file. */
const CONDITIONS: Record<string, string> = {
  class_cond: "classCond",
  mapping_cond: "mappingCond",
  cross_cond: "crossCond",
  cross_cond_padding: "crossCondPadding",
  self_cond: "selfCond",
};

function inputsOf<P>(
  { channels, numClasses, config }: DiffusionModel<P>,
  { size: [H, W], crossTokens = 0 }: Pick<ExportOnnxOptions<P>, "size" | "crossTokens">,
): Record<string, ExportInput> {
  const { mappingCondDim = 0, crossCondDim = 0, selfConditioning = false } = config as Partial<
    HditSpec
  >;
  if (crossCondDim > 0 && !(Number.isInteger(crossTokens) && crossTokens >= 1)) {
    throw new RangeError(
      `Cannot export the model as crossTokens must be a whole number >= 1: crossTokens is ${crossTokens}`,
    );
  }
  const float32 = (...shape: number[]): ExportInput => ({
    dtype: "float32",
    shape: ["batch", ...shape],
  });
  return {
    x: float32(H, W, channels),
    sigma: float32(),
    ...(numClasses > 0 && { class_cond: { dtype: "int32", shape: ["batch"] } as const }),
    ...(mappingCondDim > 0 && { mapping_cond: float32(mappingCondDim) }),
    ...(crossCondDim > 0 && {
      cross_cond: float32(crossTokens, crossCondDim),
      cross_cond_padding: float32(crossTokens),
    }),
    ...(selfConditioning && { self_cond: float32(H, W, channels) }),
  };
}
