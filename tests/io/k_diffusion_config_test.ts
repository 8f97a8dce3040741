import assert from "node:assert/strict";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import { presets } from "../../lib/models/presets.ts";

const flowers = {
  model: {
    type: "image_transformer_v2",
    input_channels: 3,
    input_size: [256, 256],
    patch_size: [4, 4],
    depths: [2, 2, 4],
    widths: [128, 256, 512],
    dropout_rate: [0, 0, 0.1],
  },
};

Deno.test("specFromKDiffusion() fills in the reference's defaults", () => {
  // neighborhoods of 7 in all but the last level, d_head 64, d_ff 3 × width, mapping 256 wide and 2 deep
  assert.deepEqual(specFromKDiffusion(flowers), presets["kd/oxford-flowers"]);
});

Deno.test("specFromKDiffusion() reads one dropout rate for all levels and classes of the data set", () => {
  const model = {
    ...flowers.model,
    depths: [2, 4],
    widths: [256, 512],
    patch_size: [2, 2],
    self_attns: [{ type: "global" }, { type: "global" }],
    dropout_rate: 0.05,
  };
  const config = { model, dataset: { type: "cifar10", num_classes: 10 } };
  assert.deepEqual(specFromKDiffusion(config), presets["kd/cifar10"]);
});

Deno.test("specFromKDiffusion() reads the arguments of the model class, where classes count the null class", () => {
  const spec = specFromKDiffusion({
    levels: [
      {
        depth: 1,
        width: 24,
        d_ff: 72,
        self_attn: { type: "shifted-window", d_head: 8, window_size: 4 },
        dropout: 0.1,
      },
      { depth: 1, width: 32, d_ff: 96, self_attn: { type: "none" }, dropout: 0 },
    ],
    mapping: { depth: 1, width: 16, d_ff: 48, dropout: 0 },
    in_channels: 3,
    out_channels: 5,
    patch_size: [4, 2],
    num_classes: 6,
    mapping_cond_dim: 7,
  });
  assert.equal(spec.numClasses, 5);
  assert.equal(spec.outChannels, 5);
  assert.deepEqual(spec.levels[0].attention, { kind: "shifted-window", dHead: 8, windowSize: 4 });
  assert.deepEqual(spec.levels[1].attention, { kind: "none" });
});

Deno.test("specFromKDiffusion() refuses other models and fields of the wrong type", () => {
  assert.throws(() => specFromKDiffusion({ model: { type: "image_v1" } }), {
    name: "TypeError",
    message: /image_transformer_v2.*"image_v1"/,
  });
  assert.throws(
    () => specFromKDiffusion({ model: { ...flowers.model, widths: "128" } }),
    /widths must be a list: widths is "128"/,
  );
  assert.throws(
    () => specFromKDiffusion({ model: { ...flowers.model, depths: [1] } }),
    /depths must have one entry a level: it has 1, model.widths 3/,
  );
});
