import * as tf from "@tensorflow/tfjs";

/** A forward result with what its adjoint needs. */
export type WithAdjoint = {
  value: tf.Tensor;
  /** Tensors kept for the backward pass. */
  save: tf.Tensor[];
  /** From dL/dvalue and the saved tensors to dL/dinput, one for each input. */
  adjoint: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor[];
};

/**
 * Applies a function whose derivative is written by hand.
 *
 * tfjs tapes each primitive operation apart, which costs a pass over memory for every one of them in the
 * backward direction; a derivative simplified on paper needs far fewer. Tensors of the forward pass
 * must be handed over through `save`; those merely captured are gone by then.
 */
export function applyWithAdjoint<X extends tf.Tensor[]>(
  inputs: readonly [...X],
  forward: (...inputs: X) => WithAdjoint,
): tf.Tensor {
  const run = tf.customGrad((...args) => {
    const save = args.pop() as (tensors: tf.Tensor[]) => void;
    const { value, save: saved, adjoint } = forward(...args as X);
    save(saved);
    return {
      value,
      gradFunc: (dy: tf.Tensor, kept: tf.Tensor[]) => {
        const grads = adjoint(dy, kept);
        return grads.length === 1 ? grads[0] : grads;
      },
    };
  });
  return run(...inputs);
}
