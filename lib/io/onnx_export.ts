import * as tf from "@tensorflow/tfjs";
import type { DiffusionModel } from "../diffusion/diffusion_model.ts";
import { preconditioned } from "../diffusion/preconditioning.ts";
import type { Cond } from "../diffusion/types.ts";
import {
  ANY_SIZE,
  exportFunction,
  type ExportInput,
  type ExportSize,
} from "../engine/onnxruntime/export.ts";
import { treeDispose, treeEntries, treeMap } from "../engine/tree.ts";
import { anySizeMultiples } from "../models/any_size.ts";
import type { HditSpec } from "../models/spec.ts";
import { denoiserMetadata } from "./onnx_metadata.ts";

export { type DenoiserInfo, readDenoiserInfo, readOnnxMetadata } from "./onnx_metadata.ts";

/** What to export, and what the file says of it. */
export type ExportOnnxOptions<P> = {
  model: DiffusionModel<P>;
  /** Not disposed; may be on any engine. */
  params: P;
  /** The size of the images: positions and windows are tables of the file, unless it takes any size. */
  size: readonly [height: number, width: number];
  /** Any size whose sides are multiples of those that `anySizeMultiples` says. */
  dynamicSize?: boolean; // false
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
 * Output: `denoised` [batch, H, W, C], or `raw` for the inner network. The batch is dynamic, the size too if asked for:
 * then tables of positions and windows are computed in the graph, for all kinds of attention that have `anySize`, and a
 * side that is no multiple is an error of the runtime. Metadata: the spec, the size, the classes and the noise levels
 * (see `readDenoiserInfo`).
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
  const { dynamicBatch = true, batch = 1, dynamicSize = false } = options;
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
  const multiple = dynamicSize ? sizeMultiple(model) : undefined;
  const sides = multiple ? recordedSizes(model, multiple) : { height: size[0], width: size[1] };
  // the runtime reads the arrays in place: nothing is copied where it holds them already
  const own = treeMap(params, (leaf) => tf.tensor(leaf.dataSync(), leaf.shape, leaf.dtype));
  try {
    const apply = (x: tf.Tensor4D, sigma: tf.Tensor1D, cond: Cond) =>
      model.apply(own, { x, sigma, cond, anySize: dynamicSize });
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
      sizes: { batch: dynamicBatch ? ANY_SIZE : batch, ...sides },
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
        ...(multiple && { sizeMultiple: multiple }),
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

/** What the sides of images must be multiples of, in a file for any size. */
function sizeMultiple<P>({ config }: DiffusionModel<P>): [height: number, width: number] {
  const [height, width] = anySizeMultiples(config as HditSpec);
  return [height, width];
}

/** Sizes to record at, unlike each other and the batches: from the smallest that the model takes on. */
function recordedSizes<P>(
  model: DiffusionModel<P>,
  multiple: readonly [height: number, width: number],
): Record<"height" | "width", ExportSize> {
  const fits = (n: number) => {
    try {
      model.check([n * multiple[0], n * multiple[1]]);
      return true;
    } catch {
      return false;
    }
  };
  const least = Array.from({ length: 64 }, (_, i) => i + 2).find(fits) ?? 64; // hdit() then says what is wrong
  const sizes = (n: number, multipleOf: number): ExportSize => ({
    multiples: [n, n + 1, n + 3],
    multipleOf,
  });
  return { height: sizes(least + 4, multiple[0]), width: sizes(least + 8, multiple[1]) };
}

function inputsOf<P>(
  { channels, numClasses, config }: DiffusionModel<P>,
  { crossTokens = 0 }: Pick<ExportOnnxOptions<P>, "crossTokens">,
): Record<string, ExportInput> {
  const { mappingCondDim = 0, crossCondDim = 0, selfConditioning = false } = config as Partial<
    HditSpec
  >;
  if (crossCondDim > 0 && !(Number.isInteger(crossTokens) && crossTokens >= 1)) {
    throw new RangeError(
      `Cannot export the model as crossTokens must be a whole number >= 1: crossTokens is ${crossTokens}`,
    );
  }
  const float32 = (...shape: (number | string)[]): ExportInput => ({
    dtype: "float32",
    shape: ["batch", ...shape],
  });
  return {
    x: float32("height", "width", channels),
    sigma: float32(),
    ...(numClasses > 0 && { class_cond: { dtype: "int32", shape: ["batch"] } as const }),
    ...(mappingCondDim > 0 && { mapping_cond: float32(mappingCondDim) }),
    ...(crossCondDim > 0 && {
      cross_cond: float32(crossTokens, crossCondDim),
      cross_cond_padding: float32(crossTokens),
    }),
    ...(selfConditioning && { self_cond: float32("height", "width", channels) }),
  };
}
