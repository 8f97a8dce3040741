import * as tf from "@tensorflow/tfjs";
import { treeDispose } from "../engine/tree.ts";
import { openStateDict } from "../io/state_dict_file.ts";
import { checkFloats, type StoredTensor } from "../io/stored_tensor.ts";
import { inceptionConvolutions, type InceptionParams } from "./inception.ts";

/** Of every batch normalisation, as the network was trained with. */
const EPSILON = 1e-3;

/** How many missing names a message lists. */
const NAMED = 5;

/**
 * Reads the weights of the FID Inception-v3 from pytorch-fid's state dict (`pt_inception-2015-12-05-*.pth`) or
 * from a `.safetensors` file with the same names.
 *
 * This library comes with no trained weights. Nor can it read the same network in other packagings: the TorchScript
 * program of NVIDIA that k-diffusion and clean-fid use, and the TensorFlow graph of ADM's evaluator.
 *
 * Errors: what `openStateDict` and `inceptionParams` throw.
 */
export async function loadInception(path: string): Promise<InceptionParams> {
  using file = await openStateDict(path);
  return inceptionParams(file.tensors);
}

/**
 * The network's parameters from the tensors of a state dict: for each convolution NAME `NAME.conv.weight` [O, I, kH, kW]
 * and `NAME.bn.weight`, `.bias`, `.running_mean`, `.running_var` [O]. Other tensors (the classifier, AuxLogits, counts of
 * batches) are not looked at.
 *
 * The normalisation is folded into the convolution: kernel · γ / √(variance + 1e-3), bias β − mean · γ / √(variance + 1e-3).
 *
 * Errors: a TypeError that names the tensors that are missing or hold no floats, a RangeError for another shape.
 */
export function inceptionParams(stored: Record<string, StoredTensor>): InceptionParams {
  const convolutions = inceptionConvolutions();
  checkTensors(stored, convolutions);
  const params: InceptionParams = {};
  try {
    for (const { name, shape } of convolutions) {
      const numbers = (part: string) => stored[`${name}.${part}`].read() as ArrayLike<number>;
      const gamma = numbers("bn.weight"), beta = numbers("bn.bias");
      const mean = numbers("bn.running_mean"), variance = numbers("bn.running_var");
      const scale = Float64Array.from(gamma, (g, o) => g / Math.sqrt(variance[o] + EPSILON));
      const bias = Float32Array.from(beta, (b, o) => b - mean[o] * scale[o]);
      params[name] = {
        kernel: tf.tensor4d(scaledKernel(numbers("conv.weight"), { scale, shape }), shape),
        bias: tf.tensor1d(bias),
      };
      if (!(scale.every(Number.isFinite) && bias.every(Number.isFinite))) {
        throw new RangeError(
          `Cannot load the weights as ${name}.bn must hold finite numbers and variances >= 0`,
        );
      }
    }
    return params;
  } catch (error) {
    treeDispose(params);
    throw error;
  }
}

/** A kernel [O, I, kH, kW] as [kH, kW, I, O], each output scaled. */
function scaledKernel(
  kernel: ArrayLike<number>,
  { scale, shape: [height, width, inputs, outputs] }: {
    scale: Float64Array;
    shape: readonly [number, number, number, number];
  },
): Float32Array {
  const out = new Float32Array(kernel.length);
  const taps = height * width;
  for (let o = 0, from = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let tap = 0; tap < taps; tap++) {
        out[(tap * inputs + i) * outputs + o] = kernel[from++] * scale[o];
      }
    }
  }
  return out;
}

/** Looks at all names, types and shapes before any number is read. */
function checkTensors(
  stored: Record<string, StoredTensor>,
  convolutions: ReturnType<typeof inceptionConvolutions>,
): void {
  const wanted = convolutions.flatMap(({ name, shape: [height, width, inputs, outputs] }) => [
    { name: `${name}.conv.weight`, shape: [outputs, inputs, height, width] },
    ...["weight", "bias", "running_mean", "running_var"].map((part) => (
      { name: `${name}.bn.${part}`, shape: [outputs] }
    )),
  ]);
  const missing = wanted.filter(({ name }) => !Object.hasOwn(stored, name));
  if (missing.length > 0) {
    const names = missing.slice(0, NAMED).map(({ name }) => name).join(", ");
    const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : "";
    throw new TypeError(
      `Cannot load the weights as they must be those of Inception-v3 for FID: ` +
        `${missing.length} of ${wanted.length} tensors are missing, ${names}${more}`,
    );
  }
  for (const { name, shape } of wanted) checkFloats(stored[name], { name, shape });
}
