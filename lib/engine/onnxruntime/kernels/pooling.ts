/** Pooling over windows of an image, and its gradients. @module */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { type Constant, type Operand, scalar, sizeOf } from "../graph.ts";
import { convTranspose, fromPlanes, reach, toPlanes, windowAttributes } from "./convolution.ts";
import { cast, type Kernel, type KernelTable, map, reshape, zeros } from "./kernel.ts";

type Info = tf.backend_util.Conv2DInfo;

function poolInfo(
  x: Operand,
  { filterSize, strides, pad, dimRoundingMode }: Parameters<Kernel>[0]["attrs"],
): Info {
  return tf.backend_util.computePool2DInfo(
    [...x.shape] as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
}

const outPlanes = ({ batchSize, inChannels, outHeight, outWidth }: Info) => [
  batchSize,
  inChannels,
  outHeight,
  outWidth,
];

const attributes = (info: Info) => ({
  ...windowAttributes(info),
  kernel_shape: [info.filterHeight, info.filterWidth],
});

function pool(op: string): Kernel {
  return ({ inputs: { x }, attrs, backend }) => {
    const info = poolInfo(x, attrs);
    const planes = toPlanes(backend, cast(backend, x, "float32"));
    const out = backend.record(op, [planes], {
      shape: outPlanes(info),
      dtype: "float32",
      attributes: attributes(info),
    });
    return cast(backend, fromPlanes(backend, out), x.dtype);
  };
}

/** 1 / (positions of the image under the window), for each window: [1, oH, oW, 1]. */
function weights(backend: OnnxRuntimeBackend, info: Info): Operand | Constant {
  const { top, left, bottom, right } = reach(info);
  if (Math.max(top, left, bottom, right) <= 0) {
    return scalar(1 / (info.filterHeight * info.filterWidth));
  }
  const covered = (from: number, length: number, size: number) =>
    Math.min(from + length, size) - Math.max(from, 0);
  const out = new Float32Array(info.outHeight * info.outWidth);
  for (let i = 0; i < out.length; i++) {
    const y = Math.floor(i / info.outWidth) * info.strideHeight - top;
    const x = i % info.outWidth * info.strideWidth - left;
    out[i] = 1 / (covered(y, info.filterHeight, info.inHeight) *
      covered(x, info.filterWidth, info.inWidth));
  }
  return backend.constant(out, [1, info.outHeight, info.outWidth, 1], "float32");
}

export const pooling: KernelTable = {
  MaxPool: pool("MaxPool"),
  AvgPool: pool("AveragePool"),
  // ONNX's second output says where in the image each maximum was
  MaxPoolGrad: ({ inputs: { dy, input }, attrs, backend }) => {
    const info = poolInfo(input, attrs);
    const { batchSize, inChannels, inHeight, inWidth } = info;
    const shape = outPlanes(info);
    const [, places] = backend.recordMany("MaxPool", [toPlanes(backend, input)], {
      outputs: [{ shape, dtype: "float32" }, { shape, dtype: "int32" }], // int64, and never cast
      attributes: attributes(info),
    });
    const count = [sizeOf(shape)];
    const size = [sizeOf(input.shape)];
    const dx = backend.record("ScatterElements", [
      zeros(backend, size, "float32"),
      reshape(places, count),
      reshape(toPlanes(backend, dy), count),
    ], { shape: size, dtype: "float32", attributes: { reduction: "add" } });
    return fromPlanes(backend, reshape(dx, [batchSize, inChannels, inHeight, inWidth]));
  },
  // tfjs's own backends divide by the window's size even at padded borders; this is the true gradient
  AvgPoolGrad: ({ inputs: { dy, input }, attrs, backend }) => {
    const info = poolInfo(input, attrs);
    const { batchSize, inChannels, inHeight, inWidth, outHeight, outWidth } = info;
    const shares = toPlanes(backend, map(backend, "Mul", [dy, weights(backend, info)], dy));
    const { filterHeight, filterWidth } = info;
    const ones: Constant = {
      type: "float32",
      dims: [1, 1, filterHeight, filterWidth],
      values: Array(filterHeight * filterWidth).fill(1),
    };
    const dx = convTranspose(
      backend,
      reshape(shares, [batchSize * inChannels, 1, outHeight, outWidth]),
      ones,
      { info, shape: [batchSize * inChannels, 1, inHeight, inWidth] },
    );
    return fromPlanes(backend, reshape(dx, [batchSize, inChannels, inHeight, inWidth]));
  },
};
