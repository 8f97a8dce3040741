import * as tf from "@tensorflow/tfjs";
import { dct2, frequencyWeights } from "./dct.ts";
import { type Preconditioning, type Prediction, scalings } from "./preconditioning.ts";
import { type Cond, type Model, perSample } from "./types.ts";
import { lossWeight, type Weighting } from "./weightings.ts";

/** Clean images, standard normal noise of their shape, and a noise level a sample. */
export type NoisyBatch = {
  images: tf.Tensor4D; // [B, H, W, C]
  noise: tf.Tensor4D; // [B, H, W, C]
  sigma: tf.Tensor1D; // [B]
  cond?: Cond;
};

/** Settings of the loss; `scales` other than 1 weighs frequencies (0: uncapped). */
export type LossOptions = {
  sigmaData: number;
  weighting: Weighting;
  scales?: number; // 1
  prediction?: Prediction | undefined; // edm
};

/**
 * The denoising loss of each sample, before the mean over the batch.
 *
 * loss = w_F(s) mean_HWC (F(cIn (x + s n), s) - (x - cSkip (x + s n)) / cOut)^2, with w_F as in
 * `lossWeight` and the coefficients of `scalings`: w(s) mean_HWC (D - x)^2 whatever the network
 * predicts. With `scales` other than 1 the squared error is taken in a DCT basis and weighted by
 * `frequencyWeights`. The result is [B].
 *
 * Source: EDM, Eq. 8; the paper's Section 4.4 for the weightings.
 */
export function denoisingLoss(
  model: Model,
  { images, noise, sigma, cond = {} }: NoisyBatch,
  { sigmaData, weighting, scales = 1, prediction = "edm" }: LossOptions,
): tf.Tensor1D {
  const batch = { images, noise, sigma, cond };
  const error = outputError(model, batch, { kind: prediction, sigmaData }); // [B, H, W, C]
  const weight = lossWeight(sigma, { weighting, sigmaData, prediction }); // [B]
  return weightedFrequencies(error, scales).mean([1, 2, 3]).mul(weight) as tf.Tensor1D;
}

function weightedFrequencies(error: tf.Tensor4D, scales: number): tf.Tensor4D {
  if (scales === 1) return error.square();
  const [, H, W] = error.shape;
  const weights = tf.tensor4d(frequencyWeights([H, W], scales), [1, H, W, 1]);
  return dct2(error).square().mul(weights) as tf.Tensor4D;
}

/** F minus its target. */
function outputError(
  model: Model,
  { images, noise, sigma, cond = {} }: NoisyBatch,
  preconditioning: Preconditioning,
): tf.Tensor4D {
  const { cSkip, cOut, cIn } = scalings(sigma, preconditioning);
  const noisy = images.add(noise.mul(perSample(sigma, noise))); // x + s n
  const output = model(noisy.mul(perSample(cIn, noisy)), sigma, cond); // [B, H, W, C]
  // (x - cSkip (x + s n)) / cOut, the network's target
  const target = images.sub(noisy.mul(perSample(cSkip, noisy))).div(perSample(cOut, noisy));
  return output.sub(target);
}

/**
 * The loss of a network that also predicts its own log-variance, one number a sample, as a Gaussian
 * negative log-likelihood: mean_HWC (error^2 / exp(logVariance) + logVariance) / 2. The result is [B].
 *
 * `logVariance` is [B]; it belongs to the network's output at the same inputs.
 */
export function denoisingLossWithVariance(
  model: (...args: Parameters<Model>) => { output: tf.Tensor4D; logVariance: tf.Tensor1D },
  batch: NoisyBatch,
  { sigmaData }: { sigmaData: number },
): tf.Tensor1D {
  let logVariance: tf.Tensor1D | undefined;
  const error = outputError(
    (...args) => {
      const result = model(...args);
      logVariance = result.logVariance;
      return result.output;
    },
    batch,
    { kind: "edm", sigmaData },
  );
  const meanSquare = error.square().mean([1, 2, 3]); // [B]
  return meanSquare.div(logVariance!.exp()).add(logVariance!).div(2) as tf.Tensor1D;
}
