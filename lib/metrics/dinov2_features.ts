import * as tf from "@tensorflow/tfjs";
import { compile } from "../engine/compile.ts";
import { treeDispose } from "../engine/tree.ts";
import { openStateDict } from "../io/state_dict_file.ts";
import { dinov2, type Dinov2Params, type Dinov2Positions } from "./dinov2.ts";
import { dinov2Images, type Dinov2Preprocessing } from "./dinov2_images.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "./dinov2_weights.ts";
import { extractInBatches, type FeatureExtractor } from "./features.ts";

/** How features are taken. */
export type Dinov2Options = {
  /** How images become 224 × 224; `dgm-eval` unless told. */
  preprocessing?: Dinov2Preprocessing;
  /** How positions are interpolated; `torch.hub` unless told. */
  positions?: Dinov2Positions;
  /** Images that go through the network at once. */
  batchSize?: number;
};

/**
 * An extractor of DINOv2's features: the class token after the last norm, on the current engine.
 *
 * `weights` is a file that you have: a `.pth` of facebookresearch/dinov2, or the `.safetensors` of
 * transformers (`facebook/dinov2-small` and its like). None comes with this library, and
 * none of the published ones has been tried: the network was held to the reference with made-up
 * weights. With those of ViT-L/14 and all else left alone, the Fréchet distance on these features is
 * the FDD of Stein et al. 2023; with those of other models it is not, so the name says which it is.
 * Models with register tokens are refused. `heads` is needed where a head has not 64 channels.
 *
 * An image takes ViT-S/14 6.1 thousand million multiply-adds, 0.16 s on one core of a server, and
 * ViT-L/14 81.
 *
 * `preprocessing: "k-diffusion"` gives what its DINOv2FeatureExtractor does, though in float32
 * where that runs in half precision: other pixels, and features scaled to a norm of √dimension.
 *
 * Errors: those of `openStateDict` and `dinov2FromStateDict`.
 */
export async function dinov2Extractor(
  { weights, heads, ...options }: { weights: string; heads?: number } & Dinov2Options,
): Promise<FeatureExtractor> {
  using file = await openStateDict(weights);
  const model = dinov2FromStateDict(file.tensors, { heads });
  return dinov2ExtractorOf(model, options);
}

/** An extractor from a loaded model, which is freed with it. */
export function dinov2ExtractorOf(
  { params, spec }: { params: Dinov2Params; spec: Dinov2Spec },
  { preprocessing = "dgm-eval", positions = "torch.hub", batchSize = 8 }: Dinov2Options = {},
): FeatureExtractor {
  const { width, heads } = spec;
  const run = compile(({ params, images }: { params: Dinov2Params; images: tf.Tensor4D }) => {
    const { tokens } = dinov2(params, images, { heads, positions });
    const features = tf.reshape(tf.slice(tokens, [0, 0, 0], [-1, 1, -1]), [-1, width]);
    return preprocessing === "k-diffusion" ? scaled(features) : features;
  });
  return {
    name: dinov2Name(spec, { preprocessing, positions }),
    dimension: width,
    extract: (images) =>
      extractInBatches(images, {
        dimension: width,
        batchSize,
        prepare: (part) => dinov2Images(part, preprocessing),
        run: (images) => run({ params, images }),
      }),
    dispose() {
      run.dispose();
      treeDispose(params);
    },
  };
}

/** x √C / ‖x‖ by rows. */
function scaled(x: tf.Tensor): tf.Tensor {
  const norm = tf.maximum(tf.norm(x, "euclidean", 1, true), 1e-12); // torch's F.normalize
  return tf.mul(tf.div(x, norm), Math.sqrt(x.shape[1]!));
}

/** The published sizes by width and depth. */
const SIZES: Record<string, string> = {
  "384 × 12": "ViT-S",
  "768 × 12": "ViT-B",
  "1024 × 24": "ViT-L",
  "1536 × 40": "ViT-g",
};

/** `DINOv2 ViT-S/14`, followed by what is not as dgm-eval has it. */
function dinov2Name(
  { width, depth, patch }: Dinov2Spec,
  { preprocessing, positions }: { preprocessing: string; positions: string },
): string {
  const size = `${width} × ${depth}`;
  return [
    `DINOv2 ${SIZES[size] ?? size}/${patch}`,
    ...(preprocessing === "dgm-eval" ? [] : [`${preprocessing} images`]),
    ...(positions === "torch.hub" ? [] : [`${positions} positions`]),
  ].join(", ");
}
