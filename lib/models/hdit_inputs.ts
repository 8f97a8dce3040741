import type * as tf from "@tensorflow/tfjs";
import { AUG_FEATURES } from "./hdit_params.ts";
import { checkSpec, type HditSpec, inputSides } from "./spec.ts";

/** What a forward pass takes. */
export type HditInputs = {
  /** Noisy images, scaled by c_in: [B, H, W, inChannels]; sound or video with one or three axes for H and W. */
  x: tf.Tensor;
  /** Noise levels, as they are: [B]. */
  sigma: tf.Tensor;
  /** Augmentation condition [B, 9]; zeros where absent. */
  augCond?: tf.Tensor | undefined;
  /** Class numbers, int32 [B]; numClasses is the null class. Required by a class-conditional model. */
  classCond?: tf.Tensor | undefined;
  /** Extra condition [B, mappingCondDim]. Required where mappingCondDim > 0. */
  mappingCond?: tf.Tensor | undefined;
  /** A sequence to attend to, [B, S, crossCondDim]. Required where crossCondDim > 0. */
  crossCond?: tf.Tensor | undefined;
  /** 1 at the sequence's padding, else 0: [B, S]; no padding where absent. */
  crossCondPadding?: tf.Tensor | undefined;
  /** An earlier estimate of the clean image, [B, H, W, outChannels], where the spec has self-conditioning; zeros where absent. */
  selfCond?: tf.Tensor | undefined;
};

/** Throws a RangeError for shapes that do not fit the spec, a TypeError for conditions that are missing or not expected. */
export function checkInputs(spec: HditSpec, inputs: HditInputs): void {
  const { x, sigma, augCond, classCond, mappingCond, crossCond, crossCondPadding, selfCond } =
    inputs;
  const B = x.shape[0], size = x.shape.slice(1, -1);
  if (!(size.length === spec.patchSize.length && x.shape[x.rank - 1] === spec.inChannels)) {
    const sides = inputSides(spec).join(", ");
    throw new RangeError(
      `Cannot run the model as x must be [batch, ${sides}, ${spec.inChannels}]: x is [${x.shape}]`,
    );
  }
  checkSpec(spec, size);
  const shaped = (name: string, tensor: tf.Tensor | undefined, shape: (number | undefined)[]) => {
    if (tensor && `${tensor.shape}` !== `${shape}`) {
      throw new RangeError(
        `Cannot run the model as ${name} must be [${shape}]: ${name} is [${tensor.shape}]`,
      );
    }
  };
  const { crossCondDim = 0, selfConditioning = false } = spec;
  const S = crossCond?.shape[1] || 1;
  shaped("sigma", sigma, [B]);
  shaped("augCond", augCond, [B, AUG_FEATURES]);
  shaped("classCond", classCond, [B]);
  shaped("mappingCond", mappingCond, [B, spec.mappingCondDim]);
  shaped("crossCond", crossCond, [B, S, crossCondDim]);
  shaped("crossCondPadding", crossCondPadding, [B, S]);
  shaped("selfCond", selfCond, [B, ...size, spec.outChannels]);
  const refuse = (name: string, tensor: tf.Tensor | undefined, because: string) => {
    const [must, is] = tensor ? ["absent", "given"] : ["given", "absent"];
    throw new TypeError(
      `Cannot run the model as ${name} must be ${must}: ${because}, ${name} is ${is}`,
    );
  };
  const given = (name: string, tensor: tf.Tensor | undefined, field: string, value: number) => {
    if (!!tensor !== value > 0) refuse(name, tensor, `${field} is ${value}`);
  };
  given("classCond", classCond, "numClasses", spec.numClasses);
  given("mappingCond", mappingCond, "mappingCondDim", spec.mappingCondDim);
  given("crossCond", crossCond, "crossCondDim", crossCondDim);
  if (crossCondPadding && !crossCond) {
    refuse("crossCondPadding", crossCondPadding, "crossCond is absent");
  }
  if (selfCond && !selfConditioning) refuse("selfCond", selfCond, "selfConditioning is false");
}
