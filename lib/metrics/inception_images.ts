import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../data/dense.ts";
import { resizeImages } from "../data/resize.ts";
import { INCEPTION_SIZE } from "./inception.ts";

/**
 * How images become what the network takes. Distances with different preprocessing cannot be compared: on small pictures
 * it matters as much as a good model does.
 *
 * - `pytorch-fid`: bilinear, not antialiased; from [0, 1] to [-1, 1].
 * - `k-diffusion`: bicubic, antialiased; to [0, 255], clipped, then (x − 128) / 128, as clean-fid's network does.
 */
export type InceptionPreprocessing = "pytorch-fid" | "k-diffusion";

/**
 * What the network takes, [N, 299, 299, 3], of images [N, H, W, 3] in [-1, 1]. Images are not rounded to bytes first, as
 * saved ones are.
 *
 * Sources: `InceptionV3.forward` of pytorch-fid, `InceptionV3FeatureExtractor` of k-diffusion.
 */
export function inceptionInput(
  images: NdArray<Float32Array>,
  preprocessing: InceptionPreprocessing,
): NdArray<Float32Array> {
  const size = { height: INCEPTION_SIZE, width: INCEPTION_SIZE };
  switch (preprocessing) {
    case "pytorch-fid": // bilinear weights sum to 1, so that resizing before or after the scaling is the same
      return resizeImages(images, { ...size, kernel: "bilinear", antialias: false });
    case "k-diffusion": {
      const resized = resizeImages(images, { ...size, kernel: "bicubic", antialias: true });
      const values = denseData(resized).map((value) =>
        (Math.min(255, Math.max(0, value * 127.5 + 127.5)) - 128) / 128
      );
      return ndarray(values, resized.shape);
    }
    default:
      throw new RangeError(
        `Cannot prepare images for Inception as preprocessing must be pytorch-fid or k-diffusion: ` +
          `it is ${preprocessing satisfies never}`,
      );
  }
}
