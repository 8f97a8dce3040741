import assert from "node:assert/strict";
import {
  defaultModel,
  modelFor,
  resolveConfig,
  type TrainConfig,
  trainConfigSchema,
} from "../../lib/runs/config.ts";
import { presets } from "../../lib/models/presets.ts";
import { growLevels } from "../../lib/models/spec.ts";
import { asSpec, specSchema } from "../../lib/models/spec_schema.ts";

const data = "./photos";

Deno.test("specSchema takes every preset as it is", () => {
  for (const [name, spec] of Object.entries(presets)) {
    assert.deepEqual(asSpec(specSchema.parse(structuredClone(spec))), spec, name);
  }
});

Deno.test("resolveConfig() fills in the paper's settings", () => {
  const config = resolveConfig({ data });
  assert.deepEqual(config.size, [64, 64]);
  assert.deepEqual(config.weighting, { kind: "soft-min-snr" });
  assert.deepEqual(config.optimiser, { kind: "adamw", lr: 5e-4 });
  assert.deepEqual(config.ema, { power: 0.75, maxValue: 0.9999 });
  assert.deepEqual(config.sampling.sampler, { kind: "dpmpp-3m-sde" });
  assert.deepEqual([config.sampling.sigmaMin, config.sampling.sigmaMax], [0.01, 160]);
});

Deno.test("resolveConfig() gives again what it gave", () => {
  const { given: _, ...once } = resolveConfig({ data, model: { preset: "smoke", numClasses: 3 } });
  const { given: __, ...twice } = resolveConfig(once as TrainConfig);
  assert.deepEqual(twice, once);
});

Deno.test("resolveConfig() takes a preset with differences", () => {
  const { model } = resolveConfig({ data, model: { preset: "emoji-64", skip: { kind: "add" } } });
  assert.deepEqual(model, { ...presets["emoji-64"], skip: { kind: "add" } });
});

Deno.test("resolveConfig() names what is wrong, and what was meant", () => {
  const wrong = (config: object, error: RegExp) =>
    assert.throws(() => resolveConfig({ data, ...config } as TrainConfig), error);
  wrong({ batchsize: 8 }, /batchsize is not a known key: did you mean "batchSize"\?/);
  wrong({ size: 60 }, /height must be a multiple of 8.*nearest valid are 56 and 64/);
  wrong({ model: "emoji64" }, /emoji-64/);
  wrong({ batchSize: 8, accumulate: 3 }, /batchSize is 8, accumulate is 3/);
  wrong({ weighting: { kind: "min-snr" } }, /gamma/);
  wrong({ evaluate: { samples: 3 } }, /evaluate.samples: must be 0, or 4 or more/);
  wrong({ evaluate: { features: { kind: "inception" } } }, /features.weights/);
  wrong({ optimiser: { kind: "adamw", lr: 0 } }, /optimiser.lr must be > 0: current value is 0/);
  assert.throws(() => resolveConfig({} as TrainConfig), /data/);
});

Deno.test("defaultModel() keeps the middle at 16 x 16 tokens or fewer", () => {
  for (const side of [32, 64, 128, 256, 512, 1024]) {
    const { levels } = defaultModel([side, side]);
    assert.ok(side / 4 / 2 ** (levels.length - 1) <= 16, `${side}`);
  }
  assert.deepEqual(defaultModel([256, 128]), growLevels(presets["emoji-64"], { doublings: 1 }));
});

Deno.test("modelFor() takes channels and classes from the data, unless they are given", () => {
  const grey = { channels: 1, classes: ["a", "b", "c"] };
  const spec = modelFor(resolveConfig({ data, model: "smoke" }), grey);
  assert.deepEqual([spec.inChannels, spec.outChannels, spec.numClasses], [1, 1, 3]);
  const unconditional = resolveConfig({ data, model: { preset: "smoke", numClasses: 0 } });
  assert.equal(modelFor(unconditional, grey).numClasses, 0);
  const few = resolveConfig({ data, model: { preset: "smoke", numClasses: 2 } });
  assert.throws(() => modelFor(few, grey), /model.numClasses is 2, the data has 3/);
  const rgb = resolveConfig({ data, model: { preset: "smoke", inChannels: 3 } });
  assert.throws(() => modelFor(rgb, grey), /model.inChannels is 3, the data has 1/);
});

Deno.test("docs/train.schema.json is the schema of the configuration", async () => {
  const { trainConfigJsonSchema } = await import("../../lib/runs/config.ts");
  const path = new URL("../../docs/train.schema.json", import.meta.url);
  const stored = JSON.parse(await Deno.readTextFile(path));
  const made = JSON.parse(JSON.stringify(trainConfigJsonSchema()));
  assert.deepEqual(
    stored,
    made,
    "write it again: deno task train --schema > docs/train.schema.json",
  );
  assert.ok(Object.keys(trainConfigSchema.shape).every((key) => key in made.properties));
});
