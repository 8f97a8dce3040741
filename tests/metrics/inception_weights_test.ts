import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import type { StoredTensor } from "../../lib/io/stored_tensor.ts";
import { inceptionParams } from "../../lib/metrics/inception_weights.ts";
import { drawnState } from "./inception_state.ts";

const NAME = "Mixed_6b.branch7x7_2"; // [128, 128, 1, 7]

Deno.test("inceptionParams() folds the normalisation into the convolution, and takes no other tensors", async () => {
  await setEngine("cpu");
  const state = drawnState();
  const unread = (): never => {
    throw new Error("read");
  };
  state["fc.weight"] = { dtype: "F32", shape: [1008, 2048], read: unread };
  state["AuxLogits.conv0.conv.weight"] = { dtype: "F32", shape: [1], read: unread };
  state[`${NAME}.bn.num_batches_tracked`] = { dtype: "I64", shape: [], read: unread };
  const params = inceptionParams(state);
  const far = tf.tidy(() => {
    const of = (part: string) => {
      const { read, shape } = state[`${NAME}.${part}`];
      return tf.tensor(read() as Float32Array, shape);
    };
    const x = tf.randomNormal<tf.Rank.R4>([2, 3, 9, 128], 0, 1, "float32", 1);
    const kernel = of("conv.weight").transpose<tf.Tensor4D>([2, 3, 1, 0]);
    const [mean, variance] = [of("bn.running_mean"), of("bn.running_var")] as tf.Tensor1D[];
    const [offset, scale] = [of("bn.bias"), of("bn.weight")] as tf.Tensor1D[];
    const plain = tf.batchNorm(
      tf.conv2d(x, kernel, 1, "same"),
      mean,
      variance,
      offset,
      scale,
      1e-3,
    );
    const folded = tf.conv2d(x, params[NAME].kernel, 1, "same").add(params[NAME].bias);
    return folded.sub(plain).abs().max().dataSync()[0];
  });
  assert.ok(far < 1e-5, `${far}`);
  treeDispose(params);
  await setEngine("onnxruntime");
});

Deno.test("inceptionParams() says what is missing or of another kind, and leaves no tensors", async () => {
  await setEngine("cpu");
  const before = tf.memory().numTensors;
  const fails = (changed: Record<string, Partial<StoredTensor> | undefined>, message: RegExp) => {
    const state = drawnState();
    for (const [name, change] of Object.entries(changed)) {
      if (change) Object.assign(state[name], change);
      else delete state[name];
    }
    assert.throws(() => inceptionParams(state), message);
  };
  const weight = `${NAME}.conv.weight`, variance = `${NAME}.bn.running_var`;
  fails({ [weight]: undefined }, /1 of 470 tensors are missing, Mixed_6b\.branch7x7_2\.conv\.wei/);
  fails(
    { [weight]: { shape: [128, 128, 7, 1] } },
    /the shape \[128,128,1,7\]: it is \[128,128,7,1/,
  );
  fails({ [weight]: { dtype: "I64" } }, /must hold floats: it is I64/);
  fails({ [variance]: { read: () => new Float32Array(128).fill(-1) } }, /variances >= 0/);
  assert.throws(
    () => inceptionParams({}),
    /470 of 470 .* Conv2d_1a_3x3\.bn\.running_var and 465 more/,
  );
  assert.equal(tf.memory().numTensors, before);
  await setEngine("onnxruntime");
});
