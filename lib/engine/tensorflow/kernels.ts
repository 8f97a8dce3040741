/**
 * Kernels that the package lacks, or where it departs from tfjs's own `cpu` backend: those run on
 * that backend, with the numbers copied there and back. None of them is on a train step's path;
 * they are here so that tfjs code runs unchanged.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { OpAttr } from "./saved_model.ts";

type Call = { inputs: tf.NamedTensorInfoMap; attrs: tf.NamedAttrMap };

const notFloat = ({ inputs }: Call) =>
  Object.values(inputs).some((info) => info?.dtype !== "float32");
const empty = ({ inputs }: Call) =>
  Object.values(inputs).some((info) => info && tf.util.sizeFromShape(info.shape) === 0);
const bool = ({ inputs }: Call) => Object.values(inputs).some((info) => info?.dtype === "bool");

const planes = ({ attrs }: Call) => attrs.dataFormat === "NCHW";

/** The calls that go to `cpu`, by kernel; the others go to TensorFlow. */
export const departures: Readonly<Record<string, (call: Call) => boolean>> = {
  // TensorFlow has no such operation for int32, or (Round) gives zeros
  IsFinite: notFloat,
  IsInf: notFloat,
  IsNan: notFloat,
  LeakyRelu: notFloat,
  Round: notFloat,
  Step: notFloat,
  // nor these for bool
  Greater: bool,
  GreaterEqual: bool,
  Less: bool,
  LessEqual: bool,
  FloorDiv: ({ inputs }) => inputs.a?.dtype === "float32", // tfjs gives int32
  SparseToDense: () => true, // TensorFlow wants sorted indices
  // another result over no elements
  All: empty,
  Any: empty,
  Max: empty,
  Mean: empty,
  Min: empty,
  Select: ({ inputs }) => new Set(Object.values(inputs).map((info) => `${info?.shape}`)).size > 1,
  // strides are taken for another axis, and there are no gradients on a processor
  Conv2D: planes,
  Conv2DBackpropFilter: planes,
  Conv2DBackpropInput: planes,
};

type KernelFunc = tf.KernelConfig["kernelFunc"];

/** The `cpu` kernel of that name, over tensors of this backend. */
function onCpu(kernel: KernelFunc): KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const cpu = tf.findBackend("cpu") as tf.KernelBackend;
    const here = backend as tf.KernelBackend;
    const copies = Object.fromEntries(
      Object.entries(inputs).map(([name, info]) => {
        if (info === undefined || info === null) return [name, info];
        const { dataId, shape, dtype } = info as tf.TensorInfo;
        const values = here.readSync(dataId) as tf.backend_util.BackendValues;
        return [name, { dataId: cpu.write(values, shape, dtype), shape, dtype }];
      }),
    ) as tf.NamedTensorInfoMap;
    const out = kernel({ inputs: copies, attrs: attrs ?? {}, backend: cpu });
    const outputs = Array.isArray(out) ? out : [out];
    const results = outputs.map(({ dataId, shape, dtype }) => {
      const values = cpu.readSync(dataId) as tf.backend_util.BackendValues;
      return { dataId: here.write(values, shape, dtype), shape, dtype };
    });
    for (const info of [...Object.values(copies), ...outputs]) {
      if (info) cpu.disposeData(info.dataId, true);
    }
    return Array.isArray(out) ? results : results[0];
  };
}

/** Registers a kernel in place of one that is there. */
function replace(kernelName: string, kernelFunc: KernelFunc): void {
  tf.unregisterKernel(kernelName, "tensorflow");
  tf.registerKernel({ kernelName, backendName: "tensorflow", kernelFunc });
}

/** Adds what is missing and mends what departs. */
export function mendKernels(): void {
  const native = new Map(
    tf.getKernelsForBackend("tensorflow").map((kernel) => [kernel.kernelName, kernel.kernelFunc]),
  );
  for (const { kernelName, kernelFunc } of tf.getKernelsForBackend("cpu")) {
    const original = native.get(kernelName), fallback = onCpu(kernelFunc);
    if (!original) {
      tf.registerKernel({ kernelName, backendName: "tensorflow", kernelFunc: fallback });
      continue;
    }
    const departs = departures[kernelName];
    if (!departs) continue;
    replace(kernelName, (call) => {
      const { inputs, attrs } = call;
      const goes = departs({ inputs: inputs as tf.NamedTensorInfoMap, attrs: attrs ?? {} });
      return (goes ? fallback : original)(call);
    });
  }
  // it reads the indices to check them, which TensorFlow does as well, and takes a negative axis amiss
  replace("GatherV2", ({ inputs, attrs, backend }) => {
    const x = inputs.x as tf.TensorInfo, indices = inputs.indices as tf.TensorInfo;
    const [axis] = tf.util.parseAxisParam(attrs!.axis as number, x.shape);
    const { binding, getDTypeInteger, executeSingleOutput } = backend as NodeBackend;
    const type = (name: string, dtype: tf.DataType) => ({
      name,
      type: binding.TF_ATTR_TYPE,
      value: getDTypeInteger.call(backend, dtype),
    });
    const along = tf.scalar(axis, "int32");
    const out = executeSingleOutput.call(backend, "GatherV2", [
      { name: "batch_dims", type: binding.TF_ATTR_INT, value: attrs!.batchDims as number },
      type("Tparams", x.dtype),
      type("Tindices", indices.dtype),
      type("Taxis", "int32"),
    ], [x, indices, along]);
    along.dispose();
    return out;
  });
}

/** What the kernels call on the package's backend. */
type NodeBackend = {
  binding: { TF_ATTR_TYPE: number; TF_ATTR_INT: number };
  getDTypeInteger(dtype: tf.DataType): number;
  executeSingleOutput(op: string, attrs: OpAttr[], inputs: tf.TensorInfo[]): tf.TensorInfo;
};
