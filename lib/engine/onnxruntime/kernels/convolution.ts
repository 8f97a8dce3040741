/**
 * Convolutions and their gradients. tfjs has images as [B, H, W, C] and filters as [kH, kW, I, O],
 * ONNX has [B, C, H, W] and [O, I, kH, kW]: what is a matrix product becomes one in tfjs's own
 * layout, the rest is transposed before and after.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.ts";
import { int64s, type Operand } from "../graph.ts";
import { activate } from "./elementary.ts";
import { type Kernel, type KernelTable, map, reshape } from "./kernel.ts";
import { matMul } from "./linear_algebra.ts";
import { concat, pad, slice, transpose } from "./shape.ts";

type Info = tf.backend_util.Conv2DInfo;
type Attrs = Parameters<Kernel>[0]["attrs"];

/** Sizes of a window that moves over an image: of a convolution or of a pooling. */
type Windows = Pick<
  Info,
  | "inHeight"
  | "inWidth"
  | "outHeight"
  | "outWidth"
  | "strideHeight"
  | "strideWidth"
  | "effectiveFilterHeight"
  | "effectiveFilterWidth"
  | "padInfo"
>;

/**
 * The rows and columns before and after the image that the windows reach into: at the end what
 * the last one needs, which is negative if it leaves some of the image out.
 */
export function reach(info: Windows): { top: number; left: number; bottom: number; right: number } {
  const { top, left } = info.padInfo;
  return {
    top,
    left,
    bottom: (info.outHeight - 1) * info.strideHeight + info.effectiveFilterHeight -
      info.inHeight - top,
    right: (info.outWidth - 1) * info.strideWidth + info.effectiveFilterWidth -
      info.inWidth - left,
  };
}

/** ONNX's attributes for windows. */
export function windowAttributes(info: Windows) {
  const { top, left, bottom, right } = reach(info);
  return {
    strides: [info.strideHeight, info.strideWidth],
    pads: [top, left, Math.max(0, bottom), Math.max(0, right)],
  };
}

/** [B, H, W, C] as [B, C, H, W], or as it is if it is so already. */
export function toPlanes(backend: OnnxRuntimeBackend, x: Operand, last = true): Operand {
  return last ? transpose(backend, x, [0, 3, 1, 2]) : x;
}

export function fromPlanes(backend: OnnxRuntimeBackend, x: Operand, last = true): Operand {
  return last ? transpose(backend, x, [0, 2, 3, 1]) : x;
}

function convInfo(
  inShape: readonly number[],
  filterShape: readonly number[],
  { strides, pad, dilations = 1, dimRoundingMode, dataFormat = "NHWC" }: Attrs,
  depthwise = false,
): Info {
  return tf.backend_util.computeConv2DInfo(
    [...inShape] as [number, number, number, number],
    [...filterShape] as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
    depthwise,
    tf.backend_util.convertConv2DDataFormat(dataFormat),
  );
}

const isLast = (info: Info) => info.dataFormat === "channelsLast";

/** Whether each output depends on one position, which makes the convolution a matrix product. */
function isPointwise(info: Info): boolean {
  const { top, left } = info.padInfo;
  return isLast(info) && info.filterHeight * info.filterWidth === 1 && top + left === 0;
}

/**
 * The positions that one element of the filter meets: [B, oH, oW, C] for row `h`, column `w` of
 * the filter, from an image that is padded already.
 */
function tap(backend: OnnxRuntimeBackend, padded: Operand, info: Info, h: number, w: number) {
  const [batch, , , channels] = padded.shape;
  return slice(backend, padded, {
    begin: [0, h * info.dilationHeight, w * info.dilationWidth, 0],
    size: [batch, info.outHeight, info.outWidth, channels],
    steps: [1, info.strideHeight, info.strideWidth, 1],
  });
}

function padForTaps(backend: OnnxRuntimeBackend, x: Operand, info: Info): Operand {
  const [top, left, bottom, right] = windowAttributes(info).pads;
  return pad(backend, x, { paddings: [[0, 0], [top, bottom], [left, right], [0, 0]] });
}

/** Something computed for each element of the filter, as [kH, kW, ...rest]. */
function perTap(
  backend: OnnxRuntimeBackend,
  info: Info,
  compute: (h: number, w: number) => Operand,
): Operand {
  const parts: Operand[] = [];
  for (let h = 0; h < info.filterHeight; h++) {
    for (let w = 0; w < info.filterWidth; w++) {
      const part = compute(h, w);
      parts.push(reshape(part, [1, ...part.shape]));
    }
  }
  return concat(backend, parts, 0);
}

function conv2d(
  backend: OnnxRuntimeBackend,
  x: Operand,
  filter: Operand,
  attrs: Attrs,
): { y: Operand; info: Info } {
  const info = convInfo(x.shape, filter.shape, attrs);
  const { batchSize, outHeight, outWidth, inChannels, outChannels } = info;
  if (isPointwise(info)) {
    const met = tap(backend, x, info, 0, 0);
    const rows = reshape(met, [batchSize * outHeight * outWidth, inChannels]);
    const product = matMul(backend, rows, reshape(filter, [inChannels, outChannels]));
    return { y: reshape(product, info.outShape), info };
  }
  const weight = transpose(backend, filter, [3, 2, 0, 1]);
  const y = backend.record("Conv", [toPlanes(backend, x, isLast(info)), weight], {
    shape: [batchSize, outChannels, outHeight, outWidth],
    dtype: "float32",
    attributes: {
      ...windowAttributes(info),
      dilations: [info.dilationHeight, info.dilationWidth],
    },
  });
  return { y: fromPlanes(backend, y, isLast(info)), info };
}

/** [kH, kW, C, M] as ONNX has the filter of C groups: [C · M, 1, kH, kW]. */
function grouped(backend: OnnxRuntimeBackend, filter: Operand): Operand {
  const [height, width, channels, multiplier] = filter.shape;
  const turned = transpose(backend, filter, [2, 3, 0, 1]);
  return reshape(turned, [channels * multiplier, 1, height, width]);
}

function depthwise(
  backend: OnnxRuntimeBackend,
  x: Operand,
  filter: Operand,
  attrs: Attrs,
): { y: Operand; info: Info } {
  const info = convInfo(x.shape, filter.shape, { ...attrs, dilations: attrs.dilations ?? 1 }, true);
  const y = backend.record("Conv", [toPlanes(backend, x), grouped(backend, filter)], {
    shape: [info.batchSize, info.outChannels, info.outHeight, info.outWidth],
    dtype: "float32",
    attributes: {
      ...windowAttributes(info),
      dilations: [info.dilationHeight, info.dilationWidth],
      group: info.inChannels,
    },
  });
  return { y: fromPlanes(backend, y), info };
}

/**
 * The adjoint of a window's movement, [B, O, oH, oW] → [B, I, H, W], with `weight` as in the
 * movement itself: [O, I / group, kH, kW].
 */
export function convTranspose(
  backend: OnnxRuntimeBackend,
  dy: Operand,
  weight: Parameters<OnnxRuntimeBackend["record"]>[1][number],
  { info, shape, group = 1 }: { info: Windows; shape: number[]; group?: number },
): Operand {
  const { bottom, right } = reach(info);
  return backend.record("ConvTranspose", [dy, weight], {
    shape,
    dtype: "float32",
    attributes: {
      ...windowAttributes(info),
      output_padding: [Math.max(0, -bottom), Math.max(0, -right)], // rows that no window met
      group,
    },
  });
}

/** Adds the bias and applies the activation of tfjs's fused convolutions. */
function finish(
  { backend, inputs: { bias, preluActivationWeights }, attrs }: Parameters<Kernel>[0],
  { y, info }: { y: Operand; info: Info },
): Operand {
  const column = bias && !isLast(info) && bias.shape.length === 1
    ? reshape(bias, [bias.shape[0], 1, 1])
    : bias;
  const biased = column ? map(backend, "Add", [y, column], y) : y;
  return activate(backend, biased, { ...attrs, preluActivationWeights });
}

export const convolution: KernelTable = {
  Conv2D: ({ inputs: { x, filter }, attrs, backend }) => conv2d(backend, x, filter, attrs).y,
  FusedConv2D: (call) =>
    finish(call, conv2d(call.backend, call.inputs.x, call.inputs.filter, call.attrs)),
  Conv2DBackpropInput: ({ inputs: { dy, filter }, attrs, backend }) => {
    const info = convInfo(attrs.inputShape, filter.shape, attrs);
    const { batchSize, inChannels, outChannels, inHeight, inWidth } = info;
    if (isPointwise(info) && info.strideHeight * info.strideWidth === 1) {
      const rows = reshape(dy, [batchSize * inHeight * inWidth, outChannels]);
      const weight = reshape(filter, [inChannels, outChannels]);
      return reshape(matMul(backend, rows, weight, { transposeB: true }), info.inShape);
    }
    const dx = convTranspose(
      backend,
      toPlanes(backend, dy, isLast(info)),
      transpose(backend, filter, [3, 2, 0, 1]),
      { info, shape: [batchSize, inChannels, inHeight, inWidth] },
    );
    return fromPlanes(backend, dx, isLast(info));
  },
  // for each element of the filter a product of what it met with what came of it
  Conv2DBackpropFilter: ({ inputs: { x, dy }, attrs, backend }) => {
    const info = convInfo(x.shape, attrs.filterShape, attrs);
    const last = (image: Operand) => isLast(info) ? image : transpose(backend, image, [0, 2, 3, 1]);
    const { batchSize, outHeight, outWidth, inChannels, outChannels } = info;
    const rows = batchSize * outHeight * outWidth;
    const padded = padForTaps(backend, last(x), info);
    const slope = reshape(last(dy), [rows, outChannels]);
    const out = perTap(backend, info, (h, w) => {
      const met = reshape(tap(backend, padded, info, h, w), [rows, inChannels]);
      return matMul(backend, met, slope, { transposeA: true });
    });
    return reshape(out, attrs.filterShape);
  },
  DepthwiseConv2dNative: ({ inputs: { x, filter }, attrs, backend }) =>
    depthwise(backend, x, filter, attrs).y,
  FusedDepthwiseConv2D: (call) =>
    finish(call, depthwise(call.backend, call.inputs.x, call.inputs.filter, call.attrs)),
  DepthwiseConv2dNativeBackpropInput: ({ inputs: { dy, filter }, attrs, backend }) => {
    const info = convInfo(attrs.inputShape, filter.shape, attrs, true);
    const { batchSize, inChannels, inHeight, inWidth } = info;
    const dx = convTranspose(backend, toPlanes(backend, dy), grouped(backend, filter), {
      info,
      shape: [batchSize, inChannels, inHeight, inWidth],
      group: inChannels,
    });
    return fromPlanes(backend, dx);
  },
  DepthwiseConv2dNativeBackpropFilter: ({ inputs: { x, dy }, attrs, backend }) => {
    const info = convInfo(x.shape, attrs.filterShape, attrs, true);
    const { batchSize, outHeight, outWidth, inChannels, outChannels } = info;
    const rows = batchSize * outHeight * outWidth;
    const multiplier = outChannels / inChannels;
    const padded = padForTaps(backend, x, info);
    const slope = reshape(dy, [rows, inChannels, multiplier]);
    const out = perTap(backend, info, (h, w) => {
      const met = reshape(tap(backend, padded, info, h, w), [rows, inChannels, 1]);
      const products = map(backend, "Mul", [met, slope], slope);
      return backend.record("ReduceSum", [products, int64s([0])], {
        shape: [inChannels, multiplier],
        dtype: "float32",
        attributes: { keepdims: 0 },
      });
    });
    return reshape(out, attrs.filterShape);
  },
};
