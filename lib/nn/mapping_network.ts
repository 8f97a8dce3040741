import * as tf from "@tensorflow/tfjs";
import type { DropoutSource } from "./dropout.ts";
import { type FeedForwardKind, initUpDown, upDown, type UpDownParams } from "./feed_forward.ts";
import type { Inits } from "./init.ts";
import { initRMSNorm, rmsNorm, type RMSNormParams } from "./rms_norm.ts";

/** The network from the sum of embeddings (noise level, class …) to the condition of every norm. */
export type MappingNetworkParams = {
  in_norm: RMSNormParams;
  blocks: ({ norm: RMSNormParams } & UpDownParams)[];
  out_norm: RMSNormParams;
};

/** A mapping network that at first only normalises. */
export function initMappingNetwork(
  { depth, width, dFf, kind }: {
    depth: number;
    width: number;
    dFf: number;
    kind: FeedForwardKind;
  },
): Inits<MappingNetworkParams> {
  return {
    in_norm: initRMSNorm(width),
    blocks: Array.from({ length: depth }, () => ({
      norm: initRMSNorm(width),
      ...initUpDown({ width, dFf, kind }),
    })),
    out_norm: initRMSNorm(width),
  };
}

/** RMSNorm, residual feed-forward blocks, RMSNorm; x is [B, width]. */
export function mappingNetwork(
  p: MappingNetworkParams,
  x: tf.Tensor,
  { kind, rate = 0, source }: {
    kind: FeedForwardKind;
    rate?: number;
    source?: DropoutSource | undefined;
  },
): tf.Tensor {
  let y = rmsNorm(p.in_norm, x);
  for (const [i, block] of p.blocks.entries()) {
    const site = `mapping.blocks.${i}`;
    y = tf.add(y, upDown(block, rmsNorm(block.norm, y), { kind, source, site, rate }));
  }
  return rmsNorm(p.out_norm, y);
}
