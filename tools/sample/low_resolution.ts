import { createHash } from "node:crypto";
import ndarray from "ndarray";
import { decodeSquare } from "../../lib/data/decode.ts";
import { isFolder, isImageName, listFiles } from "../../lib/data/list_files.ts";
import { resizeImages } from "../../lib/data/resize.ts";
import type { TrainedModel } from "../../lib/runs/trained_model.ts";

/** Pictures with little detail that a super-resolution model starts from. */
export type LowResolution = {
  /** Each at the size that is drawn, [H, W, C] in [-1, 1]. */
  pictures: Float32Array[];
  /** A digest of all of them. */
  digest: string;
};

/**
 * Reads the pictures of a folder as the model saw them in training: cut to the shape of what is drawn, made `factor` times
 * smaller than that, and brought back to its size by bicubic.
 *
 * @throws {TypeError|RangeError} where the model was not trained so, or the folder holds no pictures.
 */
export async function readLowResolution(
  folder: string,
  { model, size: [H, W] }: { model: TrainedModel; size: readonly [number, number] },
): Promise<LowResolution> {
  const { superResolution } = model;
  if (!superResolution) {
    throw new TypeError(
      `Cannot start from pictures as the model was not trained to: ${model.source} has no superResolution`,
    );
  }
  const files = isFolder(folder) ? listFiles(folder, isImageName) : [];
  if (files.length === 0) {
    throw new RangeError(`Cannot start from pictures as the folder holds none: it is ${folder}`);
  }
  const { factor } = superResolution, channels = model.spec.inChannels;
  const small = [H / factor, W / factor] as const, pictures: Float32Array[] = [];
  const digest = createHash("sha256");
  for (const { path, title } of files) {
    const rgb = await decodeSquare(await Deno.readFile(path), { size: small }).catch((error) => {
      throw new TypeError(`Cannot start from ${title}: ${error.message}`, { cause: error });
    });
    const pixels = Float32Array.from(
      { length: small[0] * small[1] * channels },
      (_, i) => (channels === 3 ? rgb[i] : greyOf(rgb, i)) / 127.5 - 1,
    );
    const image = ndarray(pixels, [1, ...small, channels]);
    pictures.push(resizeImages(image, { height: H, width: W }).data);
    digest.update(pixels);
  }
  return { pictures, digest: digest.digest("hex").slice(0, 16) };
}

/** ITU-R 601 luma of pixel `i`, as Pillow's "L". */
function greyOf(rgb: Uint8Array, i: number): number {
  return 0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2];
}
