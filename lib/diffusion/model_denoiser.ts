import * as tf from "@tensorflow/tfjs";
import { compile, type CompileStats } from "../engine/compile.ts";
import type { DiffusionModel } from "./diffusion_model.ts";
import { type Guidance, guide, guidedDenoise, isGuided, rescaleGuided } from "./guidance.ts";
import { preconditioned } from "./preconditioning.ts";
import type { Denoiser } from "./types.ts";

/** A weaker model whose estimates for the same class the samples are guided away from (autoguidance). */
export type Guide<G> = { model: DiffusionModel<G>; params: G; sigmaData?: number };

/** A model's denoiser, compiled: one graph for plain calls, one for guided calls. */
export type ModelDenoiser<P> = {
  /** The denoiser of a batch with these conditions. */
  of(
    params: P,
    options: {
      labels: tf.Tensor1D | undefined;
      selfCond?: tf.Tensor4D | undefined;
      guidance: Guidance;
    },
  ): Denoiser;
  /** What calls cost so far, without and with guidance. */
  readonly stats: { plain: CompileStats; guided: CompileStats };
  dispose(): void;
};

type Inputs<P> = {
  params: P;
  x: tf.Tensor4D;
  sigma: tf.Tensor1D;
  labels?: tf.Tensor1D;
  selfCond?: tf.Tensor4D;
};
type GuidedInputs<P, G> = Inputs<P> & {
  scale: tf.Scalar;
  rescale?: tf.Scalar;
  guideParams?: G;
};

/**
 * Compiles a model's denoiser: without guidance one forward pass a call, with classifier-free guidance one
 * at twice the batch, with a guide one of each model.
 *
 * A level outside the guidance's interval costs a plain call. The parameters of a guide stay the caller's.
 * Throws a RangeError when the guide has other channels or classes.
 */
export function modelDenoiser<P, G = P>(
  model: DiffusionModel<P>,
  { sigmaData, guide: weaker }: { sigmaData: number; guide?: Guide<G> | undefined },
): ModelDenoiser<P> {
  if (weaker) checkGuide(model, weaker.model);
  const strong = denoise(model, sigmaData);
  const weak = weaker && denoise(weaker.model, weaker.sigmaData ?? sigmaData);
  const plain = compile((inputs: Inputs<P>) => strong(inputs));
  const guided = compile(({ scale, rescale, guideParams, ...inputs }: GuidedInputs<P, G>) => {
    if (!weak) {
      const { params, x, sigma, labels, selfCond } = inputs, nullClass = model.numClasses;
      const both = selfCond && { selfCond: tf.concat([selfCond, selfCond]) };
      return guidedDenoise(
        (x, sigma, { classCond }) => strong({ params, x, sigma, labels: classCond, ...both }),
        { x, sigma, labels: labels!, nullClass, scale, rescale },
      );
    }
    const conditional = strong(inputs);
    const unconditional = weak({ ...inputs, params: guideParams! });
    const out = guide({ conditional, unconditional, scale });
    return rescale ? rescaleGuided({ guided: out, conditional, rescale }) : out;
  });
  return {
    of: (params, { labels, selfCond, guidance }) => async (x, sigma) => {
      const inputs = { params, x, sigma, ...(labels && { labels }), ...(selfCond && { selfCond }) };
      if (!isGuided((await sigma.data())[0], guidance)) return await plain(inputs);
      const { guidanceScale = 1, guidanceRescale = 0 } = guidance;
      const scalars = {
        scale: tf.scalar(guidanceScale),
        ...(guidanceRescale > 0 && { rescale: tf.scalar(guidanceRescale) }),
      };
      const guideParams = weaker && { guideParams: weaker.params };
      const out = await guided({ ...inputs, ...scalars, ...guideParams });
      tf.dispose(scalars);
      return out;
    },
    stats: { plain: plain.stats, guided: guided.stats },
    dispose: () => {
      plain.dispose();
      guided.dispose();
    },
  };
}

/** D of a model, as a function of tensors; an unconditional model takes no notice of labels. */
function denoise<P>(model: DiffusionModel<P>, sigmaData: number) {
  const { prediction: kind = "edm", numClasses } = model;
  return ({ params, x, sigma, labels, selfCond }: Inputs<P>): tf.Tensor4D => {
    const run = preconditioned((x, sigma, cond) => model.apply(params, { x, sigma, cond }), {
      kind,
      sigmaData,
    });
    return run(x, sigma, {
      ...(labels && numClasses > 0 ? { classCond: labels } : {}),
      ...(selfCond ? { selfCond } : {}),
    });
  };
}

function checkGuide<P, G>(model: DiffusionModel<P>, guide: DiffusionModel<G>): void {
  if (!(guide.channels === model.channels)) {
    throw new RangeError(
      `Cannot guide as the guide must have the model's channels: it has ${guide.channels}, the model ${model.channels}`,
    );
  }
  if (!(guide.numClasses === model.numClasses || guide.numClasses === 0)) {
    throw new RangeError(
      `Cannot guide as the guide must have the model's classes, or none: it has ${guide.numClasses}, the model ${model.numClasses}`,
    );
  }
}
