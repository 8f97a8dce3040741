import assert from "node:assert/strict";
import { fromKDiffusion, isKDiffusion } from "../../lib/runs/from_k_diffusion.ts";
import { resolveConfig } from "../../lib/runs/config.ts";

/** In the form of the reference's demonstration for CIFAR-10. */
const file = {
  model: {
    type: "image_transformer_v2",
    input_channels: 3,
    input_size: [32, 32],
    patch_size: [2, 2],
    depths: [2, 4],
    widths: [256, 512],
    loss_config: "karras",
    loss_weighting: "soft-min-snr",
    dropout_rate: [0.05, 0.05],
    augment_prob: 0.12,
    sigma_data: 0.5,
    sigma_min: 1e-2,
    sigma_max: 80,
    sigma_sample_density: { type: "cosine-interpolated" },
  },
  dataset: { type: "cifar10", location: "data", num_classes: 10, cond_dropout_rate: 0.2 },
  optimizer: { type: "adamw", lr: 5e-4, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 1e-3 },
  lr_sched: { type: "inverse", inv_gamma: 20000, power: 1, warmup: 0.99 },
  ema_sched: { type: "inverse", power: 0.75, max_value: 0.9999 },
};

Deno.test("fromKDiffusion() trains what the file says", () => {
  assert.ok(isKDiffusion(file));
  const { config, notes } = fromKDiffusion(file);
  assert.deepEqual(notes, []);
  const resolved = resolveConfig(config);
  const { data, size, model, sigmaData, augment, classDropout, weighting } = resolved;
  assert.deepEqual([data, size, sigmaData, augment, classDropout], [
    "data",
    [32, 32],
    0.5,
    0.12,
    0.2,
  ]);
  assert.deepEqual(weighting, { kind: "soft-min-snr" });
  assert.deepEqual(model.levels.map(({ width, dropout }) => [width, dropout]), [
    [256, 0.05],
    [512, 0.05],
  ]);
  assert.equal(model.numClasses, 10);
  assert.deepEqual(resolved.given, { channels: true, classes: true });
  assert.deepEqual(resolved.optimiser, {
    kind: "adamw",
    lr: 5e-4,
    betas: [0.9, 0.95],
    eps: 1e-8,
    weightDecay: 1e-3,
  });
  assert.deepEqual(resolved.lrSchedule, {
    kind: "inverse",
    invGamma: 20000,
    power: 1,
    warmup: 0.99,
  });
  assert.deepEqual(resolved.ema, { power: 0.75, maxValue: 0.9999 });
  assert.deepEqual([resolved.sampling.sigmaMin, resolved.sampling.sigmaMax], [0.01, 80]);
});

Deno.test("fromKDiffusion() asks for data that the file has elsewhere, and takes it", () => {
  const hub = { ...file, dataset: { type: "huggingface", location: "somebody/flowers" } };
  assert.throws(() => fromKDiffusion(hub), /somebody\/flowers.*--data/);
  assert.equal(fromKDiffusion(hub, { data: "./flowers" }).config.data, "./flowers");
});

Deno.test("fromKDiffusion() takes open noise densities, the simple loss and SGD", () => {
  const other = {
    ...file,
    model: {
      ...file.model,
      loss_config: "simple",
      loss_weighting: "karras",
      sigma_sample_density: { type: "loglogistic", loc: -1, scale: 0.5 },
    },
    optimizer: { type: "sgd", lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0 },
  };
  const { density, weighting, optimiser } = resolveConfig(fromKDiffusion(other).config);
  assert.equal(density?.kind, "loglogistic");
  assert.deepEqual(weighting, { kind: "snr" });
  assert.deepEqual(optimiser, {
    kind: "sgd",
    lr: 0.1,
    momentum: 0.9,
    nesterov: true,
    weightDecay: 0,
  });
});

Deno.test("isKDiffusion() tells the library's own files apart", () => {
  for (const config of [{ data: "x" }, { model: "smoke" }, { model: { preset: "smoke" } }, null]) {
    assert.ok(!isKDiffusion(config));
  }
});
