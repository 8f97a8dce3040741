/**
 * Gradients that hold less memory, for engines that compute at once.
 *
 * As it comes, tfjs keeps all that the forward pass saved, every gradient of an intermediate
 * result, and whatever the gradient functions make on the way, until the backward pass has ended;
 * and it saves the operands of sums, reshapes and slices only for the sake of their shapes. Here
 * each is freed as soon as the operation it belongs to has been differentiated, and for shapes
 * alone nothing is saved. The numbers are the same.
 *
 * tfjs offers no hook for this, so methods of its engine object are wrapped; its version is
 * pinned, and `tests/engine/tensorflow_test.ts` compares gradients with and without.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** Operations whose gradient functions look only at the shapes of what is saved. */
export const shapesOnly: ReadonlySet<string> = new Set([
  "Add",
  "AddN",
  "Concat",
  "Cumsum",
  "ExpandDims",
  "Mean",
  "MirrorPad",
  "Pack",
  "PadV2",
  "Reshape",
  "Slice",
  "Sub",
  "Sum",
]);

/** Stands in for a tensor where only its shape is asked for. */
export class ShapeOf {
  readonly shape: number[];
  readonly dtype: tf.DataType;
  readonly size: number;
  readonly rank: number;
  constructor(tensor: tf.Tensor) {
    this.shape = tensor.shape;
    this.dtype = tensor.dtype;
    this.size = tensor.size;
    this.rank = tensor.rank;
  }
  dispose(): void {}
}

type Gradients = Record<string, () => tf.Tensor>;
type TapeNode = {
  inputs: Record<string, tf.Tensor>;
  saved: (tf.Tensor | ShapeOf)[];
  gradient?: (this: TapeNode, dys: (tf.Tensor | null)[]) => Gradients;
};

/** The parts of tfjs's engine (4.22.0) that are wrapped or looked at. */
type Engine = {
  backendName: string;
  state: { activeTape: TapeNode[]; gradientDepth: number; nextTensorId: number };
  tidy<T>(fn: () => T): T;
  clone(tensor: tf.Tensor): tf.Tensor;
  gradients(f: () => tf.Tensor, ...rest: unknown[]): unknown;
  addTapeNode(...args: unknown[]): void;
  getTensorsForGradient(kernel: string, ...rest: unknown[]): tf.Tensor[];
  saveTensorsForBackwardMode(tensors: (tf.Tensor | ShapeOf)[]): (tf.Tensor | ShapeOf)[];
};

let installed = false;

/** Makes tfjs differentiate this way while `applies` says so for the engine in use. */
export function useLeanGradients(applies: (engine: string) => boolean): void {
  if (installed) return;
  installed = true;
  const engine = tf.engine() as unknown as Engine;
  const { gradients, addTapeNode, getTensorsForGradient, saveTensorsForBackwardMode } = engine;
  const isOn = () => applies(engine.backendName);

  engine.getTensorsForGradient = (kernel, ...rest) => {
    const tensors = getTensorsForGradient.call(engine, kernel, ...rest);
    if (!isOn() || !shapesOnly.has(kernel)) return tensors;
    return tensors.map((tensor) => new ShapeOf(tensor)) as unknown as tf.Tensor[];
  };

  engine.saveTensorsForBackwardMode = (tensors) =>
    tensors.map((tensor) =>
      tensor instanceof ShapeOf ? tensor : saveTensorsForBackwardMode.call(engine, [tensor])[0]
    );

  // tensors with smaller ids were there before the backward pass: they are not ours to free
  let firstId = Infinity;
  engine.gradients = (f, ...rest) => {
    const outer = firstId;
    const forward = () => {
      const y = f();
      firstId = engine.state.nextTensorId;
      return y;
    };
    try {
      return gradients.call(engine, forward, ...rest);
    } finally {
      firstId = outer;
    }
  };

  engine.addTapeNode = (...args) => {
    addTapeNode.apply(engine, args);
    const node = engine.state.activeTape.at(-1)!;
    const { gradient, saved } = node;
    if (!gradient || !isOn()) return;
    node.gradient = function (dys) {
      // a gradient within a function that is differentiated itself: the outer tape needs it all
      if (engine.state.gradientDepth > 0) return gradient.call(this, dys);
      const made = engine.tidy(() => {
        const thunks = gradient.call(this, dys);
        const seen = new Set<unknown>([...dys, ...saved]);
        const out: Record<string, tf.Tensor> = {};
        for (const name of Object.keys(this.inputs)) { // only what leads to the variables asked for
          if (!(name in thunks)) continue; // tfjs says what is wrong
          const dx = thunks[name]();
          // freed with the operation that it is handed to: so each must be a tensor of its own
          const owned = !seen.has(dx) && dx.id >= firstId;
          out[name] = owned ? dx : engine.clone(dx);
          seen.add(dx);
        }
        return out;
      });
      for (const tensor of saved) tensor.dispose();
      for (const dy of dys) if (dy && dy.id >= firstId) dy.dispose();
      return Object.fromEntries(Object.entries(made).map(([name, dx]) => [name, () => dx]));
    };
  };
}
