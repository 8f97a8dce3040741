import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../lib/engine/compile.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import {
  inception,
  inceptionConvolutions,
  type InceptionParams,
} from "../../lib/metrics/inception.ts";
import { inceptionParams } from "../../lib/metrics/inception_weights.ts";
import { drawnState } from "./inception_state.ts";

/** Parameters that are 0, so that each layer gives 0 but where a test says otherwise. */
function silentParams(): InceptionParams {
  return Object.fromEntries(
    inceptionConvolutions().map(({ name, shape }) => [
      name,
      { kernel: tf.zeros<tf.Rank.R4>(shape), bias: tf.zeros<tf.Rank.R1>([shape[3]]) },
    ]),
  );
}

function set(params: InceptionParams, name: string, { kernel, bias }: {
  kernel?: { channel: number; value: number }; // from one input channel to all outputs, at every tap
  bias?: number;
}): void {
  const { kernel: old, bias: oldBias } = params[name];
  const [, , inputs, outputs] = old.shape;
  params[name] = {
    kernel: tf.tidy(() => {
      if (!kernel) return old.clone();
      const from = tf.oneHot(kernel.channel, inputs).reshape([1, 1, inputs, 1]).toFloat();
      return tf.broadcastTo<tf.Rank.R4>(from.mul(kernel.value), old.shape);
    }),
    bias: tf.fill([outputs], bias ?? 0),
  };
  tf.dispose([old, oldBias]);
}

async function run(params: InceptionParams, images: tf.Tensor4D) {
  const network = compile(({ images }: { images: tf.Tensor4D }) => inception(params, images));
  const { features, blocks } = await network({ images });
  const out = {
    features: Array.from(await features.data()),
    shapes: [features, ...blocks].map(({ shape }) => shape),
  };
  tf.dispose([features, blocks]);
  network.dispose();
  return out;
}

Deno.test("inceptionConvolutions() has as many parameters as the published network", () => {
  const convolutions = inceptionConvolutions();
  const count = convolutions.reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1) + 2 * shape[3],
    0,
  );
  // torchvision's inception_v3 without AuxLogits has 23,834,568, of which its classifier of 1000
  // classes has 2,049,000
  assert.equal(count, 23_834_568 - 2_049_000);
  assert.equal(convolutions.length, 94);
  assert.equal(new Set(convolutions.map(({ name }) => name)).size, 94);
});

Deno.test("inception() leaves padding out of averages, and takes the maximum in its last block", async () => {
  await setEngine("onnxruntime");
  const params = silentParams();
  set(params, "Mixed_7a.branch3x3_2", { bias: 2 }); // channels 0 to 319 of Mixed_7b are 2
  set(params, "Mixed_7b.branch1x1", { bias: 5 });
  set(params, "Mixed_7b.branch_pool", { kernel: { channel: 0, value: 1 } }); // their average: 2
  // a map that is 4, 6 and 9 in corners, at edges and inside, as padding is 0 in convolutions
  set(params, "Mixed_7b.branch3x3dbl_1", { bias: 1 });
  set(params, "Mixed_7b.branch3x3dbl_2", { kernel: { channel: 0, value: 1 } });
  set(params, "Mixed_7b.branch3x3dbl_3a", { kernel: { channel: 0, value: 1 } });
  set(params, "Mixed_7c.branch1x1", { kernel: { channel: 2047, value: 1 } });
  set(params, "Mixed_7c.branch_pool", { kernel: { channel: 320 + 2 * 384, value: 1 } });
  const images = tf.zeros<tf.Rank.R4>([1, 139, 139, 3]); // 3 × 3 positions in the end
  const { features } = await run(params, images);
  assert.deepEqual([...new Set(features.slice(0, 320))], [2]);
  // sums of rows of three of [4, 6, 4], [6, 9, 6], [4, 6, 4], the largest of the nine
  assert.deepEqual([...new Set(features.slice(-192))], [6 + 9 + 6]);
  assert.deepEqual([...new Set(features.slice(320, -192))], [0]);
  treeDispose(params);
  images.dispose();
});

Deno.test("inception() gives blocks of the known sizes, and the same on every engine", async () => {
  const outputs: number[][] = [];
  for (const engine of ["onnxruntime", "cpu"] as const) {
    await setEngine(engine);
    const params = inceptionParams(drawnState());
    const values = normals({ seed: 1, stream: "tests/inception" }, 0, 75 * 75 * 3);
    const images = tf.tensor4d(values, [1, 75, 75, 3]); // the least that leaves a position
    const { features, shapes } = await run(params, images);
    outputs.push(features);
    assert.deepEqual(shapes, [[1, 2048], [1, 17, 17, 64], [1, 7, 7, 192], [1, 3, 3, 768], [
      1,
      1,
      1,
      2048,
    ]]);
    treeDispose(params);
    images.dispose();
  }
  const [fast, plain] = outputs;
  assert.ok(Math.max(...plain) > 1);
  const far = Math.max(...fast.map((v, i) => Math.abs(v - plain[i])));
  assert.ok(far < 1e-4, `${far}`); // sums of up to 4032 float32 products, 20 layers deep
  await setEngine("onnxruntime");
});
