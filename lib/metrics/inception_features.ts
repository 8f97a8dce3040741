import type * as tf from "@tensorflow/tfjs";
import { compile } from "../engine/compile.ts";
import { treeDispose } from "../engine/tree.ts";
import { extractInBatches, type FeatureExtractor } from "./features.ts";
import { inception, INCEPTION_DIMENSION } from "./inception.ts";
import { inceptionInput, type InceptionPreprocessing } from "./inception_images.ts";
import { loadInception } from "./inception_weights.ts";

/**
 * An extractor of the features that FID is computed on, from a file of trained weights (see `loadInception` for which;
 * the library comes with none).
 *
 * A Fréchet distance on them is FID as published only with pytorch-fid's weights and preprocessing and 50,000 samples
 * against all training pictures; the numbers of k-diffusion, clean-fid and ADM come from other copies of the network and
 * other preprocessing, and differ a little.
 *
 * Images are resized to 299 × 299 whatever their size, so small ones cost as much as large ones: 5.7 G multiply-adds.
 *
 * Errors: what `loadInception` throws, a RangeError for an unknown preprocessing or a batch size under 1.
 */
export async function inceptionExtractor(
  { weights, preprocessing = "pytorch-fid", batchSize = 16 }: {
    weights: string;
    preprocessing?: InceptionPreprocessing;
    batchSize?: number;
  },
): Promise<FeatureExtractor> {
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw new RangeError(
      `Cannot extract features as batchSize must be a whole number >= 1: batchSize is ${batchSize}`,
    );
  }
  const params = await loadInception(weights);
  // the weights are taken from outside: as constants of the graph they are laid out once for the processor
  const run = compile(({ images }: { images: tf.Tensor4D }) => inception(params, images).features);
  return {
    name: "Inception",
    dimension: INCEPTION_DIMENSION,
    extract: (images) =>
      extractInBatches(images, {
        dimension: INCEPTION_DIMENSION,
        batchSize,
        prepare: (part) => inceptionInput(part, preprocessing),
        run: (images) => run({ images }),
      }),
    dispose() {
      run.dispose();
      treeDispose(params);
    },
  };
}
