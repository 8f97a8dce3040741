/**
 * Every figure of parameters and multiply-adds that is printed for the paper's models, to the digits printed.
 *
 * Sources: the tables of arXiv 2401.11605 (v2); the comments in the authors' configuration files; and figures that others
 * derived from them by the paper's rule, with more digits than the paper prints.
 */
import assert from "node:assert/strict";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import { type Cost, cost } from "../../lib/models/cost.ts";
import { type ModelPresetName, presets, presetSize } from "../../lib/models/presets.ts";
import { growLevels, type HditSpec, type LevelSpec } from "../../lib/models/spec.ts";
import { isBuffer, stateDictShapes } from "../../lib/models/state_dict.ts";

/** Holds a number to a printed figure: "31.37", "1,060", "-96.9 %", "116x", "85,079,300". */
function assertPrinted(value: number, printed: string, what: string): void {
  const digits = /\.(\d+)/.exec(printed)?.[1].length ?? 0;
  assert.equal(value.toFixed(digits), printed.replace(/[,x% ]/g, ""), what);
}
const giga = ({ macs }: Cost) => macs / 1e9;
const mega = ({ params }: Cost) => params / 1e6;

/** A row of Table 1 at a size: models of one level stay as they are, the others get a level for each doubling. */
function ablation(row: string, side: number): Cost {
  const spec: HditSpec = presets[`imagenet-128/${row}` as ModelPresetName];
  const doublings = Math.log2(side / 128);
  return cost(spec.levels.length === 1 ? spec : growLevels(spec, { doublings }), [side, side]);
}

Deno.test("cost() has the figures of Table 1: multiply-adds at three sizes, and the savings", () => {
  const dit = ["106", "657", "6,341"];
  const table: [row: string, macs: string[], saved: (string | undefined)[]][] = [
    ["R1", dit, []],
    ["R3", dit, []],
    ["R4", dit, []],
    ["A", ["32", "114", "1,060"], ["-83 %", "-83 %"]],
    ["B1", ["29", "60", "185"], ["-91 %", "-97 %"]],
    ["B2", ["29", "60", "184"], ["-91 %", "-97 %"]],
    ["C", ["31", "65", "198"], ["-90 %", "-96.9 %"]], // printed -96 %, which is not rounded
    ["D", ["31", "65", "198"], []],
    ["E", ["31", "65", "198"], []],
  ];
  for (const [row, macs, saved] of table) {
    for (const [i, side] of [128, 256, 512].entries()) {
      assertPrinted(giga(ablation(row, side)), macs[i], `${row} at ${side}`);
    }
    for (const [i, side] of [256, 512].entries()) {
      const share = giga(ablation(row, side)) / giga(ablation("R1", side));
      if (saved[i]) assertPrinted(100 * (share - 1), saved[i], `${row} at ${side}, saved`);
    }
  }
  // §5.2: DiT-B has about 130M parameters, HDiT's rows about 105M to 120M; Table 7: E has 117M
  assert.equal(Number(mega(ablation("R1", 128)).toPrecision(2)), 130);
  for (const row of ["A", "B1", "B2", "C", "D", "E"]) {
    const millions = mega(ablation(row, 128));
    assert.ok(millions > 105 && millions < 120, `${row}: ${millions}M`);
  }
  assertPrinted(mega(ablation("E", 128)), "117.00", "E");
});

Deno.test("cost() has the figures of Table 1 to five digits: the mapping network's width of 3 × GEGLU gives all of them", () => {
  // A, B1 and B2 have GELU in their blocks. What the mapping network has is told by these nine figures alone. With
  // w = 768 and one block its multiply-adds are 9 w² = 5.308M with GEGLU of 3 w. Against that, in 10⁹:
  //
  // |                        | A at 256    | B2 at 128  | B2 at 256  |
  // | printed                | 114.03      | 29.10      | 60.04      |
  // | GEGLU of 3 w, 9 w²     | 114.02537   | 29.10408   | 60.03524   |
  // | GELU of 4 w, 8 w²      | 114.02478 ✗ | 29.10349   | 60.03465 ✗ |
  // | GELU of 3 w, 6 w²      | 114.02360 ✗ | 29.10231   | 60.03347 ✗ |  the authors' files
  // | GEGLU of 4 w, 12 w²    | 114.02714   | 29.10585 ✗ | 60.03701   |
  const table: [row: string, macs: string[]][] = [
    ["A", ["32.17", "114.03", "1059.9"]],
    ["B1", ["29.15", "60.27", "184.74"]],
    ["B2", ["29.10", "60.04", "183.75"]],
    ["C", ["31.37", "64.72", "198.10"]],
    ["D", ["31.37", "64.72", "198.10"]],
    ["E", ["31.369", "64.72", "198.10"]],
  ];
  for (const [row, macs] of table) {
    for (const [i, side] of [128, 256, 512].entries()) {
      assertPrinted(giga(ablation(row, side)), macs[i], `${row} at ${side}`);
    }
  }
});

Deno.test("cost() has DiT-B/4's figures to five digits with the blocks and patches alone", () => {
  // With w = 768 and n = 4096 tokens at 256 px, twelve blocks' linear maps and attention and both patch maps are
  // 657.431986 · 10⁹, the blocks' modulation is 12 · 6 w² = 0.042467, together 657.474453: printed 657.47. A single
  // w × w map of a noise level's embedding, w² = 0.000590, would make it 657.475043, which is 657.48; the whole model
  // with its embeddings and its final modulation is 657.476812. So the printed figure leaves out what is done once an
  // image, and no DiT that is told its noise level has it.
  const sizes: [side: number, levels: string, all: string][] = [
    [128, "106.42", "106.421"],
    [256, "657.47", "657.477"],
    [512, "6340.6", "6340.625"],
  ];
  for (const [side, levels, all] of sizes) {
    const found = ablation("R1", side);
    assertPrinted(found.byLevel[0].macs / 1e9, levels, `DiT-B/4 at ${side}`);
    assertPrinted(giga(found), all, `DiT-B/4 at ${side}, all`);
  }
});

Deno.test("cost() has the figures of Tables 6 and 8: nine models for ImageNet-256", () => {
  const table: [
    size: string,
    params: string,
    macs: string,
    more: [params: string, macs: string],
  ][] = [
    ["p16-S", "116", "29", ["116.4", "29.40"]],
    ["p16-M", "267", "68", ["267.0", "67.96"]],
    ["p16-L", "507", "129", ["507.3", "129.47"]],
    ["p8-S", "134", "44", ["133.9", "44.44"]],
    ["p8-M", "294", "91", ["294.4", "91.45"]],
    ["p8-L", "547", "163", ["546.9", "163.30"]],
    ["p4-S", "139", "60", ["138.7", "59.78"]],
    ["p4-M", "302", "115", ["301.8", "115.33"]],
    ["p4-L", "557", "198", ["557.4", "197.59"]],
  ];
  for (const [size, params, macs, more] of table) {
    const spec = presets[`imagenet-256/${size}` as ModelPresetName];
    const found = cost(spec, [256, 256]);
    assertPrinted(mega(found), params, size);
    assertPrinted(giga(found), macs, size);
    // To four digits the parameters were counted with their buffers: p16-L has 507,245,696 of its own, which
    // would be 507.2, and 4,352 frequencies
    const buffers = [...stateDictShapes(spec)].filter(([path]) => isBuffer(path))
      .reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
    assertPrinted(mega(found) + buffers / 1e6, more[0], `${size} with its buffers`);
    assertPrinted(giga(found), more[1], size);
  }
});

Deno.test("cost() has the figures of Table 7, and those that tell the mapping networks' width", () => {
  const ffhq = presets["ffhq-1024"], imagenet = presets["imagenet-256"];
  const of = (name: ModelPresetName) => cost(presets[name], presetSize(name));
  const table: [name: ModelPresetName, params: string, macs: string][] = [
    ["imagenet-128/E", "117", "31"],
    ["ffhq-1024", "85", "206"],
    ["imagenet-256", "557", "198"],
  ];
  for (const [name, params, macs] of table) {
    assertPrinted(mega(of(name)), params, name);
    assertPrinted(giga(of(name)), macs, name);
  }
  // the comment in the authors' file: 85,079,300 params, 206.076 GFLOPs
  assert.equal(of("ffhq-1024").params.toLocaleString("en"), "85,079,300");
  assertPrinted(giga(of("ffhq-1024")), "206.076", "FFHQ-1024");
  assertPrinted(mega(of("imagenet-256")), "557.42", "ImageNet-256");
  // 768 wide, as the table says, they would be larger
  const wide = (spec: HditSpec): HditSpec => ({
    ...spec,
    mapping: { ...spec.mapping, width: 768, dFf: 3 * 768 },
  });
  assertPrinted(mega(cost(wide(ffhq), [1024, 1024])), "104.0", "FFHQ-1024, 768 wide");
  assertPrinted(mega(cost(wide(imagenet), [256, 256])), "598.3", "ImageNet-256, 768 wide");
});

Deno.test("cost() has the figures of cost scaling: HDiT-B/4 against DiT-B/4 from 128² to 2048²", () => {
  const table: [side: number, dit: string, hdit: string, share: string, saving: string][] = [
    [128, "106.4", "31.37", "29.5 %", "3.4x"],
    [256, "657.5", "64.72", "9.84 %", "10.2x"],
    [512, "6,340.6", "198.1", "3.12 %", "32x"],
    [1024, "84,736", "731.6", "0.863 %", "116x"],
    [2048, "1,288,922", "2,866", "0.22 %", "450x"],
  ];
  for (const [side, dit, hdit, share, saving] of table) {
    const [a, b] = [giga(ablation("R1", side)), giga(ablation("E", side))];
    assertPrinted(a, dit, `DiT-B/4 at ${side}`);
    assertPrinted(b, hdit, `HDiT-B/4 at ${side}`);
    assertPrinted(100 * b / a, share, `share at ${side}`);
    assertPrinted(a / b, saving, `saving at ${side}`);
  }
});

Deno.test("cost() of E at 1024² is mostly that of linear maps; attention is 2 % of it", () => {
  const found = ablation("E", 1024), { byPart } = found;
  const parts: [printed: string, macs: number][] = [
    ["731.6", found.macs],
    ["689.0", byPart.projections + byPart.feedForward + byPart.condition],
    ["26.0", byPart.mergeSplit],
    ["13.1", byPart.localAttention],
    ["2.4", byPart.patch],
    ["1.1", byPart.globalAttention],
  ];
  for (const [printed, macs] of parts) assertPrinted(macs / 1e9, printed, printed);
  const attention = byPart.localAttention + byPart.globalAttention;
  assertPrinted(100 * attention / found.macs, "2 %", "attention");
});

/** A configuration file's network, as far as its cost goes. */
const file = (input_size: number, model: object, dataset: object = {}) =>
  cost(
    specFromKDiffusion({
      model: {
        ...{ type: "image_transformer_v2", input_channels: 3, patch_size: [4, 4] },
        ...{ input_size: [input_size, input_size], ...model },
      },
      dataset,
    }),
    [input_size, input_size],
  );

Deno.test("cost() has the figures in the authors' files for AFHQ, and those of the reference's demonstrations", () => {
  const neighborhood = { type: "neighborhood", d_head: 64 }, global = { type: "global" };
  const afhq = (widths: number[]) =>
    file(512, {
      ...{ depths: [2, 2, 2, 2], widths },
      self_attns: [neighborhood, neighborhood, global, global],
    }, { num_classes: 3 });
  const small = afhq([128, 256, 768, 1024]), large = afhq([256, 512, 768, 1024]);
  assertPrinted(mega(small), "75", "AFHQ-75M");
  assertPrinted(giga(small), "78.749", "AFHQ-75M");
  assertPrinted(mega(large), "91", "AFHQ-91M");
  assertPrinted(giga(large), "168.768", "AFHQ-91M");
  const demonstrations: [name: ModelPresetName, params: string | undefined, macs: string][] = [
    ["kd/oxford-flowers", "22.36", "11.636"],
    ["kd/oxford-flowers-shifted-window", undefined, "11.730"],
    ["kd/cifar10", "20.98", "1.967"],
    ["kd/mnist", "9.19", "0.3466"],
  ];
  for (const [name, params, macs] of demonstrations) {
    const found = cost(presets[name], presetSize(name));
    if (params) assertPrinted(mega(found), params, name);
    assertPrinted(giga(found), macs, name);
  }
});

Deno.test("cost() has the figures of FFHQ-1024 with no to five global levels", () => {
  const spec = presets["ffhq-1024"], n = spec.levels.length;
  const printed = ["199.7", "199.9", "206.1", "257.0", "805.1", "5199.9"];
  for (const [globals, macs] of printed.entries()) {
    const levels = spec.levels.map((level, i): LevelSpec => ({
      ...level,
      attention: i < n - globals
        ? { kind: "neighborhood", dHead: 64, kernelSize: 7 }
        : { kind: "global", dHead: 64 },
    }));
    assertPrinted(giga(cost({ ...spec, levels }, [1024, 1024])), macs, `${globals} global levels`);
  }
});

Deno.test("cost() of a layer is the paper's formula: 13 or 12 n w² of linear maps, 2 n w for each key of a query", () => {
  const n = 16 * 16, w = 64, k = 7, W = 8;
  const layer = (change: Partial<LevelSpec> & Partial<Pick<HditSpec, "feedForward">>) => {
    const { feedForward = { kind: "geglu" } as const, ...level } = change;
    const spec: HditSpec = {
      ...presets["emoji-64"],
      feedForward,
      levels: [{ ...presets["emoji-64"].levels[0], depth: 1, ...level }],
    };
    const { projections, feedForward: ff, globalAttention, localAttention } =
      cost(spec, [64, 64]).byPart;
    return { linear: projections + ff, attention: globalAttention + localAttention };
  };
  assert.equal(layer({}).linear, 13 * n * w ** 2);
  assert.equal(layer({ feedForward: { kind: "gelu" }, dFf: 4 * w }).linear, 12 * n * w ** 2);
  const attention = (attention: LevelSpec["attention"]) => layer({ attention }).attention;
  assert.equal(attention({ kind: "global", dHead: 64 }), 2 * n ** 2 * w);
  assert.equal(attention({ kind: "neighborhood", dHead: 64, kernelSize: k }), 2 * n * k ** 2 * w);
  assert.equal(attention({ kind: "shifted-window", dHead: 64, windowSize: W }), 2 * n * W ** 2 * w);
  const { mergeSplit } = cost(presets["emoji-64"], [64, 64]).byPart; // widths 64 and 128
  assert.equal(mergeSplit, 2 * n * 64 * 128);
});

Deno.test("cost() has the figures of JiT's Table 7, class tokens included", () => {
  const table: [name: ModelPresetName, params: string, macs: string][] = [
    ["jit/B-16", "131", "25"],
    ["jit/L-16", "459", "88"],
    ["jit/H-16", "953", "182"],
  ];
  for (const [name, params, macs] of table) {
    const found = cost(presets[name], presetSize(name));
    assertPrinted(mega(found), params, name);
    assertPrinted(giga(found), macs, name);
  }
});
