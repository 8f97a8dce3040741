/**
 * Named models: those of the paper's tables, the reference's demonstrations, and small ones.
 *
 * @module
 */
import type { AttentionSpec, HditSpec, LevelSpec } from "./spec.ts";

type Short = {
  depths: number[];
  widths: number[];
  /** Attention of the levels; by default neighborhoods of 7 × 7 in all but the last. */
  attention?: AttentionSpec[];
  mapping?: { depth: number; width: number };
  dropout?: number[];
  patch?: number;
  channels?: number;
  numClasses?: number;
  /** Hidden width of feed-forward blocks over width; by default 3 with GEGLU and 4 with GELU. */
  ratio?: number;
} & Partial<Pick<HditSpec, "position" | "skip" | "feedForward" | Additions>>;
/** Fields that a spec may lack. */
type Additions = "norm" | "outNorm" | "similarity" | "patchBottleneck" | "inContext";

const D_HEAD = 64;
const global: AttentionSpec = { kind: "global", dHead: D_HEAD };
const neighborhood: AttentionSpec = { kind: "neighborhood", dHead: D_HEAD, kernelSize: 7 };
const window8: AttentionSpec = { kind: "shifted-window", dHead: D_HEAD, windowSize: 8 };

/**
 * A spec in few words; d_ff is 3 × width with GEGLU and 4 × width with GELU, as in the paper.
 *
 * The mapping network has GEGLU and 3 × width in every model: the figures that are known to five digits ask for it (see
 * the cost tests). The authors' files of rows A, B1, B2, R3, R4 and H put GELU there too, with the same d_ff: a third of its
 * multiply-adds less, 0.002 · 10⁹ an image.
 */
function model(short: Short): HditSpec {
  const { depths, widths, patch = 4, channels = 3, numClasses = 0 } = short;
  const feedForward = short.feedForward ?? { kind: "geglu" };
  const { ratio = feedForward.kind === "geglu" ? 3 : 4 } = short;
  const { norm, outNorm, similarity, patchBottleneck, inContext } = short;
  const last = widths.length - 1;
  const levels = widths.map((width, i): LevelSpec => ({
    depth: depths[i],
    width,
    dFf: Math.floor(ratio * width),
    attention: short.attention?.[i] ?? (i < last ? neighborhood : global),
    dropout: short.dropout?.[i] ?? 0,
  }));
  const mapping = short.mapping ?? { depth: 2, width: 256 };
  return {
    inChannels: channels,
    outChannels: channels,
    patchSize: [patch, patch],
    levels,
    mapping: {
      ...mapping,
      dFf: 3 * mapping.width,
      dropout: 0,
      ...(feedForward.kind === "geglu" ? {} : { feedForward: { kind: "geglu" } }),
    },
    numClasses,
    mappingCondDim: 0,
    position: short.position ?? { kind: "rope" },
    skip: short.skip ?? { kind: "lerp" },
    feedForward,
    ...(norm && { norm }),
    ...(outNorm && { outNorm }),
    ...(similarity && { similarity }),
    ...(patchBottleneck && { patchBottleneck }),
    ...(inContext && { inContext }),
  };
}

/** The paper's Table 1 on ImageNet-128: two levels, mapping 768 wide and 1 deep. */
function imagenet128(change: Partial<Short> = {}): HditSpec {
  return model({
    depths: [2, 11],
    widths: [384, 768],
    mapping: { depth: 1, width: 768 },
    numClasses: 1000,
    ...change,
  });
}
const layerNorm = { kind: "ada-layer-norm" } as const;
const gelu = { feedForward: { kind: "gelu" }, position: { kind: "sincos" } } as const;

/** The paper's Table 6 on ImageNet-256. */
function imagenet256(depths: number[], widths: number[], patch: number): HditSpec {
  return model({ depths, widths, patch, numClasses: 1000 });
}

/**
 * DiT-B in pixel space (Peebles & Xie 2023, paper's R1), of the blocks of this library: adaLN-zero, dot products,
 * fixed positions. Its time and class embeddings are HDiT's, linear maps have no bias, GELU is the exact one.
 */
const ditB4 = model({
  depths: [12],
  widths: [768],
  mapping: { depth: 0, width: 768 },
  numClasses: 1000,
  ...gelu,
  norm: { ...layerNorm, gate: true },
  outNorm: layerNorm,
  similarity: "dot-product",
});

/**
 * JiT (Li & He 2025, "Back to Basics"): a plain ViT with large patches behind a bottleneck, to be trained to predict
 * the clean image (`hditModel(spec, { prediction: "x" })`); 32 class tokens join the others before layer `from`. Here q and k have HDiT's cosine similarity for its
 * RMSNorm, GEGLU stands for its SwiGLU (of the same size), and there is RoPE alone where it has a fixed table too.
 */
function jit(
  { depth, from, width, dHead = D_HEAD, patch, bottleneck }: {
    depth: number;
    from: number;
    width: number;
    dHead?: number;
    patch: number;
    bottleneck: number;
  },
): HditSpec {
  const norm = { kind: "ada-rms-norm", shift: true } as const;
  return model({
    depths: [depth],
    widths: [width],
    attention: [{ kind: "global", dHead }],
    mapping: { depth: 0, width },
    ratio: 8 / 3,
    patch,
    patchBottleneck: bottleneck,
    numClasses: 1000,
    norm: { ...norm, gate: true },
    outNorm: norm,
    inContext: { tokens: 32, from },
  });
}

/** Models by name; sizes of inputs are those of the table that a name comes from. */
export const presets = {
  // Small ones
  smoke: {
    ...model({ depths: [1, 1], widths: [16, 32], mapping: { depth: 1, width: 32 }, numClasses: 2 }),
    patchSize: [4, 4],
    levels: [
      {
        depth: 1,
        width: 16,
        dFf: 48,
        attention: { kind: "neighborhood", dHead: 16, kernelSize: 3 },
        dropout: 0,
      },
      { depth: 1, width: 32, dFf: 96, attention: { kind: "global", dHead: 16 }, dropout: 0 },
    ],
  } satisfies HditSpec as HditSpec, // 16 to 32 px
  "emoji-64": model({ depths: [2, 4], widths: [64, 128] }), // 64 px
  study: model({ depths: [2, 4], widths: [128, 256] }), // 128 px, 6.57 M parameters: what `bench` runs

  // Tables 1, 2 and 5, ImageNet-128 (128 px); names are the tables' rows
  "imagenet-128/R1": ditB4,
  "imagenet-128/R2": ditB4, // R1's model in HDiT's trainer
  "imagenet-128/R3": imagenet128({ depths: [12], widths: [768], ...gelu }),
  "imagenet-128/R4": imagenet128({ depths: [12], widths: [768], ...gelu }), // R3 with soft-min-snr
  "imagenet-128/A": imagenet128({ attention: [global, global], ...gelu }),
  "imagenet-128/B1": imagenet128({ attention: [window8, global], ...gelu }),
  "imagenet-128/B2": imagenet128(gelu),
  "imagenet-128/C": imagenet128({ position: { kind: "sincos" } }),
  "imagenet-128/D": imagenet128(),
  "imagenet-128/E": imagenet128(), // D's model; E, E2 and E3 differ in the loss weighting
  "imagenet-128/E2": imagenet128(),
  "imagenet-128/E3": imagenet128(),
  "imagenet-128/F1": imagenet128({ skip: { kind: "concat" } }),
  "imagenet-128/F2": imagenet128({ skip: { kind: "add" } }),
  "imagenet-128/G": imagenet128({ norm: layerNorm }),
  "imagenet-128/H": imagenet128({
    norm: { ...layerNorm, gate: true },
    feedForward: { kind: "gelu" },
  }),
  "imagenet-128/E-add": imagenet128({ skip: { kind: "add" } }), // F2 and F1 by what they change
  "imagenet-128/E-concat": imagenet128({ skip: { kind: "concat" } }),

  // Table 3, FFHQ (1024 px): three local and two global levels
  "ffhq-1024": model({
    depths: [2, 2, 2, 2, 2],
    widths: [128, 256, 384, 768, 1024],
    attention: [neighborhood, neighborhood, neighborhood, global, global],
    dropout: [0, 0, 0, 0, 0.1],
  }),

  // Tables 4 and 6, ImageNet-256 (256 px): patch size and model size
  "imagenet-256": imagenet256([2, 2, 16], [384, 768, 1536], 4),
  "imagenet-256/p16-S": imagenet256([8], [1024], 16),
  "imagenet-256/p16-M": imagenet256([12], [1280], 16),
  "imagenet-256/p16-L": imagenet256([16], [1536], 16),
  "imagenet-256/p8-S": imagenet256([2, 8], [512, 1024], 8),
  "imagenet-256/p8-M": imagenet256([2, 12], [640, 1280], 8),
  "imagenet-256/p8-L": imagenet256([2, 16], [768, 1536], 8),
  "imagenet-256/p4-S": imagenet256([2, 2, 8], [256, 512, 1024], 4),
  "imagenet-256/p4-M": imagenet256([2, 2, 12], [320, 640, 1280], 4),
  "imagenet-256/p4-L": imagenet256([2, 2, 16], [384, 768, 1536], 4),

  // Plain ViTs (JiT, Tables 7 and 8): patch 16 for 256 px, 32 for 512 px
  "jit/B-16": jit({ depth: 12, from: 4, width: 768, patch: 16, bottleneck: 128 }),
  "jit/B-32": jit({ depth: 12, from: 4, width: 768, patch: 32, bottleneck: 128 }),
  "jit/L-16": jit({ depth: 24, from: 8, width: 1024, patch: 16, bottleneck: 128 }),
  "jit/L-32": jit({ depth: 24, from: 8, width: 1024, patch: 32, bottleneck: 128 }),
  "jit/H-16": jit({ depth: 32, from: 10, width: 1280, dHead: 80, patch: 16, bottleneck: 256 }),
  "jit/H-32": jit({ depth: 32, from: 10, width: 1280, dHead: 80, patch: 32, bottleneck: 256 }),

  // The reference's demonstration configurations (28, 32, 256 and 256 px)
  "kd/mnist": model({ depths: [8], widths: [256], channels: 1, numClasses: 10, dropout: [0.05] }),
  "kd/cifar10": model({
    depths: [2, 4],
    widths: [256, 512],
    attention: [global, global],
    patch: 2,
    numClasses: 10,
    dropout: [0.05, 0.05],
  }),
  "kd/oxford-flowers": model({
    depths: [2, 2, 4],
    widths: [128, 256, 512],
    dropout: [0, 0, 0.1],
  }),
  "kd/oxford-flowers-shifted-window": model({
    depths: [2, 2, 4],
    widths: [128, 256, 512],
    attention: [window8, window8, global],
    dropout: [0, 0, 0.1],
  }),
} as const satisfies Record<string, HditSpec>;

/** Name of a preset. */
export type ModelPresetName = keyof typeof presets;

/** Sides of the tables that the names come from, by the start of a name; the longest that fits counts. */
const SIDES: Record<string, number> = {
  "smoke": 32,
  "emoji-64": 64,
  "study": 128,
  "imagenet-128/": 128,
  "imagenet-256": 256,
  "ffhq-1024": 1024,
  "jit/B-16": 256,
  "jit/B-32": 512,
  "jit/L-16": 256,
  "jit/L-32": 512,
  "jit/H-16": 256,
  "jit/H-32": 512,
  "kd/mnist": 28,
  "kd/cifar10": 32,
  "kd/oxford-flowers": 256,
};

/** The size of images, in pixels, that a preset's figures are for. */
export function presetSize(name: ModelPresetName): [height: number, width: number] {
  const starts = Object.keys(SIDES).filter((start) => name.startsWith(start));
  if (starts.length === 0) {
    throw new RangeError(
      `Cannot tell the size of a preset as it must be listed: preset is ${name}`,
    );
  }
  const side = SIDES[starts.reduce((a, b) => b.length > a.length ? b : a)];
  return [side, side];
}
