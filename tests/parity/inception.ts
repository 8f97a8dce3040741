/** The FID Inception-v3 with weights that a formula gives, on images that a formula gives. */
import * as tf from "@tensorflow/tfjs";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import { compile } from "../../lib/engine/compile.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import type { SafetensorsTensor } from "../../lib/io/safetensors.ts";
import type { StoredTensor } from "../../lib/io/stored_tensor.ts";
import { inception, inceptionConvolutions } from "../../lib/metrics/inception.ts";
import { inceptionInput, type InceptionPreprocessing } from "../../lib/metrics/inception_images.ts";
import { inceptionParams } from "../../lib/metrics/inception_weights.ts";
import { formulaImage, formulaUniform } from "./formula_weights.ts";
import { channelsFirst, cropOf, numbersIn, rowsIn, statistics } from "./image_checks.ts";
import {
  type CaseResult,
  compareTensors,
  errorOf,
  type Fixture,
  type Handler,
  type Json,
  result,
  toleranceOf,
} from "./run.ts";

type Images = NdArray<Float32Array>;
type Numbers = Record<string, ArrayLike<number>>;
type Outputs = { input: Images; blocks: Images[] };

/** By the letter of a pipeline; the JSON describes them in words. */
const PIPELINES: Record<string, InceptionPreprocessing> = { a: "pytorch-fid", b: "k-diffusion" };

/** Statistics of what every block gives, on all images. */
async function* spec(fixture: Fixture): AsyncIterable<CaseResult> {
  const { json, label } = fixture, tolerance = toleranceOf(fixture);
  const weights = weightsOf(json);
  yield await compareWeights(fixture, weights);
  const images = formulaImages(json, numbersIn(json.image_formula, /k=\[?([\d., ]+)/));
  const letters = lettersIn(Object.keys(json), /^blocks_(\w)$/);
  const outputs = await run(weights, { images, letters });
  if (letters.length === 0) {
    yield result(label, { error: NaN, tolerance: 0, note: "no blocks_a" });
  }
  for (const letter of letters) {
    const { input, blocks } = outputs[letter];
    const stated: Json[] = [json[`input_${letter}`], ...json[`blocks_${letter}`]];
    const actual: Numbers = {}, expected: Numbers = {};
    for (const [i, { shape, mean, std, first8 }] of stated.entries()) {
      const own = i === 0 ? input : blocks[i - 1], name = i === 0 ? "input" : `block${i - 1}`;
      const { moments, first8: first } = statistics(own);
      const [n, height, width, channels] = own.shape;
      Object.assign(actual, {
        [`${name}, shape`]: [n, channels, height, width],
        [`${name}, mean and deviation`]: moments,
        [`${name}, first 8`]: first,
      });
      Object.assign(expected, {
        [`${name}, shape`]: shape,
        [`${name}, mean and deviation`]: [mean, std],
        [`${name}, first 8`]: first8,
      });
    }
    yield await compareTensors(`${label}/${letter}`, { actual, expected, tolerance });
  }
}

/** Features of one image, with parts of what the network takes and gives on the way. */
async function* features(fixture: Fixture): AsyncIterable<CaseResult> {
  const spec = fixture.sibling("inception_spec")?.json;
  if (!spec) {
    throw new RangeError(`Cannot check ${fixture.label} as inception_spec.json must lie beside it`);
  }
  const names = [...fixture.tensors().keys()], { what } = fixture.json;
  const images = formulaImages(spec, numbersIn(what, /k=(\d+)/));
  const letters = lettersIn(names, /_(\w)(?:_crop)?$/);
  const actual: Numbers = { image: channelsFirst(images) };
  const outputs = await run(weightsOf(spec), { images, letters });
  for (const [letter, { input, blocks }] of Object.entries(outputs)) {
    actual[`input_${letter}_crop`] = cropOf(input, rowsIn(what));
    actual[`features_${letter}`] = blocks.at(-1)!.data;
    for (const [i, block] of blocks.entries()) {
      const name = `block${i}_${letter}_crop`, stored = fixture.tensors().get(name);
      if (!stored) continue;
      actual[name] = partLike(block, stored);
    }
  }
  for (const name of names) {
    yield await compareTensors(`${fixture.label}/${name}`, {
      actual,
      expected: { [name]: fixture.tensors().get(name)! },
      tolerance: toleranceOf(fixture),
    });
  }
}

/**
 * The part of the first image's first channels that is nearest to a stored part [C, h, w]: fixtures do not say from which
 * row and column on it was taken. Hundreds of numbers are not near at a wrong place.
 */
function partLike(images: Images, { data, shape }: SafetensorsTensor): Float32Array {
  const [channels, height, width] = shape, [, rows, columns] = images.shape;
  let nearest: { error: number; part: Float32Array } | undefined;
  for (let top = 0; top + height <= rows; top++) {
    for (let left = 0; left + width <= columns; left++) {
      const part = channelsFirst(images.lo(0, top, left, 0).hi(1, height, width, channels));
      const error = errorOf(part, data as Float32Array, "max_abs");
      if (!nearest || error < nearest.error) nearest = { error, part };
    }
  }
  return nearest?.part ?? new Float32Array();
}

/** The pipelines that names speak of. */
function lettersIn(names: string[], pattern: RegExp): string[] {
  const letters = new Set(names.flatMap((name) => name.match(pattern)?.[1] ?? []));
  const unknown = [...letters].filter((letter) => !(letter in PIPELINES));
  if (unknown.length > 0) throw new RangeError(`Cannot run the pipelines ${unknown}`);
  return [...letters];
}

/** Runs pipelines on images in [0, 1]; the last block is averaged over positions, as in pytorch-fid. */
async function run(
  weights: Record<string, StoredTensor>,
  { images, letters }: { images: Images; letters: string[] },
): Promise<Record<string, Outputs>> {
  const params = inceptionParams(weights);
  const network = compile(({ x }: { x: tf.Tensor4D }) => {
    const { features, blocks } = inception(params, x);
    return [...blocks.slice(0, -1), features.reshape([-1, 1, 1, features.shape[1]])];
  });
  const signed = ndarray(denseData(images).map((v) => 2 * v - 1), images.shape);
  const outputs: Record<string, Outputs> = {};
  for (const letter of letters) {
    const input = inceptionInput(signed, PIPELINES[letter]);
    const x = tf.tensor4d(denseData(input), input.shape as [number, number, number, number]);
    const tensors = await network({ x });
    const blocks = await Promise.all(
      tensors.map(async (t) => ndarray((await t.data() as Float32Array).slice(), t.shape)),
    );
    outputs[letter] = { input, blocks };
    tf.dispose([x, tensors]);
  }
  network.dispose();
  treeDispose(params);
  return outputs;
}

/** Images k, [N, H, W, 3] in [0, 1], of the size that the JSON says. */
function formulaImages({ image_formula }: Json, ks: number[]): Images {
  const [height, width] = numbersIn(image_formula, /3x(\d+)x(\d+)/);
  const out = new Float32Array(ks.length * height * width * 3);
  ks.forEach((k, i) => out.set(formulaImage(k, { height, width }), i * height * width * 3));
  return ndarray(out, [ks.length, height, width, 3]);
}

const SCALES: Record<string, (u: number, fanIn: number) => number> = {
  conv: (u, fanIn) => u * Math.sqrt(6 / fanIn),
  bn_w: (u) => 1 + 0.2 * u,
  bn_b: (u) => 0.1 * u,
  bn_m: (u) => 0.1 * u,
  bn_v: (u) => 1 + 0.5 * u,
};
const UNUSED = ["fc", "zero"]; // the classifier

/** The weights that the network uses, by pytorch-fid's names. */
function weightsOf({ salt = "", tensors_in_model }: Json): Record<string, StoredTensor> {
  const used = (tensors_in_model as Json[]).filter(({ kind }) => !UNUSED.includes(kind));
  return Object.fromEntries(used.map(({ name, shape, kind, fan_in }) => {
    const scale = SCALES[kind], size = (shape as number[]).reduce((a, b) => a * b, 1);
    if (!scale) throw new RangeError(`Cannot make ${name} as its kind is unknown: ${kind}`);
    const read = () =>
      Float32Array.from(formulaUniform(salt + name, size), (u) => scale(u, fan_in));
    return [name, { dtype: "F32", shape, read }];
  }));
}

/** First numbers, and how many the network has. */
function compareWeights(
  { label, json }: Fixture,
  weights: Record<string, StoredTensor>,
): Promise<CaseResult> {
  const prefix = /^check_first\d+_of_/;
  const first = Object.keys(json).filter((key) => prefix.test(key));
  const own = inceptionConvolutions().map(({ shape }) =>
    shape.reduce((a, b) => a * b, 1) + 2 * shape[3] // the kernel and the normalisation's γ and β
  );
  const unused = (json.tensors_in_model as Json[]).filter(({ kind }) => UNUSED.includes(kind))
    .map(({ shape }) => (shape as number[]).reduce((a, b) => a * b, 1));
  const count = [...own, ...unused].reduce((a, b) => a + b, 0);
  return compareTensors(`${label}/weights`, {
    actual: {
      parameters: [count],
      ...Object.fromEntries(first.map((key) => {
        const numbers = weights[key.replace(prefix, "")].read() as Float32Array;
        return [key, numbers.subarray(0, json[key].length)];
      })),
    },
    expected: {
      parameters: [json.params_total_incl_fc],
      ...Object.fromEntries(first.map((key) => [key, json[key]])),
    },
    tolerance: { metric: "max_rel", value: 1e-7 }, // a rounding to float32
  });
}

export const handlers: Handler[] = [
  { room: "inception", stem: "inception_spec", run: spec },
  { room: "inception", stem: "features", run: features },
];
