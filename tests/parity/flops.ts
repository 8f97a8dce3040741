/** Cases of the room `flops`: parameters and multiply-adds of the reference's configuration files. */
import { cost } from "../../lib/models/cost.ts";
import { presets } from "../../lib/models/presets.ts";
import { paramGroup, stateDictShapes } from "../../lib/models/hdit.ts";
import { isBuffer } from "../../lib/models/state_dict.ts";
import type { HditSpec } from "../../lib/models/spec.ts";
import { specFromKDiffusion } from "../../lib/io/k_diffusion_config.ts";
import { type Handler, type Json, result } from "./run.ts";

/** The demonstration configurations by file name; others come with the case. */
const CONFIGS: Record<string, HditSpec> = {
  "config_mnist_transformer.json": presets["kd/mnist"],
  "config_cifar10_transformer.json": presets["kd/cifar10"],
  "config_oxford_flowers.json": presets["kd/oxford-flowers"],
  "config_oxford_flowers_shifted_window.json": presets["kd/oxford-flowers-shifted-window"],
};

export const handlers: Handler[] = [{
  room: "flops",
  stem: "",
  when: ({ json }) => json.cases?.every?.((c: Json) => "flops" in c) ?? false,
  async *run(fixture) {
    for (const [index, settings] of fixture.json.cases.entries()) {
      const name = `${fixture.label}[${index}]`;
      const differences = compare(settings);
      const [worst] = differences.sort((a, b) => b.error - a.error);
      const tolerance = fixture.json.tolerance.value;
      yield result(name, { error: worst.error, tolerance, note: worst.note });
    }
  },
}];

function compare(settings: Json): { error: number; note: string }[] {
  const given = settings.config;
  const known = typeof given === "string" ? CONFIGS[given] : specFromKDiffusion(given);
  const classes = settings.num_classes_arg; // the null class included, 0 for none
  const spec = known && classes !== undefined
    ? { ...known, numClasses: Math.max(classes - 1, 0) }
    : known;
  if (!spec) return [{ error: NaN, note: `unknown configuration ${given}` }];
  const size = settings.size ?? settings.input_size;
  const { params, macs, byPart } = cost(
    spec,
    Array.isArray(size) ? size as [number, number] : [size, size],
  );
  const shapes = [...stateDictShapes(spec)];
  const local = spec.levels.some(({ attention }) => attention.kind === "neighborhood")
    ? byPart.localAttention
    : 0;
  const batch = settings.batch ?? 1;
  const ops: Record<string, number> = {
    op_natten: local,
    op_attention: byPart.globalAttention + byPart.localAttention - local,
  };
  ops.op_linear = macs - ops.op_natten - ops.op_attention;
  const numel = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  const groups = [[1, true], [1, false], [1 / 3, true], [1 / 3, false]].map(([lr, decay]) =>
    shapes.filter(([path]) => {
      const group = paramGroup(path);
      return !isBuffer(path) && group.lrScale === lr && group.weightDecay === decay;
    }).reduce((n, [, shape]) => n + numel(shape), 0)
  );
  const checks: [note: string, actual: number, expected: number | undefined][] = [
    ["flops", macs * batch, settings.flops],
    ["params", params, settings.params],
    ...Object.entries(settings.by_op ?? {}).map(([op, n]) =>
      [op, ops[op] * batch, n] as [string, number, number]
    ),
    ...(settings.param_group_numel ?? []).map((n: number, i: number) =>
      [`parameter group ${i}`, groups[i], n] as [string, number, number]
    ),
  ];
  const differences = checks.filter(([, , expected]) => expected !== undefined)
    .map(([note, actual, expected]) => ({ note, error: Math.abs(actual - expected!) }));
  if (settings.state_dict) {
    const same = JSON.stringify(Object.fromEntries(shapes)) === JSON.stringify(settings.state_dict);
    differences.push({ note: "names and shapes of the state dict", error: same ? 0 : 1 });
  }
  return differences;
}
