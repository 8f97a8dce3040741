/** DINOv2 with weights that a formula gives, on images that a formula gives. */
import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import { compile } from "../../lib/engine/compile.ts";
import { treeDispose, treeMap } from "../../lib/engine/tree.ts";
import type { StoredTensor } from "../../lib/io/stored_tensor.ts";
import { dinov2, type Dinov2Params, type Dinov2Positions } from "../../lib/metrics/dinov2.ts";
import { dinov2ExtractorOf } from "../../lib/metrics/dinov2_features.ts";
import { dinov2Images } from "../../lib/metrics/dinov2_images.ts";
import { dinov2FromStateDict, type Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";
import { formulaImage, formulaUniform } from "./formula_weights.ts";
import { cropOf, numbersIn, rowsIn, statistics } from "./image_checks.ts";
import { compareTensors, type Fixture, type Handler, type Json, toleranceOf } from "./run.ts";

export const handlers: Handler[] = [{
  room: "dinov2",
  stem: "",
  when: ({ json }) => "weight_formula" in json && "hidden_size" in (json.config ?? {}),
  run: formula,
}];

const RULES: Record<string, Dinov2Positions> = { fb: "torch.hub", hf: "transformers" };
const MEAN = [0.485, 0.456, 0.406].map(Math.fround);
const DEVIATION = [0.229, 0.224, 0.225].map(Math.fround);

type Size = { height: number; width: number };
type Numbers = Record<string, ArrayLike<number>>;
type Model = { params: Dinov2Params; spec: Dinov2Spec };

async function* formula(fixture: Fixture) {
  const { json, label } = fixture;
  const tensors = weightsOf(json);
  yield await compareWeights(fixture, tensors);
  const model = dinov2FromStateDict(tensors, { heads: json.config.num_attention_heads });

  const ks = numbersIn(json.image_formula, /k=\[?([\d., ]+)/);
  const [n, , height, width] = json.input.shape;
  const images = formulaImages(ks.slice(0, n), { height, width });
  const actual: Numbers = {
    input_crop: cropOf(images, rowsIn(json.crop)),
    ...stated("input", statistics(images)),
  };
  for (const suffix of suffixesIn(fixture, /^cls_(..)$/)) {
    Object.assign(actual, await network(model, { images, suffix, fixture }));
  }
  for (const suffix of suffixesIn(fixture, /^cls_rect_(..)$/)) {
    const image = formulaImages([ks[0]], { height: json.rect.H, width: json.rect.W });
    actual[`cls_rect_${suffix}`] = (await activations(model, image, suffix)).cls.data;
  }
  if (json.kdiffusion) Object.assign(actual, await kDiffusion(model, { ks, json }));
  treeDispose(model.params);

  const layers = Object.keys(json).filter((key) => key.startsWith("rms_of_residual_stream"));
  yield await compareTensors(label, {
    actual,
    expected: {
      ...Object.fromEntries(fixture.tensors()),
      ...Object.fromEntries(layers.map((key) => [key, json[key] as number[]])),
      ...["input", "kdiffusion_pre"].filter((key) => key in json).reduce((all, key) => {
        const { mean, std, first8 } = json[key];
        return { ...all, ...stated(key, { moments: [mean, std], first8 }) };
      }, {} as Numbers),
    },
    tolerance: toleranceOf(fixture),
  });
}

/** Suffixes of the names of the fixture's tensors that match. */
function suffixesIn(fixture: Fixture, pattern: RegExp): string[] {
  return [...fixture.tensors().keys()].flatMap((name) => name.match(pattern)?.[1] ?? []);
}

/** What the JSON says of images that are not stored. */
function stated(name: string, { moments, first8 }: Record<string, number[]>): Numbers {
  return { [`${name}, mean and deviation`]: moments, [`${name}, first 8`]: first8 };
}

/** What the fixture has of a run by a rule of positions. */
async function network(
  model: Model,
  { images, suffix, fixture }: { images: NdArray<Float32Array>; suffix: string; fixture: Fixture },
): Promise<Numbers> {
  const { cls, layers, rms, embeddings, tokens } = await activations(model, images, suffix);
  const name = `cls_${suffix}`;
  const out: Numbers = {
    [name]: cls.data,
    [`${name}.cls_after_each_layer`]: layers.data,
    [`rms_of_residual_stream_per_layer_${suffix}`]: rms.data,
  };
  for (const key of fixture.tensors().keys()) { // which tokens are kept is in the tensor's name
    if (!key.startsWith(`${name}.`)) continue;
    const first = key.match(/\.embeddings_first(\d+)tokens$/)?.[1];
    if (first) out[key] = pick(embeddings, [...Array(Number(first)).keys()]);
    const which = key.match(/\.last_hidden_state_tokens_([\d_]+)$/)?.[1];
    if (which) out[key] = pick(tokens, which.split("_").map(Number));
  }
  return out;
}

/** What k-diffusion's extractor makes of images of another size, and of a grey part of the first. */
async function kDiffusion(
  { params, spec }: Model,
  { ks, json }: { ks: number[]; json: Json },
): Promise<Numbers> {
  const { input, pre_crop } = json.kdiffusion;
  const [height, width] = numbersIn(input, /at 3x(\d+)x(\d+)/);
  const [, , rows, columns] = numbersIn(input, /\[(\d+,\d+,\d+,\d+)\]/);
  const signed = ks.slice(0, json.kdiffusion_pre.shape[0])
    .map((k) => formulaImage(k, { height, width }).map((v) => 2 * v - 1));
  const colour = batch(signed, { height, width });
  const grey = denseData(colour.lo(0, 0, 0, 0).hi(1, rows, columns, 1));
  const prepared = dinov2Images(colour, "k-diffusion");
  const extractor = dinov2ExtractorOf({ params: treeMap(params, (t) => t.clone()), spec }, {
    preprocessing: "k-diffusion",
    batchSize: 2,
  });
  const features = [
    await extractor.extract(colour),
    await extractor.extract(ndarray(grey, [1, rows, columns, 1])),
  ];
  extractor.dispose();
  return {
    kdiffusion_pre_crop: cropOf(prepared, rowsIn(pre_crop)),
    ...stated("kdiffusion_pre", statistics(prepared)),
    kdiffusion_features: features[0].data,
    kdiffusion_features_gray: features[1].data,
  };
}

/** Images of one size as one array. */
function batch(images: Float32Array[], { height, width }: Size): NdArray<Float32Array> {
  const out = new Float32Array(images.length * images[0].length);
  images.forEach((image, i) => out.set(image, i * image.length));
  return ndarray(out, [images.length, height, width, 3]);
}

/** Images k by the formula, normalised by channel in float32. */
function formulaImages(ks: number[], size: Size): NdArray<Float32Array> {
  return batch(
    ks.map((k) =>
      formulaImage(k, size).map((v, i) => Math.fround(v - MEAN[i % 3]) / DEVIATION[i % 3])
    ),
    size,
  );
}

const SCALES: Record<string, (u: number, fanIn: number) => number> = {
  fc: (u, fanIn) => u * Math.sqrt(3 / fanIn),
  ln_w: (u) => 1 + 0.2 * u,
  ln_b: (u) => 0.1 * u,
  bias: (u) => 0.1 * u,
  ls: (u) => 0.6 + 0.4 * u,
  emb: (u) => 0.5 * u,
};

/** The weights, by transformers' names. */
function weightsOf({ salt = "", tensors_in_model }: Json): Record<string, StoredTensor> {
  return Object.fromEntries(
    (tensors_in_model as Json[]).map(({ name, shape, kind, fan_in }) => {
      const size = (shape as number[]).reduce((a, b) => a * b, 1);
      const scale = SCALES[kind];
      if (!scale) throw new RangeError(`Cannot make ${name} as its kind is unknown: ${kind}`);
      const data = new Float32Array(formulaUniform(salt + name, size).map((u) => scale(u, fan_in)));
      return [name, { dtype: "F32", shape, read: () => data }];
    }),
  );
}

/** First numbers, how many there are, and their sums. */
function compareWeights({ label, json }: Fixture, tensors: Record<string, StoredTensor>) {
  let count = 0, sum = 0, size = 0;
  for (const { read } of Object.values(tensors)) {
    for (const value of read() as Float32Array) {
      sum += value;
      size += Math.abs(value);
    }
    count += read().length;
  }
  const sums = {
    params: count,
    check_sum_of_all_parameters_f64: sum,
    check_sum_of_abs_f64: size,
  };
  const first = Object.entries((json.check_first4 ?? {}) as Record<string, number[]>);
  const start = (name: string, n: number) => (tensors[name].read() as Float32Array).subarray(0, n);
  return compareTensors(`${label}/weights`, {
    actual: {
      ...Object.fromEntries(Object.entries(sums).map(([key, value]) => [key, [value]])),
      ...Object.fromEntries(first.map(([name, { length }]) => [name, start(name, length)])),
    },
    expected: {
      ...Object.fromEntries(
        Object.keys(sums).filter((key) => key in json).map((key) => [key, [json[key]]]),
      ),
      ...Object.fromEntries(first),
    },
    tolerance: { metric: "max_rel", value: 1e-9 }, // sums in float64, in another order
  });
}

type Activation = { data: Float32Array; shape: number[] };

/** A run by a rule of positions: features, the class token and the size of the residual stream after each block. */
async function activations(
  { params, spec }: Model,
  images: NdArray<Float32Array>,
  suffix: string,
): Promise<Record<string, Activation>> {
  const { heads, width } = spec, positions = RULES[suffix];
  if (!positions) throw new RangeError(`Cannot interpolate positions by the rule ${suffix}`);
  const run = compile(({ params, x }: { params: Dinov2Params; x: tf.Tensor4D }) => {
    const { embeddings, blocks, tokens } = dinov2(params, x, { heads, positions });
    const first = (x: tf.Tensor) => tf.reshape(tf.slice(x, [0, 0, 0], [-1, 1, -1]), [-1, width]);
    const stream = [embeddings, ...blocks];
    return {
      cls: first(tokens),
      layers: tf.stack(stream.map(first)),
      rms: tf.stack(stream.map((x) => tf.sqrt(tf.mean(tf.square(x))))),
      embeddings,
      tokens,
    };
  });
  const x = tf.tensor4d(denseData(images), images.shape as [number, number, number, number]);
  const outputs = await run({ params, x });
  const arrays: Record<string, Activation> = {};
  for (const [name, output] of Object.entries(outputs)) {
    arrays[name] = { data: await output.data() as Float32Array, shape: output.shape };
  }
  tf.dispose([x, outputs]);
  run.dispose();
  return arrays;
}

/** Some tokens of [B, N, C]: [B, which, C]. */
function pick({ data, shape: [B, N, C] }: Activation, which: number[]): Float32Array {
  const out = new Float32Array(B * which.length * C);
  for (let i = 0; i < B * which.length; i++) {
    const token = Math.floor(i / which.length) * N + which[i % which.length];
    out.set(data.subarray(token * C, (token + 1) * C), i * C);
  }
  return out;
}
