import * as tf from "@tensorflow/tfjs";
import type { HditParams } from "../models/hdit.ts";
import type { HditSpec } from "../models/spec.ts";
import { brownianNoise } from "./brownian.ts";
import { type DiffusionModel, hditModel } from "./diffusion_model.ts";
import { type Guide, type ModelDenoiser, modelDenoiser } from "./model_denoiser.ts";
import { seededNoise, seededNormals } from "./noise.ts";
import type { Prediction } from "./preconditioning.ts";
import { resolveSampleOptions, type SampleImagesOptions } from "./sample_options.ts";
import { combine, type StepInfo } from "./samplers/common.ts";
import { sampleWith } from "./samplers/sampler.ts";
import { takeRows } from "../take_rows.ts";

export type { Guide } from "./model_denoiser.ts";
export type { SampleImagesOptions } from "./sample_options.ts";

/** A compiled sampler of one model, for any parameters of it. */
export type ImageSampler<P> = {
  sample(params: P, options: SampleImagesOptions): Promise<Float32Array>;
  /** What calls of the denoiser cost so far, without and with guidance. */
  readonly stats: ModelDenoiser<P>["stats"];
  dispose(): void;
};

/**
 * Makes a sampler of a model that is compiled once and serves many calls.
 *
 * Each step is one call of the compiled denoiser (at twice the batch under classifier-free guidance) and
 * one small linear combination. All batches have the same shape: the last one is filled up and cut off.
 * With a `guide`, a scale other than 1 guides away from that model's estimates (autoguidance).
 */
export function imageSampler<P, G = P>(
  model: DiffusionModel<P>,
  { sigmaData = 0.5, guide }: { sigmaData?: number; guide?: Guide<G> | undefined } = {},
): ImageSampler<P> {
  const denoiser = modelDenoiser(model, { sigmaData, guide });

  const sample = async (params: P, options: SampleImagesOptions): Promise<Float32Array> => {
    const run = resolveSampleOptions(model, options, { hasGuide: guide !== undefined });
    guide?.model.check(run.size);
    const { batchSize, sampler, sigmas } = run, { onStep, signal, selfCond: given } = options;
    const [H, W] = run.size, each = H * W * model.channels;
    const shape = [batchSize, H, W, model.channels];
    const out = new Float32Array(run.n * each);
    const batches = Math.ceil(run.n / batchSize);
    for (let batch = 0; batch < batches; batch++) {
      const first = batch * batchSize, count = Math.min(batchSize, run.n - first);
      const rows = Array.from({ length: batchSize }, (_, i) => first + Math.min(i, count - 1));
      const seeds = rows.map((i) => run.seeds[i]);
      const labels = run.labels && tf.tensor1d(rows.map((i) => run.labels![i]), "int32");
      const selfCond = given &&
        tf.tensor4d(takeRows(given, rows, { each }), [batchSize, H, W, model.channels]);
      const unit = seededNormals({ seeds, stream: "start", counter: 0, shape });
      const start = await combine([sigmas[0], unit]); // x_T = sigmaMax N(0, I)
      const callback = onStep &&
        ((info: StepInfo) =>
          onStep({ step: info.step, steps: sigmas.length - 1, batch, batches, info }));
      const x = await sampleWith(
        denoiser.of(params, { labels, selfCond, guidance: options }),
        start,
        {
          sampler,
          sigmas,
          noise: run.noise === "brownian"
            ? brownianNoise({ seeds, shape })
            : seededNoise({ seeds, shape }),
          signal,
          callback,
        },
      );
      out.set((await x.data()).subarray(0, count * each), first * each);
      tf.dispose([unit, start, x, ...(labels ? [labels] : []), ...(selfCond ? [selfCond] : [])]);
    }
    return out;
  };
  return { sample, stats: denoiser.stats, dispose: denoiser.dispose };
}

/**
 * Samples images, [n, H, W, C] in the range of the training data, by default as the paper does.
 *
 * Everything random in sample i comes from its own seed, so that it does not depend on `n`, on the
 * batch size (to the rounding of the matrix products) or on the other samples.
 */
export async function sampleImages(
  { params, spec, prediction = "edm", sigmaData = 0.5, guide, ...options }: SampleImagesOptions & {
    params: HditParams;
    spec: HditSpec;
    prediction?: Prediction;
    sigmaData?: number;
    guide?: Guide<HditParams>;
  },
): Promise<Float32Array> {
  const sampler = imageSampler(hditModel(spec, { prediction }), { sigmaData, guide });
  try {
    return await sampler.sample(params, options);
  } finally {
    sampler.dispose();
  }
}
