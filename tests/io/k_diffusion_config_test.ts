import assert from "node:assert/strict";
import fc from "fast-check";
import {
  parseKDiffusionConfig,
  sizeFromKDiffusion,
  specFromKDiffusion,
} from "../../lib/io/k_diffusion_config.ts";
import { toKDiffusionConfig } from "../../lib/io/k_diffusion_write.ts";
import { presets } from "../../lib/models/presets.ts";

/** What a file must say, and nothing else. */
const bare = {
  model: {
    type: "image_transformer_v2",
    input_channels: 3,
    input_size: [256, 256],
    patch_size: [4, 4],
    depths: [2, 2, 4],
    widths: [128, 256, 512],
    sigma_min: 1e-2,
    sigma_max: 160,
    sigma_sample_density: { type: "cosine-interpolated" },
  },
};
/** A file that changes parts of the bare one. */
const file = (model: object, rest: object = {}) => ({
  model: { ...bare.model, ...model },
  ...rest,
});

Deno.test("parseKDiffusionConfig() fills in the reference's defaults", () => {
  // k-diffusion 4601bf0: load_config() of its config.py, then make_sample_density()
  assert.deepEqual(parseKDiffusionConfig(bare), {
    spec: {
      ...presets["kd/oxford-flowers"],
      levels: presets["kd/oxford-flowers"].levels.map((level) => ({ ...level, dropout: 0 })),
    },
    size: [256, 256],
    sigmaData: 1,
    sigmaMin: 1e-2,
    sigmaMax: 160,
    density: {
      kind: "cosine-interpolated",
      sigmaData: 1,
      imageD: 256,
      noiseDLow: 32,
      noiseDHigh: 256,
      minValue: 1e-3,
      maxValue: 1e3,
    },
    lossConfig: "karras",
    weighting: { kind: "karras" },
    lossScales: 1,
    augmentProb: 0,
    dataset: { kind: "imagefolder", condDropoutRate: 0.1 },
    optimizer: { kind: "adamw", lr: 5e-4, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 1e-4 },
    lrSched: { kind: "constant", warmup: 0 },
    emaSched: { power: 0.6667, maxValue: 0.9999 },
    notes: [],
  });
  assert.deepEqual(parseKDiffusionConfig(JSON.stringify(bare)), parseKDiffusionConfig(bare));
});

Deno.test("parseKDiffusionConfig() reads what a file says", () => {
  const config = parseKDiffusionConfig(file({
    input_channels: 4,
    input_size: [96, 64],
    patch_size: [2, 4],
    depths: [1, 3],
    widths: [64, 128],
    d_ffs: [100, 300],
    self_attns: [{ type: "shifted-window", d_head: 32, window_size: 4 }, { type: "none" }],
    dropout_rate: 0.05,
    mapping_width: 96,
    mapping_depth: 1,
    mapping_d_ff: 200,
    mapping_cond_dim: 7,
    mapping_dropout_rate: 0.2,
    augment_prob: 0.12,
    sigma_data: 0.5,
    sigma_max: 80,
    sigma_sample_density: { type: "lognormal", mean: -1.2, std: 1.1 },
    loss_weighting: "soft-min-snr",
    loss_scales: 4,
  }, {
    dataset: {
      type: "huggingface",
      location: "a/b",
      image_key: "img",
      class_key: 1,
      num_classes: 9,
    },
    optimizer: { type: "sgd", lr: 0.1, momentum: 0.9 },
    lr_sched: { type: "inverse", inv_gamma: 20000, power: 0.5, warmup: 0.99 },
    ema_sched: { type: "inverse", power: 0.75, max_value: 0.999 },
  }));
  assert.deepEqual(config.spec, {
    inChannels: 4,
    outChannels: 4,
    patchSize: [2, 4],
    levels: [
      {
        depth: 1,
        width: 64,
        dFf: 100,
        attention: { kind: "shifted-window", dHead: 32, windowSize: 4 },
        dropout: 0.05,
      },
      { depth: 3, width: 128, dFf: 300, attention: { kind: "none" }, dropout: 0.05 },
    ],
    mapping: { depth: 1, width: 96, dFf: 200, dropout: 0.2 },
    numClasses: 9,
    mappingCondDim: 7,
    position: { kind: "rope" },
    skip: { kind: "lerp" },
    feedForward: { kind: "geglu" },
  });
  assert.deepEqual(config.size, [96, 64]);
  assert.deepEqual(config.density, { kind: "lognormal", loc: -1.2, scale: 1.1 });
  assert.deepEqual(config.weighting, { kind: "soft-min-snr" });
  assert.equal(config.lossScales, 4);
  assert.deepEqual(config.dataset, {
    kind: "huggingface",
    location: "a/b",
    imageKey: "img",
    classKey: 1,
    condDropoutRate: 0.1, // objects are merged key by key
  });
  assert.deepEqual(config.optimizer, {
    kind: "sgd",
    lr: 0.1,
    momentum: 0.9,
    nesterov: false,
    weightDecay: 1e-4,
  });
  const lrSched = { kind: "inverse", invGamma: 20000, power: 0.5, warmup: 0.99 };
  assert.deepEqual(config.lrSched, lrSched);
  assert.deepEqual(config.emaSched, { power: 0.75, maxValue: 0.999 });
});

Deno.test("parseKDiffusionConfig() reads the cosine density as the reference does, sigma_min or not", () => {
  for (const type of ["cosine", "v-diffusion"]) {
    const { density } = parseKDiffusionConfig(
      file({ sigma_min: 1e-5, sigma_max: 1e5, sigma_sample_density: { type, max_value: 20 } }),
    );
    const expected = { kind: "v-diffusion", sigmaData: 1, minValue: 1e-3, maxValue: 20 };
    assert.deepEqual(density, expected);
  }
  const { density } = parseKDiffusionConfig(file({ sigma_min: 1e-5, sigma_max: 1e5 }));
  assert.ok(density.kind === "cosine-interpolated" && density.minValue === 1e-5);
});

Deno.test("parseKDiffusionConfig() takes the simple loss for the noise-prediction weighting", () => {
  const config = parseKDiffusionConfig(file({ loss_config: "simple", loss_weighting: "snr" }));
  assert.deepEqual(config.weighting, { kind: "snr" });
  assert.deepEqual(config.notes, ["model.loss_weighting does not apply to the simple loss"]);
});

Deno.test("parseKDiffusionConfig() names keys that have no effect, unknown ones with the nearest", () => {
  const { notes } = parseKDiffusionConfig(file({
    widht: [1],
    skip_stages: 1,
    augment_wrapper: false, // the reference's own default
    cross_attn_depths: null,
    self_attns: [{ type: "global", window_size: 8 }, { type: "none" }, {
      type: "global",
      dhead: 32,
    }],
    sigma_sample_density: { type: "cosine-interpolated", loc: 0, nosie_d_low: 64 },
  }, {
    optimiser: {},
    dataset: { type: "huggingfaces", image_key: "img" },
    optimizer: { type: "adamw", momentum: 0.9 },
    lr_sched: { type: "constant", inv_gamma: 1 },
    ema_sched: { inv_gamma: 2 },
  }));
  assert.deepEqual(notes, [
    'optimiser is not a known key: did you mean "optimizer"?',
    'model.widht is not a known key: did you mean "widths"?',
    "model.skip_stages does not apply to image_transformer_v2",
    "model.cross_attn_depths does not apply to image_transformer_v2",
    "model.self_attns[0].window_size does not apply to global",
    'model.self_attns[2].dhead is not a known key: did you mean "d_head"?',
    "model.sigma_sample_density.loc does not apply to cosine-interpolated",
    'model.sigma_sample_density.nosie_d_low is not a known key: did you mean "noise_d_low"?',
    "optimizer.momentum does not apply to adamw",
    "lr_sched.inv_gamma does not apply to constant",
    "ema_sched.inv_gamma does not apply to the schedules of configuration files",
    'dataset.type is not a known data set: did you mean "huggingface"?',
  ]);
});

Deno.test("parseKDiffusionConfig() refuses wrong types, values out of range and other models", () => {
  const wrong: [unknown, "TypeError" | "RangeError" | "SyntaxError", RegExp][] = [
    [{ model: { type: "image_v1" } }, "TypeError", /image_transformer_v2.*"image_v1"/],
    [{}, "TypeError", /model\.type|model/],
    ["{", "SyntaxError", /must be JSON/],
    [[], "TypeError", /must be a JSON object/],
    [file({ widths: "128" }), "TypeError", /model\.widths must be a list: current value is "128"/],
    [file({ widths: [128, 256.5, 512] }), "TypeError", /model\.widths\[1\] must be a whole number/],
    [
      file({ depths: [1] }),
      "TypeError",
      /depths must have one entry a level: it has 1, model.widths 3/,
    ],
    [file({ dropout_rate: [0] }), "TypeError", /dropout_rate must have one entry a level/],
    [file({ dropout_rate: "0" }), "TypeError", /model\.dropout_rate must be/],
    [file({ input_size: 256 }), "TypeError", /model\.input_size must be a list/],
    [file({ sigma_min: undefined }), "TypeError", /model\.sigma_min/],
    [file({ sigma_data: 0 }), "RangeError", /model\.sigma_data must be > 0/],
    [file({ loss_weighting: "soft_min_snr" }), "RangeError", /did you mean "soft-min-snr"/],
    [file({ has_variance: true }), "RangeError", /model\.has_variance must be false/],
    [file({ self_attns: [{ type: "shifted-window" }] }), "TypeError", /window_size is missing/],
    [file({ self_attns: [{ type: "windowed" }] }), "RangeError", /self_attns\[0\]\.type must be/],
    [file({ sigma_sample_density: { type: "uniform" } }), "RangeError", /"loguniform"/],
    [file({ sigma_sample_density: { type: "lognormal" } }), "RangeError", /loc or mean/],
    [
      file({ sigma_sample_density: { type: "loguniform", min_value: "1" } }),
      "TypeError",
      /min_value must be a number: current value is "1"/,
    ],
    [file({}, { optimizer: { type: "adam" } }), "RangeError", /did you mean "adamw"/],
    [file({}, { lr_sched: { type: "exponential" } }), "TypeError", /num_steps is missing/],
    [file({}, { dataset: { num_classes: "10" } }), "TypeError", /num_classes must be/],
  ];
  for (const [config, name, message] of wrong) {
    assert.throws(() => parseKDiffusionConfig(config), { name, message });
  }
});

Deno.test("specFromKDiffusion() needs no more than the network", () => {
  const { input_size: _, sigma_min, sigma_max, sigma_sample_density, ...model } = bare.model;
  assert.ok(sigma_min && sigma_max && sigma_sample_density);
  assert.deepEqual(specFromKDiffusion({ model }), parseKDiffusionConfig(bare).spec);
  assert.equal(sizeFromKDiffusion({ model }), undefined);
  assert.deepEqual(sizeFromKDiffusion(bare), [256, 256]);
});

Deno.test("specFromKDiffusion() reads the reference's demonstration files as the presets", () => {
  const cifar = {
    ...{ patch_size: [2, 2], depths: [2, 4], widths: [256, 512], dropout_rate: 0.05 },
    self_attns: [{ type: "global" }, { type: "global" }],
  };
  const classes = { dataset: { type: "cifar10", location: "data", num_classes: 10 } };
  assert.deepEqual(specFromKDiffusion(file(cifar, classes)), presets["kd/cifar10"]);
  const flowers = specFromKDiffusion(file({ dropout_rate: [0, 0, 0.1] }));
  assert.deepEqual(flowers, presets["kd/oxford-flowers"]);
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

const positive = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
const whole = (min: number, max = 512) => fc.integer({ min, max });
const rate = fc.double({ min: 0, max: 0.99, noNaN: true });
const attentions = fc.oneof(
  fc.record({ type: fc.constant("global") }),
  fc.record({ type: fc.constant("none") }),
  fc.record({ type: fc.constant("neighborhood"), d_head: whole(1), kernel_size: whole(1) }),
  fc.record({ type: fc.constant("shifted-window"), d_head: whole(1), window_size: whole(1) }),
);
const range = fc.record({ min_value: positive, max_value: positive }, { requiredKeys: [] });
const densities = fc.oneof(
  fc.record({ loc: fc.double({ noNaN: true, noDefaultInfinity: true }), scale: positive })
    .map((d) => ({ type: "lognormal", ...d })),
  fc.record({ mean: positive, std_1: positive, scale_2: positive })
    .map((d) => ({ type: "split-lognormal", ...d })),
  ...["loglogistic", "loguniform", "v-diffusion", "cosine"].map((type) =>
    range.map((d) => ({ type, ...d }))
  ),
  fc.tuple(range, fc.record({ image_d: positive, noise_d_low: positive }, { requiredKeys: [] }))
    .map(([a, b]) => ({ type: "cosine-interpolated", ...a, ...b })),
);
const files = fc.integer({ min: 1, max: 4 }).chain((levels) => {
  const each = <T>(item: fc.Arbitrary<T>) =>
    fc.array(item, { minLength: levels, maxLength: levels });
  return fc.record({
    model: fc.record({
      type: fc.constant("image_transformer_v2"),
      input_channels: whole(1),
      input_size: fc.tuple(whole(1), whole(1)),
      patch_size: fc.tuple(whole(1), whole(1)),
      depths: each(whole(0)),
      widths: each(whole(1)),
      d_ffs: fc.oneof(fc.constant(null), each(whole(1))),
      self_attns: fc.oneof(fc.constant(null), each(attentions)),
      dropout_rate: fc.oneof(fc.constant(null), rate, each(rate)),
      mapping_width: whole(1),
      mapping_cond_dim: whole(0),
      sigma_data: positive,
      sigma_min: positive,
      sigma_max: positive,
      sigma_sample_density: densities,
      loss_config: fc.constantFrom("karras", "simple"),
      loss_weighting: fc.constantFrom("karras", "snr", "soft-min-snr"),
      loss_scales: whole(0),
      augment_prob: rate,
    }, {
      requiredKeys: [
        ...["type", "input_channels", "input_size", "patch_size", "depths", "widths"] as const,
        ...["sigma_min", "sigma_max", "sigma_sample_density"] as const,
      ],
    }),
    dataset: fc.record({
      type: fc.constantFrom("imagefolder", "mnist", "custom"),
      location: fc.string(),
      num_classes: whole(0),
      config: fc.jsonValue(),
    }, { requiredKeys: ["type"] }),
    optimizer: fc.oneof(
      fc.record({ type: fc.constantFrom("adamw", "adam8bit"), lr: positive }),
      fc.record({ type: fc.constant("sgd"), momentum: rate, nesterov: fc.boolean() }),
    ),
    lr_sched: fc.oneof(
      fc.record({ type: fc.constant("constant"), warmup: rate }),
      fc.record({ type: fc.constant("inverse"), inv_gamma: positive, power: rate }),
      fc.record({ type: fc.constant("exponential"), num_steps: positive, decay: positive }),
    ),
    ema_sched: fc.record({ power: positive, max_value: rate }),
  }, { requiredKeys: ["model"] });
});

Deno.test("toKDiffusionConfig() writes what parseKDiffusionConfig() reads back as the same", () => {
  fc.assert(fc.property(files, (given) => {
    const { notes: _, ...read } = parseKDiffusionConfig(JSON.stringify(given)); // JSON has no -0
    const written = JSON.parse(JSON.stringify(toKDiffusionConfig(read)));
    const { notes: __, ...again } = parseKDiffusionConfig(written);
    assert.deepEqual(again, read);
  }));
});

Deno.test("toKDiffusionConfig() is the paper's where nothing is said", () => {
  const spec = presets["imagenet-128/E"];
  const { notes, density, optimizer, weighting, sigmaData, emaSched } = parseKDiffusionConfig(
    toKDiffusionConfig({ spec, size: [128, 128] }),
  );
  assert.deepEqual(notes, []);
  assert.equal(density.kind, "cosine-interpolated");
  assert.deepEqual(weighting, { kind: "soft-min-snr" });
  assert.equal(sigmaData, 0.5);
  assert.deepEqual(emaSched, { power: 0.75, maxValue: 0.9999 });
  assert.deepEqual(optimizer, {
    ...{ kind: "adamw", lr: 5e-4, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 1e-2 },
  });
});

Deno.test("toKDiffusionConfig() refuses what the format cannot express", () => {
  const e = { spec: presets["imagenet-128/E"], size: [128, 128] as [number, number] };
  const refused: [Partial<Parameters<typeof toKDiffusionConfig>[0]>, RegExp][] = [
    [{ spec: presets["imagenet-128/C"] }, /position must be rope: it is sincos/],
    [{ spec: presets["imagenet-128/E-concat"] }, /skip must be lerp: it is concat/],
    [
      { spec: { ...e.spec, feedForward: { kind: "gelu" } } },
      /feedForward must be geglu: it is gelu/,
    ],
    [{ spec: { ...e.spec, outChannels: 6 } }, /outChannels must be inChannels/],
    [
      { spec: { ...e.spec, extra: { kind: "new" } } as typeof e.spec },
      /extra\.kind must be left out: it is "new"/,
    ],
    [{ weighting: { kind: "min-snr", gamma: 5 } }, /weighting must be .* it is min-snr/],
    [{ weighting: { kind: "soft-min-snr", gamma: 5 } }, /gamma .* is 4: it is 5/],
    [{ lossConfig: "simple", weighting: { kind: "karras" } }, /must be snr with the simple loss/],
    [{ density: { kind: "uniform", minValue: 0, maxValue: 1 } }, /must not be uniform/],
    [
      { density: { kind: "v-diffusion", sigmaData: 2, minValue: 0, maxValue: 1 } },
      /sigmaData must be the model's: it is 2/,
    ],
    [{ emaSched: { power: 1, startAt: 10 } }, /startAt must be 0: it is 10/],
    [{ lrSched: { kind: "inverse", minLr: 0.1 } }, /lrSched.minLr must be 0: it is 0.1/],
    [{ lrSched: { kind: "constant", warmupSteps: 5 } }, /lrSched.warmupSteps must be 0: it is 5/],
    [{ lrSched: { kind: "constant", power: 2 } }, /lrSched.power must be left out: it is 2/],
    [{ lrSched: { kind: "exponential" } }, /lrSched.numSteps must be given/],
    [
      { lrSched: { kind: "cosine", numSteps: 9 } },
      /must be one of constant, inverse, exponential: it is cosine/,
    ],
  ];
  for (const [change, message] of refused) {
    assert.throws(() => toKDiffusionConfig({ ...e, ...change }), { name: "RangeError", message });
  }
  toKDiffusionConfig({ ...e, weighting: { kind: "soft-min-snr", gamma: 4 } }); // the reference's own
});
