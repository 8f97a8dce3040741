import * as tf from "@tensorflow/tfjs";
import { compile, type CompileStats } from "../engine/compile.ts";
import type { HditParams } from "../models/hdit.ts";
import type { HditSpec } from "../models/spec.ts";
import { type DiffusionModel, hditModel } from "./diffusion_model.ts";
import { guidedDenoise } from "./guidance.ts";
import { seededNoise, seededNormals } from "./noise.ts";
import { preconditioned } from "./preconditioning.ts";
import { combine, type StepInfo } from "./samplers/common.ts";
import { type Sampler, sampleWith } from "./samplers/sampler.ts";
import { karrasSchedule } from "./schedules.ts";

/** What to sample; everything but `size` and `n` has a default. */
export type SampleImagesOptions = {
  size: readonly [height: number, width: number];
  n: number;
  /** Falling noise levels ending in 0; by default Karras, rho 7, `steps` from sigmaMax to sigmaMin. */
  sigmas?: readonly number[];
  steps?: number; // 50
  sigmaMin?: number; // 0.01, as the paper's configurations
  sigmaMax?: number; // 160
  sampler?: Sampler; // DPM++(3M) SDE, the paper's
  /** Sample i has seed seed + i, unless seeds are given one by one. */
  seed?: number; // 0
  seeds?: readonly number[];
  /** A class a sample; required to be absent for unconditional models, by default i mod numClasses. */
  labels?: ArrayLike<number>;
  guidanceScale?: number; // 1: none
  batchSize?: number; // 16
  onStep?: (
    progress: { step: number; steps: number; batch: number; batches: number; info: StepInfo },
  ) => void | Promise<void>;
  signal?: AbortSignal;
};

/** A compiled sampler of one model, for any parameters of it. */
export type ImageSampler<P> = {
  sample(params: P, options: SampleImagesOptions): Promise<Float32Array>;
  /** What calls of the denoiser cost so far, without and with guidance. */
  readonly stats: { plain: CompileStats; guided: CompileStats };
  dispose(): void;
};

/**
 * Makes a sampler of a model that is compiled once and serves many calls.
 *
 * Each step is one call of the compiled denoiser (at twice the batch under guidance) and one small
 * linear combination. All batches have the same shape: the last one is filled up and cut off.
 */
export function imageSampler<P>(
  model: DiffusionModel<P>,
  { sigmaData = 0.5 }: { sigmaData?: number } = {},
): ImageSampler<P> {
  type Inputs = { params: P; x: tf.Tensor4D; sigma: tf.Tensor1D; labels?: tf.Tensor1D };
  const denoise = ({ params }: { params: P }) =>
    preconditioned((x, sigma, cond) => model.apply(params, { x, sigma, cond }), {
      kind: "edm",
      sigmaData,
    });
  const plain = compile(({ params, x, sigma, labels }: Inputs) =>
    denoise({ params })(x, sigma, labels ? { classCond: labels } : {})
  );
  const guided = compile((
    { params, x, sigma, labels, scale }: Inputs & { scale: tf.Scalar },
  ) =>
    guidedDenoise(denoise({ params }), {
      x,
      sigma,
      labels: labels!,
      nullClass: model.numClasses,
      scale,
    })
  );

  const sample = async (params: P, options: SampleImagesOptions): Promise<Float32Array> => {
    const run = resolve(model, options);
    const [H, W] = options.size, each = H * W * model.channels;
    const out = new Float32Array(run.n * each);
    const batches = Math.ceil(run.n / run.batchSize);
    for (let batch = 0; batch < batches; batch++) {
      const first = batch * run.batchSize, count = Math.min(run.batchSize, run.n - first);
      const rows = Array.from({ length: run.batchSize }, (_, i) => first + Math.min(i, count - 1));
      const seeds = rows.map((i) => run.seeds[i]), shape = [run.batchSize, H, W, model.channels];
      const labels = run.labels && tf.tensor1d(rows.map((i) => run.labels![i]), "int32");
      const scale = tf.scalar(run.guidanceScale);
      const unit = seededNormals({ seeds, stream: "start", counter: 0, shape });
      const start = await combine([run.sigmas[0], unit]); // x_T = sigmaMax N(0, I)
      const x = await sampleWith(
        (x, sigma) => {
          const inputs = { params, x, sigma, ...(labels ? { labels } : {}) };
          return run.guidanceScale === 1 ? plain(inputs) : guided({ ...inputs, scale });
        },
        start,
        {
          sampler: run.sampler,
          sigmas: run.sigmas,
          noise: seededNoise({ seeds, shape }),
          signal: options.signal,
          callback: options.onStep && ((info) =>
            options.onStep!({
              step: info.step,
              steps: run.sigmas.length - 1,
              batch,
              batches,
              info,
            })),
        },
      );
      out.set((await x.data()).subarray(0, count * each), first * each);
      tf.dispose([unit, start, x, scale, ...(labels ? [labels] : [])]);
    }
    return out;
  };
  return {
    sample,
    stats: { plain: plain.stats, guided: guided.stats },
    dispose: () => {
      plain.dispose();
      guided.dispose();
    },
  };
}

function resolve<P>(model: DiffusionModel<P>, options: SampleImagesOptions) {
  const { n, seed = 0, steps = 50, sigmaMin = 0.01, sigmaMax = 160 } = options;
  const { guidanceScale = 1, sampler = { kind: "dpmpp-3m-sde" } } = options;
  if (!(Number.isInteger(n) && n >= 1)) {
    throw new RangeError(`Cannot sample as n must be a whole number >= 1: n is ${n}`);
  }
  const batchSize = Math.min(options.batchSize ?? 16, n);
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw new RangeError(
      `Cannot sample as batchSize must be a whole number >= 1: batchSize is ${batchSize}`,
    );
  }
  model.check(options.size);
  const seeds = options.seeds ?? Array.from({ length: n }, (_, i) => seed + i);
  if (!(seeds.length === n)) {
    throw new RangeError(
      `Cannot sample as there must be a seed a sample: ${seeds.length}, not ${n}`,
    );
  }
  if (!(guidanceScale === 1 || (model.numClasses > 0 && Number.isFinite(guidanceScale)))) {
    throw new RangeError(
      `Cannot guide as guidance needs a class-conditional model and a finite scale: guidanceScale is ${guidanceScale}, numClasses is ${model.numClasses}`,
    );
  }
  return {
    n,
    batchSize,
    seeds,
    guidanceScale,
    sampler: sampler as Sampler,
    sigmas: options.sigmas ?? karrasSchedule(steps, { sigmaMin, sigmaMax }),
    labels: resolveLabels(model.numClasses, n, options.labels),
  };
}

function resolveLabels(
  numClasses: number,
  n: number,
  labels: ArrayLike<number> | undefined,
): ArrayLike<number> | undefined {
  if (numClasses === 0) {
    if (labels === undefined) return undefined;
    throw new TypeError("Cannot sample classes as the model is unconditional: leave out labels");
  }
  const all = labels ?? Array.from({ length: n }, (_, i) => i % numClasses);
  if (!(all.length === n)) {
    throw new RangeError(
      `Cannot sample as there must be a label a sample: ${all.length}, not ${n}`,
    );
  }
  for (let i = 0; i < n; i++) {
    // The null class, number numClasses, samples without a class.
    if (!(Number.isInteger(all[i]) && all[i] >= 0 && all[i] <= numClasses)) {
      throw new RangeError(
        `Cannot sample class ${all[i]} as classes are 0 to ${numClasses} (none): label ${i}`,
      );
    }
  }
  return all;
}

/**
 * Samples images, [n, H, W, C] in the range of the training data, by default as the paper does.
 *
 * Everything random in sample i comes from its own seed, so that it does not depend on `n`, on the
 * batch size (to the rounding of the matrix products) or on the other samples.
 */
export async function sampleImages(
  { params, spec, sigmaData = 0.5, ...options }: SampleImagesOptions & {
    params: HditParams;
    spec: HditSpec;
    sigmaData?: number;
  },
): Promise<Float32Array> {
  const sampler = imageSampler(hditModel(spec), { sigmaData });
  try {
    return await sampler.sample(params, options);
  } finally {
    sampler.dispose();
  }
}
