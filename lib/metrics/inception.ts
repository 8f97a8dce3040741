/**
 * Inception-v3 (Szegedy et al. 2016) in the variant that FID is defined on: the network which the authors of TensorFlow
 * trained in December 2015, as pytorch-fid carries it over. It differs from the published network in its pools: those of
 * the branches leave padding out of the average, and the last block takes the maximum.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** A convolution with its batch normalisation folded in, then ReLU. */
type Convolution = {
  kind: "convolution";
  /** Its name in the state dict. */
  name: string;
  outputs: number;
  kernel: [height: number, width: number];
  stride: 1 | 2;
  pad: "same" | "valid";
};
/** A pool of 3 × 3; padding counts in neither. */
type Pool = { kind: "max" | "average"; stride: 1 | 2 };
/** Chains of layers on the same input; their outputs are put side by side. */
type Branches = { kind: "branches"; branches: Layer[][] };
/** One step of the network. */
type Layer = Convolution | Pool | Branches;

/** Kernels [kH, kW, I, O] and biases [O] by the convolution's name in the state dict. */
export type InceptionParams = Record<string, { kernel: tf.Tensor4D; bias: tf.Tensor1D }>;

/** Features of an image: the channels of the last block, averaged over its positions ("pool3"). */
export const INCEPTION_DIMENSION = 2048;
/** Pixels a side that images are resized to. */
export const INCEPTION_SIZE = 299;

function conv(
  name: string,
  outputs: number,
  { kernel = 1, stride = 1, pad = "same" }: {
    kernel?: number | [height: number, width: number];
    stride?: 1 | 2;
    pad?: "same" | "valid";
  } = {},
): Convolution {
  const sides: [number, number] = typeof kernel === "number" ? [kernel, kernel] : kernel;
  return { kind: "convolution", name, outputs, kernel: sides, stride, pad };
}

const halve = { stride: 2, pad: "valid" } as const;
const wide = (side: number) => ({ kernel: [1, side] as [number, number] });
const tall = (side: number) => ({ kernel: [side, 1] as [number, number] });

/** 35 × 35 positions. */
const mixedA = (name: string, pooled: number): Branches => ({
  kind: "branches",
  branches: [
    [conv(`${name}.branch1x1`, 64)],
    [conv(`${name}.branch5x5_1`, 48), conv(`${name}.branch5x5_2`, 64, { kernel: 5 })],
    [
      conv(`${name}.branch3x3dbl_1`, 64),
      conv(`${name}.branch3x3dbl_2`, 96, { kernel: 3 }),
      conv(`${name}.branch3x3dbl_3`, 96, { kernel: 3 }),
    ],
    [{ kind: "average", stride: 1 }, conv(`${name}.branch_pool`, pooled)],
  ],
});

/** 35 × 35 positions to 17 × 17. */
const mixedB = (name: string): Branches => ({
  kind: "branches",
  branches: [
    [conv(`${name}.branch3x3`, 384, { kernel: 3, ...halve })],
    [
      conv(`${name}.branch3x3dbl_1`, 64),
      conv(`${name}.branch3x3dbl_2`, 96, { kernel: 3 }),
      conv(`${name}.branch3x3dbl_3`, 96, { kernel: 3, ...halve }),
    ],
    [{ kind: "max", stride: 2 }],
  ],
});

/** 17 × 17 positions; kernels of 7 × 7 as products of lines. */
const mixedC = (name: string, width: number): Branches => ({
  kind: "branches",
  branches: [
    [conv(`${name}.branch1x1`, 192)],
    [
      conv(`${name}.branch7x7_1`, width),
      conv(`${name}.branch7x7_2`, width, wide(7)),
      conv(`${name}.branch7x7_3`, 192, tall(7)),
    ],
    [
      conv(`${name}.branch7x7dbl_1`, width),
      conv(`${name}.branch7x7dbl_2`, width, tall(7)),
      conv(`${name}.branch7x7dbl_3`, width, wide(7)),
      conv(`${name}.branch7x7dbl_4`, width, tall(7)),
      conv(`${name}.branch7x7dbl_5`, 192, wide(7)),
    ],
    [{ kind: "average", stride: 1 }, conv(`${name}.branch_pool`, 192)],
  ],
});

/** 17 × 17 positions to 8 × 8. */
const mixedD = (name: string): Branches => ({
  kind: "branches",
  branches: [
    [conv(`${name}.branch3x3_1`, 192), conv(`${name}.branch3x3_2`, 320, { kernel: 3, ...halve })],
    [
      conv(`${name}.branch7x7x3_1`, 192),
      conv(`${name}.branch7x7x3_2`, 192, wide(7)),
      conv(`${name}.branch7x7x3_3`, 192, tall(7)),
      conv(`${name}.branch7x7x3_4`, 192, { kernel: 3, ...halve }),
    ],
    [{ kind: "max", stride: 2 }],
  ],
});

/** 8 × 8 positions. */
function mixedE(name: string, pool: Pool["kind"]): Branches {
  const cross = (branch: string): Branches => ({
    kind: "branches",
    branches: [[conv(`${name}.${branch}a`, 384, wide(3))], [
      conv(`${name}.${branch}b`, 384, tall(3)),
    ]],
  });
  return {
    kind: "branches",
    branches: [
      [conv(`${name}.branch1x1`, 320)],
      [conv(`${name}.branch3x3_1`, 384), cross("branch3x3_2")],
      [
        conv(`${name}.branch3x3dbl_1`, 448),
        conv(`${name}.branch3x3dbl_2`, 384, { kernel: 3 }),
        cross("branch3x3dbl_3"),
      ],
      [{ kind: pool, stride: 1 }, conv(`${name}.branch_pool`, 192)],
    ],
  };
}

/** The network in the four blocks of pytorch-fid, which end where features may be taken. */
const BLOCKS: Layer[][] = [
  [
    conv("Conv2d_1a_3x3", 32, { kernel: 3, ...halve }),
    conv("Conv2d_2a_3x3", 32, { kernel: 3, pad: "valid" }),
    conv("Conv2d_2b_3x3", 64, { kernel: 3 }),
    { kind: "max", stride: 2 },
  ],
  [
    conv("Conv2d_3b_1x1", 80),
    conv("Conv2d_4a_3x3", 192, { kernel: 3, pad: "valid" }),
    { kind: "max", stride: 2 },
  ],
  [
    mixedA("Mixed_5b", 32),
    mixedA("Mixed_5c", 64),
    mixedA("Mixed_5d", 64),
    mixedB("Mixed_6a"),
    mixedC("Mixed_6b", 128),
    mixedC("Mixed_6c", 160),
    mixedC("Mixed_6d", 160),
    mixedC("Mixed_6e", 192),
  ],
  [mixedD("Mixed_7a"), mixedE("Mixed_7b", "average"), mixedE("Mixed_7c", "max")],
];

/** Every convolution with the shape of its kernel [kH, kW, I, O], in the order of the network. */
export function inceptionConvolutions(): {
  name: string;
  shape: [height: number, width: number, inputs: number, outputs: number];
}[] {
  const found: ReturnType<typeof inceptionConvolutions> = [];
  const through = (layers: Layer[], inputs: number): number =>
    layers.reduce((channels, layer) => {
      if (layer.kind === "branches") {
        return layer.branches.reduce((sum, branch) => sum + through(branch, channels), 0);
      }
      if (layer.kind !== "convolution") return channels;
      const { name, kernel: [height, width], outputs } = layer;
      found.push({ name, shape: [height, width, channels, outputs] });
      return outputs;
    }, inputs);
  through(BLOCKS.flat(), 3);
  return found;
}

function apply(params: InceptionParams, layers: Layer[], input: tf.Tensor4D): tf.Tensor4D {
  return layers.reduce((x, layer) => {
    switch (layer.kind) {
      case "convolution": {
        const { kernel: filter, bias } = params[layer.name];
        const { stride: strides, pad } = layer;
        return tf.fused.conv2d({ x, filter, strides, pad, bias, activation: "relu" });
      }
      case "max":
        return tf.maxPool(x, 3, layer.stride, layer.stride === 1 ? "same" : "valid");
      case "average":
        return tf.avgPool(x, 3, layer.stride, layer.stride === 1 ? "same" : "valid");
      case "branches":
        return tf.concat(layer.branches.map((branch) => apply(params, branch, x)), 3);
    }
  }, input);
}

/**
 * Features [B, 2048] of images [B, 299, 299, 3] that are scaled as the weights need it, about [-1, 1] (see
 * `inceptionInput`), and what the four blocks give: [B, 73, 73, 64], [B, 35, 35, 192], [B, 17, 17, 768] and
 * [B, 8, 8, 2048], of which the last's mean the features are.
 *
 * Source: `InceptionV3` of pytorch-fid 0.3.
 */
export function inception(
  params: InceptionParams,
  images: tf.Tensor4D,
): { features: tf.Tensor2D; blocks: tf.Tensor4D[] } {
  return tf.tidy(() => {
    let x = images;
    const blocks = BLOCKS.map((layers) => x = apply(params, layers, x));
    return { features: x.mean([1, 2]) as tf.Tensor2D, blocks };
  });
}
