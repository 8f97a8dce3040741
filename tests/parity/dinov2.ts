/** Cases of the room `dinov2`: the network with stored and with formula weights, and its images. */
import * as tf from "@tensorflow/tfjs";
import { compile } from "../../lib/engine/compile.ts";
import { treeDispose, treeEntries } from "../../lib/engine/tree.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import { storedTensors } from "../../lib/io/stored_tensor.ts";
import { dinov2, type Dinov2Params, type Dinov2Positions } from "../../lib/metrics/dinov2.ts";
import { dinov2Positions } from "../../lib/metrics/dinov2_positions.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";
import { handlers as formula } from "./dinov2_formula.ts";
import { handlers as images } from "./dinov2_preprocess.ts";
import {
  compareTensors,
  type Fixture,
  type Handler,
  type Json,
  toleranceOf,
  toTensor,
} from "./run.ts";

const base = (fixture: Fixture) => fixture.name.replace(/\.(io|weights)$/, "");
const RULES: Record<string, Dinov2Positions> = { fb: "torch.hub", hf: "transformers" };

function isVit(fixture: Fixture | undefined): boolean {
  return "hidden_size" in (fixture?.json.config ?? {});
}

/** A whole model, its images, its weights. */
export const handlers: Handler[] = [
  {
    room: "dinov2",
    stem: "",
    when: (fixture) => fixture.name.endsWith(".io") && isVit(fixture),
    run: model,
  },
  {
    room: "dinov2",
    stem: "",
    when: (fixture) =>
      fixture.name.endsWith(".weights") && isVit(fixture.sibling(`${base(fixture)}.io`)),
    run: weights,
  },
  ...formula,
  ...images,
];

/** All activations of each input: `native.after_layer0` by both rules of positions, `wide.pos_fb` by one. */
async function* model(fixture: Fixture) {
  const { params, spec } = loaded(fixture);
  const compiled = Object.entries(RULES).map(([suffix, positions]) => {
    const run = compile(({ params, x }: { params: Dinov2Params; x: tf.Tensor }) =>
      activations(params, x, { spec, positions })
    );
    return { suffix, run };
  });
  const stored = [...fixture.tensors()];
  const inputs = stored.flatMap(([name]) => name.match(/^(.+)\.x$/)?.[1] ?? []);
  if (inputs.length === 0) throw new RangeError(`Cannot check ${fixture.label} as it has no input`);
  for (const input of inputs) {
    const x = toTensor(fixture.tensors().get(`${input}.x`)!);
    const expected: Record<string, SafetensorsTensor> = {};
    const actual: Record<string, tf.Tensor> = {};
    for (const { suffix, run } of compiled) {
      const outputs = await run({ params, x });
      for (const [name, tensor] of stored) {
        if (!name.startsWith(`${input}.`) || name === `${input}.x`) continue;
        const [, part, rule = suffix] = name.slice(input.length + 1).match(/^(.+?)(?:_(fb|hf))?$/)!;
        if (rule !== suffix) continue;
        expected[`${name} (${suffix})`] = tensor;
        if (outputs[part]) actual[`${name} (${suffix})`] = tf.clone(outputs[part]);
      }
      tf.dispose(outputs);
    }
    const tolerance = toleranceOf(fixture);
    yield await compareTensors(`${fixture.label}/${input}`, { actual, expected, tolerance });
    tf.dispose([x, actual]);
  }
  for (const { run } of compiled) run.dispose();
  treeDispose(params);
}

function activations(
  params: Dinov2Params,
  x: tf.Tensor,
  { spec: { heads, patch, width }, positions }: { spec: Dinov2Spec; positions: Dinov2Positions },
): Record<string, tf.Tensor> {
  const images = tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D; // the reference is channels-first
  const { embeddings, blocks, tokens } = dinov2(params, images, { heads, positions });
  const grid = [images.shape[1] / patch, images.shape[2] / patch] as const;
  return {
    pos: tf.clone(dinov2Positions(params.pos_embed, { grid, rule: positions })),
    embeddings,
    ...Object.fromEntries(blocks.map((block, i) => [`after_layer${i}`, block])),
    last_hidden_state: tokens,
    pooler_output: tf.reshape(tf.slice(tokens, [0, 0, 0], [-1, 1, -1]), [-1, width]),
  };
}

/** Both names give the tree that the table of names says, number by number. */
async function* weights(fixture: Fixture) {
  const { json } = fixture.sibling(`${base(fixture)}.io`)!;
  const theirs = fixture.tensors();
  const renamed = Object.entries(tableOf(json, fixture)).map(([name, parts]) =>
    [name, joined(parts.map((part) => theirs.get(part)!))] as [string, SafetensorsTensor]
  );
  const expected = Object.fromEntries(renamed.filter(([name]) => name !== "mask_token"));
  const forms = { transformers: theirs, facebookresearch: new Map(renamed) };
  for (const [form, tensors] of Object.entries(forms)) {
    const { params } = dinov2FromStateDict(storedTensors(tensors), headsOf(json));
    const actual = Object.fromEntries(treeEntries(params));
    yield await compareTensors(`${fixture.label}/${form}`, {
      actual: Object.keys(actual).length === Object.keys(expected).length ? actual : {},
      expected,
      tolerance: toleranceOf(fixture),
    });
    treeDispose(params);
  }
}

/** facebookresearch's names and those of transformers, in the JSON or in another that it names. */
function tableOf({ original_key_names: names }: Json, fixture: Fixture): Record<string, string[]> {
  const other = typeof names === "string" ? names.match(/(\S+)\.json/)?.[1] : undefined;
  const table = other ? fixture.sibling(other)?.json.original_key_names?.table : names?.table;
  if (table) return table;
  throw new RangeError(`Cannot check ${fixture.label} as there must be a table of names`);
}

const headsOf = ({ config }: Json) => ({ heads: config.num_attention_heads });

function loaded(fixture: Fixture) {
  const { tensors } = fixture.sibling(`${base(fixture)}.weights`)!;
  return dinov2FromStateDict(storedTensors(tensors()), headsOf(fixture.json));
}

/** Tensors one after the other along the first axis. */
function joined(parts: SafetensorsTensor[]): SafetensorsTensor {
  if (parts.length === 1) return parts[0];
  const [{ dtype, shape }] = parts;
  return {
    dtype,
    shape: [parts.length * shape[0], ...shape.slice(1)],
    data: Float32Array.from(parts.flatMap(({ data }) => Array.from(data as Float32Array))),
  };
}
