/**
 * A function over tensors as an ONNX model of standard operators, to be run anywhere.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { OnnxRuntimeBackend } from "./backend.ts";
import { batchShapes, type Recording } from "./export/batch_shapes.ts";
import { foldConstants } from "./export/fold.ts";
import { lowerStandard } from "./export/lower_standard.ts";
import { type DType, sizeOf, type Storage } from "./graph.ts";
import { type ElementType, encodeModel } from "./proto.ts";

/** Dimensions of an input; "batch" is the batch. */
export type ExportInput = { dtype: DType; shape: readonly (number | "batch")[] };

export type ExportOptions = {
  /** By the names that they have in the file; the function takes them by these names. */
  inputs: Readonly<Record<string, ExportInput>>;
  /** A number, or "dynamic" for any: the dimension `batch` of the file. */
  batch: number | "dynamic";
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

/** Two numbers give a line, the third one checks it; 1 is left out, as axes of 1 can be special. */
const BATCHES = [2, 3, 5];
/** The largest message of protocol buffers, with room for all but tensors. */
const MOST_BYTES = 2 ** 31 - 2 ** 24;

/**
 * Records a function and writes it as an ONNX file (opset 18).
 *
 * As in `compile()`, the function must not read tensors, and those that it takes from elsewhere are
 * baked in. With a dynamic batch it is recorded at several batch sizes, and must do the same at each.
 * Other dimensions are fixed.
 *
 * @throws {RangeError} where the batch cannot be made dynamic, or the file would exceed 2 GB.
 */
export function exportFunction(
  fn: (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
  { inputs, batch, names = [], metadata = {} }: ExportOptions,
): Uint8Array<ArrayBuffer> {
  const backend = tf.backend();
  if (!(backend instanceof OnnxRuntimeBackend)) {
    throw new TypeError(
      `Cannot export as the engine must be onnxruntime: it is ${tf.getBackend()}; call setEngine() first`,
    );
  }
  const keys = Object.keys(inputs);
  let results: string[] = [];
  const record = (batch: number): Recording => {
    const placeholders = keys.map((key) => ({
      dtype: inputs[key].dtype,
      shape: inputs[key].shape.map((dim) => dim === "batch" ? batch : dim),
    }));
    return {
      batch,
      ...backend.recordCall(placeholders, (tensors) => {
        const named = Object.fromEntries(keys.map((key, i) => [key, tensors[i]]));
        const out = tf.tidy(() => fn(named));
        results = Object.keys(out);
        return Object.values(out);
      }),
    };
  };
  const recordings = (batch === "dynamic" ? BATCHES : [batch]).map(record);
  const shapes = batchShapes(recordings);
  const [{ placeholders, outputs }] = recordings;
  const known = new Map<Storage, string>(
    names.map(([name, { dataId }]) => [backend.storage(dataId), name]),
  );
  const model = lowerStandard({
    inputs: keys.map((name, i) => ({ name, storage: placeholders[i] })),
    outputs: results.map((name, i) => ({ name, operand: outputs[i] })),
    batch: shapes,
    names: foldConstants(backend, {
      outputs: outputs.map(({ storage }) => storage),
      inputs: placeholders,
      batch: shapes,
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
