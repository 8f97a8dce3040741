import assert from "node:assert/strict";
import { join } from "@std/path";
import { cost } from "../../lib/models/cost.ts";
import { type ModelPresetName, presets, presetSize } from "../../lib/models/presets.ts";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";

const root = new URL("../../", import.meta.url).pathname;
async function flops(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(root, "tools/flops.ts"), ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The reference's demonstration files, but for what the network does not depend on. */
const FILES: Record<string, object> = {
  "config_cifar10_transformer.json": {
    model: {
      ...{ type: "image_transformer_v2", input_channels: 3, input_size: [32, 32] },
      ...{ patch_size: [2, 2], depths: [2, 4], widths: [256, 512], dropout_rate: 0.05 },
      self_attns: [{ type: "global" }, { type: "global" }],
    },
    dataset: { type: "cifar10", num_classes: 10 },
  },
  "config_oxford_flowers.json": {
    model: {
      ...{ type: "image_transformer_v2", input_channels: 3, input_size: [256, 256] },
      ...{ patch_size: [4, 4], depths: [2, 2, 4], widths: [128, 256, 512] },
    },
  },
  "config_oxford_flowers_shifted_window.json": {
    model: {
      ...{ type: "image_transformer_v2", input_channels: 3, input_size: [256, 256] },
      ...{ patch_size: [4, 4], depths: [2, 2, 4], widths: [128, 256, 512] },
      self_attns: [
        { type: "shifted-window", d_head: 64, window_size: 8 },
        { type: "shifted-window", d_head: 64, window_size: 8 },
        { type: "global", d_head: 64 },
      ],
    },
  },
};
/** k-diffusion's own counter at 4601bf0; see the fixture. */
const fixture = JSON.parse(
  await Deno.readTextFile(join(root, "tests/fixtures/flops/kd_configs.json")),
);

Deno.test("cost() of the reference's files is what the reference's own counter says", () => {
  for (const { config, size, params, flops } of fixture.cases) {
    const found = cost(specFromKDiffusion(FILES[config]), [size, size]);
    assert.equal(found.params, params, config);
    assert.equal(found.macs, flops, config);
  }
});

Deno.test("flops counts the reference's files as the reference does, at any size", async () => {
  const dir = await Deno.makeTempDir();
  for (const [name, config] of Object.entries(FILES)) {
    await Deno.writeTextFile(join(dir, name), JSON.stringify(config));
  }
  const paths = Object.keys(FILES).map((name) => join(dir, name));
  for (const size of [32, 128, 512]) {
    const cases = fixture.cases.filter((c: { size: number }) => c.size === size);
    const files = cases.map((c: { config: string }) => join(dir, c.config));
    const { code, stdout, stderr } = await flops("--json", "--size", `${size}`, ...files);
    assert.equal(code, 0, stderr);
    const found: { size: number[]; params: number; macs: number }[] = JSON.parse(stdout);
    for (const [i, { params, flops: macs }] of cases.entries()) {
      const { size: at, params: p, macs: m } = found[i];
      assert.deepEqual({ at, p, m }, { at: [size, size], p: params, m: macs });
    }
  }
  // input_size where nothing else is said; hdit.md of the reference's demonstrations: 1.967, 11.636, 11.730
  const { stdout } = await flops(...paths);
  for (const text of ["1.967", "11.636", "11.730", "20,981,809", "256 × 256"]) {
    assert.ok(stdout.includes(text), text);
  }
});

Deno.test("flops takes input_size as it is, not square as well", async () => {
  const path = join(await Deno.makeTempDir(), "wide.json");
  const flowers = FILES["config_oxford_flowers.json"] as { model: object };
  const config = { model: { ...flowers.model, input_size: [128, 256] } };
  await Deno.writeTextFile(path, JSON.stringify(config));
  const expected = cost(presets["kd/oxford-flowers"], [128, 256]);
  for (const args of [[path], ["--size", "128x256", "kd/oxford-flowers"]]) {
    const [found] = JSON.parse((await flops("--json", ...args)).stdout);
    assert.deepEqual(found.size, [128, 256]);
    assert.equal(found.macs, expected.macs);
    assert.equal(found.params, expected.params);
  }
});

Deno.test("flops --grow counts Table 1 at other sizes", async () => {
  const rows = ["imagenet-128/A", "imagenet-128/B2", "imagenet-128/E", "imagenet-128/R1"];
  const { stdout } = await flops("--json", "--size", "256", "--grow", ...rows);
  const models: { macs: number }[] = JSON.parse(stdout);
  assert.deepEqual(models.map(({ macs }) => (macs / 1e9).toFixed(0)), ["114", "60", "65", "657"]);
  const { code, stderr } = await flops("--size", "192", "--grow", "imagenet-128/A");
  assert.equal(code, 1);
  assert.match(stderr, /must be doubled: its own is 128 × 128, the size is 192 × 192/);
});

Deno.test("flops adds up by level and by part, and doubles for operations", async () => {
  const names: ModelPresetName[] = [
    "imagenet-128/E",
    "imagenet-128/A",
    "imagenet-128/E-concat",
    "jit/B-16",
  ];
  const { stdout } = await flops("--json", "--ops", ...names);
  type Count = { params: number; macs: number; ops: number };
  type Model = Count & {
    name: string;
    byPart: Record<string, Count>;
    byLevel: (Count & { byPart: Record<string, Count> })[];
  };
  const models: Model[] = JSON.parse(stdout);
  assert.deepEqual(models.map(({ name }) => name), names);
  for (const model of models) {
    const { name, params, macs, ops, byPart, byLevel } = model;
    const exact = cost(presets[name as ModelPresetName], presetSize(name as ModelPresetName));
    assert.deepEqual([params, macs, ops], [exact.params, exact.macs, 2 * exact.macs], name);
    const parts = byLevel.flatMap((level) => Object.values(level.byPart));
    for (const key of ["params", "macs", "ops"] as const) {
      for (const counts of [Object.values(byPart), byLevel, parts]) {
        assert.equal(
          counts.reduce((sum, count) => sum + count[key], 0),
          model[key],
          `${name} ${key}`,
        );
      }
    }
  }
});

Deno.test("presetSize() is a size that each preset runs at", () => {
  for (const name of Object.keys(presets) as ModelPresetName[]) {
    assert.ok(cost(presets[name], presetSize(name)).macs > 0, name);
  }
});

Deno.test("flops says what is wrong", async () => {
  const path = join(await Deno.makeTempDir(), "old.json");
  await Deno.writeTextFile(path, JSON.stringify({ model: { type: "image_v1" } }));
  const wrong: [string[], number, RegExp][] = [
    [["imagenet-128/e"], 1, /must be a preset or a file: did you mean imagenet-128\/E\?/],
    [[path], 1, /old\.json: .*image_transformer_v2.*"image_v1"/],
    [["--size", "130", "imagenet-128/E"], 1, /imagenet-128\/E: .*multiple of 8.*128 and 136/],
    [["--size", "12x", "study"], 2, /side in pixels, or HEIGHTxWIDTH/],
    [["--sise", "128"], 2, /--size/],
  ];
  for (const [args, code, message] of wrong) {
    const result = await flops(...args);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
  }
});
