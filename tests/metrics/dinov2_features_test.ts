import assert from "node:assert/strict";
import { join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import { dinov2 } from "../../lib/metrics/dinov2.ts";
import { dinov2Extractor, type Dinov2Options } from "../../lib/metrics/dinov2_features.ts";
import { dinov2Images } from "../../lib/metrics/dinov2_images.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";
import { inFolder } from "../folder.ts";
import { Tensor, torchFile } from "../io/made_torch_file.ts";
import {
  asStored,
  byTransformersNames,
  madeImages,
  madeWeights,
  safetensors,
  type Weights,
} from "./made_dinov2.ts";

const spec: Dinov2Spec = { width: 16, depth: 1, heads: 2, patch: 14, grid: 4, ffn: "gelu" };
const weights = madeWeights(spec, 24);
const images = ndarray(madeImages([3, 20, 26, 3]).data.map((v) => Math.tanh(v)), [3, 20, 26, 3]);

const pth = (weights: Weights) =>
  torchFile(
    new Map(
      Object.entries(weights).map(([name, { shape, data }], storage) => {
        const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
        return [name, new Tensor({ dtype: "F32", storage, length: data.length, shape, strides })];
      }),
    ),
    Object.values(weights).map(({ data }) => data),
  );

/** Features by the weights in a file. */
async function extract(
  path: string,
  images: NdArray<Float32Array>,
  options: Dinov2Options = {},
): Promise<{ name: string; features: NdArray<Float32Array> }> {
  const extractor = await dinov2Extractor({ weights: path, heads: 2, ...options });
  try {
    assert.equal(extractor.dimension, 16);
    return { name: extractor.name, features: await extractor.extract(images) };
  } finally {
    extractor.dispose();
  }
}

async function inFolderWithWeights(use: (path: string, dir: string) => Promise<void>) {
  await setEngine("onnxruntime");
  await inFolder(async (dir) => {
    const path = join(dir, "model.safetensors");
    await Deno.writeFile(path, safetensors(weights));
    await use(path, dir);
  });
}

Deno.test("dinov2Extractor() gives the class token of images as dgm-eval prepares them", async () => {
  await inFolderWithWeights(async (path) => {
    const { name, features } = await extract(path, images, { batchSize: 2 });
    assert.equal(name, "DINOv2 16 × 1/14");
    assert.deepEqual(features.shape, [3, 16]);
    const { params } = dinov2FromStateDict(asStored(weights), { heads: 2 });
    const expected = tf.tidy(() => {
      const prepared = denseData(dinov2Images(images, "dgm-eval"));
      const { tokens } = dinov2(params, tf.tensor4d(prepared, [3, 224, 224, 3]), { heads: 2 });
      return tf.slice(tokens, [0, 0, 0], [3, 1, 16]).dataSync();
    });
    const worst = Math.max(...features.data.map((v, i) => Math.abs(v - expected[i])));
    assert.ok(worst < 1e-5, `${worst}`);
    treeDispose(params);
  });
});

Deno.test("dinov2Extractor() reads both kinds of files and of names", async () => {
  await inFolderWithWeights(async (path, dir) => {
    const { features } = await extract(path, images);
    const others = {
      "theirs.safetensors": safetensors(byTransformersNames(weights)),
      "ours.pth": pth(weights),
    };
    for (const [name, bytes] of Object.entries(others)) {
      await Deno.writeFile(join(dir, name), bytes);
      assert.deepEqual((await extract(join(dir, name), images)).features, features, name);
    }
    await Deno.writeFile(join(dir, "other.pth"), pth({ "fc.weight": weights.cls_token }));
    await assert.rejects(extract(join(dir, "other.pth"), images), /must hold cls_token/);
  });
});

Deno.test("dinov2Extractor() as in k-diffusion scales features to a norm of √dimension, and takes grey images", async () => {
  await inFolderWithWeights(async (path) => {
    const grey = ndarray(images.data.slice(0, 20 * 26), [1, 20, 26, 1]);
    const colour = ndarray(
      Float32Array.from({ length: 20 * 26 * 3 }, (_, i) => grey.data[Math.floor(i / 3)]),
      [1, 20, 26, 3],
    );
    const options = { preprocessing: "k-diffusion" } as const;
    const { name, features } = await extract(path, grey, options);
    assert.equal(name, "DINOv2 16 × 1/14, k-diffusion images");
    assert.deepEqual(features, (await extract(path, colour, options)).features);
    const norm = Math.hypot(...features.data);
    assert.ok(Math.abs(norm - 4) < 1e-5, `${norm}`);
  });
});

Deno.test("dinov2Extractor() says in its name which positions it has, and they matter", async () => {
  await inFolderWithWeights(async (path) => {
    const other = await extract(path, images, { positions: "transformers" });
    assert.equal(other.name, "DINOv2 16 × 1/14, transformers positions");
    assert.notDeepEqual(other.features, (await extract(path, images)).features);
  });
});

Deno.test("dinov2Extractor() names the published sizes", async () => {
  await setEngine("cpu");
  await inFolder(async (dir) => {
    const path = join(dir, "small.safetensors");
    const small = madeWeights({ ...spec, width: 384, depth: 12, grid: 2 }, 8);
    await Deno.writeFile(path, safetensors(small));
    const extractor = await dinov2Extractor({ weights: path });
    assert.equal(extractor.name, "DINOv2 ViT-S/14");
    assert.equal(extractor.dimension, 384);
    extractor.dispose();
  });
});

Deno.test("dinov2Extractor() leaves no tensor behind", async () => {
  await inFolderWithWeights(async (path) => {
    await extract(path, images);
    const before = tf.memory().numTensors;
    await extract(path, images, { batchSize: 1 });
    assert.equal(tf.memory().numTensors, before);
  });
});
