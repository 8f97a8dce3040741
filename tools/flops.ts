/**
 * `deno task flops`: parameters and multiply-adds of models, by level and by part.
 *
 * Multiply-adds are counted by the paper's rule: once each, of linear maps and attention alone, for one forward pass of
 * one image. Buffers are not parameters.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import { command, runCommand } from "../lib/command.ts";
import { sizeFromKDiffusion, specFromKDiffusion } from "../lib/io/k_diffusion_config.ts";
import { cost, type CostPart } from "../lib/models/cost.ts";
import { type ModelPresetName as PresetName, presets, presetSize } from "../lib/models/presets.ts";
import { growLevels, type HditSpec } from "../lib/models/spec.ts";
import { isBuffer, stateDictShapes } from "../lib/models/state_dict.ts";
import { nearest } from "../lib/nearest.ts";
import { formatTable } from "../lib/table.ts";

type Size = [height: number, width: number];
type Flags = { size?: Size; grow?: boolean; json?: boolean; ops?: boolean };
type Count = { params: number; macs: number; ops?: number };
type Parts = Partial<Record<CostPart, Count>>;
/** One line of the levels' table; `tokens` is missing for what is done once an image. */
type LevelCount = Count & { level: number | "once"; tokens?: number; byPart: Parts };
/** What is printed of a model; `ops` are twice the multiply-adds. */
type ModelCount = Count & { name: string; size: Size; byPart: Parts; byLevel: LevelCount[] };

const program = command(
  "flops",
  "Count parameters and multiply-adds (the paper's rule: linear maps and attention, one forward pass of one image)",
)
  .argument(
    "[models...]",
    "presets, and configuration files of k-diffusion (default: every preset)",
  )
  .option(
    "--size <pixels>",
    "side of the images, or HEIGHTxWIDTH (default: the configuration's input_size, the preset's table)",
    sizeOption,
  )
  .option(
    "--grow",
    "repeat the shallowest level for each doubling of the size, as the paper's Table 1 does at 256 and 512 px",
  )
  .option("--ops", "count operations, two for each multiply-add")
  .option("--json", "print an array of objects")
  .action(main);

async function main(names: string[], { size, grow, json, ops }: Flags): Promise<void> {
  const all = names.length === 0;
  const counts: ModelCount[] = [];
  for (const name of all ? Object.keys(presets) : names) {
    const model = await openModel(name);
    const given = size ?? model.size;
    if (!given) throw new RangeError(`Cannot count ${name} as it has no input_size: give --size`);
    const spec = () => grow ? grown(model, given) : model.spec;
    counts.push(named(name, () => count(name, spec(), given)));
  }
  if (json) {
    console.log(JSON.stringify(ops ? counts.map(withOps) : counts, null, 2));
  } else {
    console.log(summary(counts, ops));
    if (!all) { for (const model of counts) console.log(breakdown(model, ops)); }
  }
}

type Model = { spec: HditSpec; size: Size | undefined };

/** The model with a level more for each doubling of its own size; one of a single level stays as it is. */
function grown({ spec, size: own }: Model, size: Size): HditSpec {
  if (spec.levels.length === 1) return spec;
  if (!own) {
    throw new RangeError("Cannot grow the model as it has no size of its own to start from");
  }
  const doublings = Math.log2(size[0] / own[0]);
  if (!(Number.isInteger(doublings) && doublings >= 0 && size[1] / own[1] === 2 ** doublings)) {
    throw new RangeError(
      `Cannot grow the model as its size must be doubled: its own is ${
        own.join(" × ")
      }, the size is ${size.join(" × ")}`,
    );
  }
  return growLevels(spec, { doublings });
}

/** A preset, or a file of the reference. */
async function openModel(name: string): Promise<Model> {
  if (Object.hasOwn(presets, name)) {
    return { spec: presets[name as PresetName], size: presetSize(name as PresetName) };
  }
  let text: string;
  try {
    text = await Deno.readTextFile(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const near = nearest(name, Object.keys(presets));
    throw new RangeError(
      `Cannot count ${name} as it must be a preset or a file: ${
        near === undefined
          ? `presets are ${Object.keys(presets).join(", ")}`
          : `did you mean ${near}?`
      }`,
    );
  }
  return named(name, () => ({ spec: specFromKDiffusion(text), size: sizeFromKDiffusion(text) }));
}

/** Adds the model's name to an error. */
function named<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error) error.message = `${name}: ${error.message}`;
    throw error;
  }
}

function count(name: string, spec: HditSpec, size: Size): ModelCount {
  const { params, macs, byPart, byLevel } = cost(spec, size);
  const parts = Object.keys(byPart) as CostPart[];
  const sizes = paramCounts(spec);
  const at = (level: number | "once", part: CostPart) => sizes.get(`${level} ${part}`) ?? 0;
  const line = (
    level: number | "once",
    { tokens, macsOf }: { tokens?: number; macsOf: (part: CostPart) => number },
  ): LevelCount => {
    const own: Parts = {};
    for (const part of parts) {
      const both = { params: at(level, part), macs: macsOf(part) };
      if (both.params + both.macs > 0) own[part] = both;
    }
    const total = add(Object.values(own));
    return { level, ...(tokens === undefined ? {} : { tokens }), ...total, byPart: own };
  };
  const levels = byLevel.map((level, i) =>
    line(i, { tokens: level.tokens, macsOf: (part) => level.byPart[part] })
  );
  const once = line("once", {
    macsOf: (part) => byPart[part] - byLevel.reduce((sum, level) => sum + level.byPart[part], 0),
  });
  const lines = [...levels, once];
  const totals = Object.fromEntries(
    parts.map((part) => [part, add(lines.map((l) => l.byPart[part] ?? { params: 0, macs: 0 }))]),
  );
  return { name, size, params, macs, byPart: totals, byLevel: lines };
}

function add(counts: Count[]): Count {
  return counts.reduce(
    (sum, { params, macs }) => ({ params: sum.params + params, macs: sum.macs + macs }),
    { params: 0, macs: 0 },
  );
}

/** Parameters by level and part, by `LEVEL PART`. */
function paramCounts(spec: HditSpec): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [path, shape] of stateDictShapes(spec)) {
    if (isBuffer(path)) continue;
    const key = `${levelOf(path, spec)} ${partOf(path)}`;
    counts.set(key, (counts.get(key) ?? 0) + shape.reduce((a, b) => a * b, 1));
  }
  return counts;
}

function levelOf(path: string, spec: HditSpec): number | "once" {
  const outer = /^(?:down_levels|up_levels|merges|splits)\.(\d+)\./.exec(path);
  if (outer) return Number(outer[1]);
  if (/^(?:mid_level|in_context)\./.test(path)) return spec.levels.length - 1;
  return /^(?:patch_in|patch_out|out_norm\.scale|pos_emb)/.test(path) ? 0 : "once";
}

/** The part of the cost that a parameter belongs to; what no layer has is the condition's. */
function partOf(path: string): CostPart {
  if (/^(?:merges|splits)\./.test(path)) return "mergeSplit";
  if (/^(?:patch_in|patch_out|out_norm\.scale|pos_emb)/.test(path)) return "patch";
  if (!/^(?:down_levels|up_levels|mid_level)\./.test(path)) return "condition";
  if (/\bnorm\./.test(path)) return "condition";
  return /\.ff\./.test(path) ? "feedForward" : "projections";
}

function summary(counts: ModelCount[], ops = false): string {
  return formatTable(counts, {
    columns: [
      { title: "model", value: ({ name }) => name },
      { title: "pixels", value: ({ size }) => size.join(" × ") },
      { title: "parameters", value: ({ params }) => params.toLocaleString("en") },
      {
        title: ops ? "G operations" : "G multiply-adds",
        value: ({ macs }) => giga(macs, ops),
      },
    ],
  });
}

/** Two tables of a model: levels down, parts across. */
function breakdown({ name, size, byPart, byLevel, params, macs }: ModelCount, ops = false): string {
  const total: LevelCount = { level: "once", params, macs, byPart };
  const rows = [
    ...byLevel.map((line) => ({
      label: line.level === "once" ? "once an image" : `level ${line.level}`,
      line,
    })),
    { label: "all", line: total },
  ];
  const table = (value: (count: Count) => string, key: "params" | "macs") =>
    formatTable(rows, {
      indent: "  ",
      columns: [
        { title: "", value: ({ label }) => label },
        { title: "tokens", value: ({ line }) => line.tokens },
        ...Object.entries(byPart).filter(([, both]) => both[key] > 0).map(([part]) => ({
          title: words(part),
          value: ({ line }: { line: LevelCount }) => {
            const both = line.byPart[part as CostPart];
            return both && both[key] > 0 ? value(both) : "-";
          },
        })),
        { title: "all", value: ({ line }) => value(line) },
      ],
    });
  return [
    `\n${name}, ${size.join(" × ")} pixels: ${
      ops ? "operations (two for each multiply-add)" : "multiply-adds"
    } in 10⁹`,
    table(({ macs }) => giga(macs, ops), "macs"),
    `\n${name}: parameters`,
    table(({ params }) => params.toLocaleString("en"), "params"),
  ].join("\n");
}

/** `feedForward` as "feed forward". */
function words(part: string): string {
  return part.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function giga(macs: number, ops: boolean): string {
  const value = (ops ? 2 : 1) * macs / 1e9;
  return value.toFixed(value >= 0.1 ? 3 : 6);
}

/** Puts `ops` beside every `macs`. */
function withOps<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value),
    (_, node) =>
      node !== null && typeof node === "object" && "macs" in node
        ? { ...node, ops: 2 * node.macs }
        : node,
  );
}

function sizeOption(text: string): Size {
  const sides = text.trim().split(/\s*[x×]\s*/i).map(Number);
  const [height, width = height] = sides;
  const whole = sides.length <= 2 && [height, width].every((n) => Number.isSafeInteger(n) && n > 0);
  if (whole) return [height, width];
  throw new InvalidArgumentError("It must be a side in pixels, or HEIGHTxWIDTH");
}

await runCommand(program);
