import * as tf from "@tensorflow/tfjs";

/**
 * How DINOv2's table of positions is brought to another grid: `torch.hub`, as the models of
 * facebookresearch/dinov2 do it, or `transformers`, as Hugging Face's do. The features differ.
 */
export type Dinov2Positions = "torch.hub" | "transformers";

/** Added to the grid's sides by the rule of `torch.hub` (its `interpolate_offset`). */
const OFFSET: Record<Dinov2Positions, number> = { "torch.hub": 0.1, transformers: 0 };

/**
 * Positions [1, 1 + h·w, C] of a grid [h, w] of patches, from a table [1, 1 + M², C] for M × M.
 *
 * The first is that of the class token and stays. The others are interpolated by the cubic kernel
 * with a = −0.75, not antialiased, the border going on for ever; output i of a line of h lies at
 * (i + ½) · M / (h + 0.1) − ½ by the rule of `torch.hub`, which thus does not reach the far end, and
 * the same without 0.1 by that of `transformers`. By both a grid of M × M is the table itself.
 */
export function dinov2Positions(
  table: tf.Tensor,
  { grid: [h, w], rule }: { grid: readonly [h: number, w: number]; rule: Dinov2Positions },
): tf.Tensor {
  const [, places, C] = table.shape as [number, number, number];
  const M = Math.round(Math.sqrt(places - 1));
  if (h === M && w === M) return table;
  const matrix = (to: number) => interpolation({ from: M, to, offset: OFFSET[rule] });
  const own = tf.slice(table, [0, 0, 0], [1, 1, C]);
  const square = tf.reshape(tf.slice(table, [0, 1, 0], [1, M * M, C]), [M, M * C]);
  const rows = tf.reshape(tf.matMul(matrix(h), square), [h, M, C]);
  const across = tf.reshape(tf.transpose(rows, [1, 0, 2]), [M, h * C]);
  const resized = tf.reshape(tf.matMul(matrix(w), across), [w, h, C]);
  return tf.concat([own, tf.reshape(tf.transpose(resized, [1, 0, 2]), [1, h * w, C])], 1);
}

/** The weights of a line's `from` values in each of `to` new ones: [to, from]. */
function interpolation(
  { from, to, offset }: { from: number; to: number; offset: number },
): tf.Tensor2D {
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const at = (i + 0.5) * from / (to + offset) - 0.5, before = Math.floor(at);
    for (let j = before - 1; j <= before + 2; j++) {
      weights[i * from + Math.min(Math.max(j, 0), from - 1)] += cubic(Math.abs(at - j));
    }
  }
  return tf.tensor2d(weights, [to, from]);
}

/** Keys' cubic kernel (1981) with a = −0.75, of 0 <= x <= 2. */
function cubic(x: number): number {
  return x < 1 ? (1.25 * x - 2.25) * x * x + 1 : -0.75 * (((x - 5) * x + 8) * x - 4);
}
