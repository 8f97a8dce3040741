/**
 * A function over tensors as an ONNX model of standard operators, to be run anywhere.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { OnnxRuntimeBackend } from "./backend.ts";
import {
  dynamicShapes,
  type DynamicSize,
  type Recording,
  samplesOf,
} from "./export/dynamic_shapes.ts";
import { foldConstants } from "./export/fold.ts";
import { lowerStandard, type SizeOrigin } from "./export/lower_standard.ts";
import { type DType, sizeOf, type Storage } from "./graph.ts";
import { type ElementType, encodeModel } from "./proto.ts";

/** Dimensions of an input: numbers, and names of sizes. */
export type ExportInput = { dtype: DType; shape: readonly (number | string)[] };
/** One value, or any multiple of `multipleOf` (1): then the three multiples at which the function is recorded. */
export type ExportSize =
  | number
  | { multiples: readonly [low: number, high: number, check: number]; multipleOf?: number };
/** Any number; 1 is left out of what is recorded, as axes of 1 can be special. */
export const ANY_SIZE = { multiples: [2, 3, 5] } as const satisfies ExportSize;

export type ExportOptions = {
  /** By the names that they have in the file; the function takes them by these names. */
  inputs: Readonly<Record<string, ExportInput>>;
  /** What the names in the shapes of the inputs stand for; dynamic ones are dimensions of the file. */
  sizes: Readonly<Record<string, ExportSize>>;
  /** Names for tensors that the function takes from elsewhere. */
  names?: readonly (readonly [name: string, tensor: tf.Tensor])[];
  /** Free text that the file carries along. */
  metadata?: Readonly<Record<string, string>>;
};

const elementBytes: Record<ElementType, number> = {
  float32: 4,
  int32: 4,
  float64: 8,
  int64: 8,
  uint8: 1,
  bool: 1,
};

/** The largest message of protocol buffers, with room for all but tensors. */
const MOST_BYTES = 2 ** 31 - 2 ** 24;

/**
 * Records a function and writes it as an ONNX file (opset 18).
 *
 * As in `compile()`, the function must not read tensors, and those that it takes from elsewhere are
 * baked in. With dynamic sizes it is recorded at several of them, and must do the same at each: shapes and whole
 * numbers may be sums of products of sizes, and tensors that it makes may hold 0, 1, 2, … up to such a number.
 *
 * @throws {RangeError} where a size cannot be made dynamic, or the file would exceed 2 GB.
 */
export function exportFunction(
  fn: (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
  { inputs, sizes, names = [], metadata = {} }: ExportOptions,
): Uint8Array<ArrayBuffer> {
  const backend = tf.backend();
  if (!(backend instanceof OnnxRuntimeBackend)) {
    throw new TypeError(
      `Cannot export as the engine must be onnxruntime: it is ${tf.getBackend()}; call setEngine() first`,
    );
  }
  const keys = Object.keys(inputs);
  let results: string[] = [];
  const dynamic = Object.entries(sizes).flatMap(([name, size]): DynamicSize[] =>
    typeof size === "number" ? [] : [{ name, at: size.multiples }]
  );
  const record = (at: readonly number[]): Recording => {
    const length = (dim: number | string) => {
      if (typeof dim === "number") return dim;
      const size = sizes[dim], i = dynamic.findIndex(({ name }) => name === dim);
      return typeof size === "number" ? size : at[i] * (size.multipleOf ?? 1);
    };
    const placeholders = keys.map((key) => ({
      dtype: inputs[key].dtype,
      shape: inputs[key].shape.map(length),
    }));
    return {
      sizes: at,
      ...backend.recordCall(placeholders, (tensors) => {
        const named = Object.fromEntries(keys.map((key, i) => [key, tensors[i]]));
        const out = tf.tidy(() => fn(named));
        results = Object.keys(out);
        return Object.values(out);
      }),
    };
  };
  const recordings = samplesOf(dynamic).map(record);
  const shapes = dynamicShapes(recordings, dynamic);
  const [{ placeholders, outputs }] = recordings;
  const known = new Map<Storage, string>(
    names.map(([name, { dataId }]) => [backend.storage(dataId), name]),
  );
  const model = lowerStandard({
    inputs: keys.map((name, i) => ({ name, storage: placeholders[i] })),
    outputs: results.map((name, i) => ({ name, operand: outputs[i] })),
    dynamic: shapes,
    origins: dynamic.map(({ name }) => originOf(name, { inputs, sizes })),
    names: foldConstants(backend, {
      outputs: outputs.map(({ storage }) => storage),
      inputs: placeholders,
      dynamic: shapes,
      names: known,
    }),
  });
  // by dimensions: optimised code of V8 15.0 adds lengths from 2^31 on as negative numbers
  const bytes = model.initializers.reduce(
    (sum, { type, dims }) => sum + elementBytes[type] * sizeOf(dims),
    0,
  );
  if (!(bytes <= MOST_BYTES)) {
    throw new RangeError(
      `Cannot export as an ONNX file must stay below 2 GiB: weights and tables are ${
        (bytes / 2 ** 30).toFixed(2)
      } GiB`,
    );
  }
  return encodeModel({ ...model, metadata });
}

/** An axis of an input that tells a dynamic size. */
function originOf(
  name: string,
  { inputs, sizes }: Pick<ExportOptions, "inputs" | "sizes">,
): SizeOrigin {
  const size = sizes[name];
  const times = typeof size === "number" ? 1 : size.multipleOf ?? 1;
  for (const [input, { shape }] of Object.entries(inputs)) {
    const axis = shape.indexOf(name);
    if (axis >= 0) return { input, axis, times };
  }
  throw new RangeError(`Cannot make the ${name} dynamic as no input has it as a dimension`);
}
