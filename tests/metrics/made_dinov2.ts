/** Small DINOv2s with made-up weights, and what they compute in plain float64 loops. */
import ndarray, { type NdArray } from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import { encodeSafetensors } from "../../lib/io/safetensors.ts";
import type { StoredTensor } from "../../lib/io/stored_tensor.ts";
import type { Dinov2Spec } from "../../lib/metrics/dinov2_weights.ts";

export type Weights = Record<string, { shape: number[]; data: Float32Array }>;

/** Weights by the names of facebookresearch; scales and layer scales are near 1, so that all shows. */
export function madeWeights(spec: Dinov2Spec, hidden: number): Weights {
  const { width: C, depth, patch, grid, ffn } = spec;
  const shapes: Record<string, number[]> = {
    "cls_token": [1, 1, C],
    "mask_token": [1, C],
    "pos_embed": [1, 1 + grid ** 2, C],
  };
  const affine = (name: string, shape: number[]) => {
    Object.assign(shapes, { [`${name}.weight`]: shape, [`${name}.bias`]: [shape[0]] });
  };
  affine("patch_embed.proj", [C, 3, patch, patch]);
  for (let i = 0; i < depth; i++) {
    const block = `blocks.${i}`;
    affine(`${block}.norm1`, [C]);
    affine(`${block}.attn.qkv`, [3 * C, C]);
    affine(`${block}.attn.proj`, [C, C]);
    affine(`${block}.norm2`, [C]);
    affine(`${block}.mlp.${ffn === "gelu" ? "fc1" : "w12"}`, [
      ffn === "gelu" ? hidden : 2 * hidden,
      C,
    ]);
    affine(`${block}.mlp.${ffn === "gelu" ? "fc2" : "w3"}`, [C, hidden]);
    Object.assign(shapes, { [`${block}.ls1.gamma`]: [C], [`${block}.ls2.gamma`]: [C] });
  }
  affine("norm", [C]);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const z = normals({ seed: 5, stream: `tests/dinov2/${name}` }, 0, size);
      const scale = /norm\d?\.weight$|gamma$/.test(name);
      const spread = name.endsWith(".weight") ? Math.sqrt(shape[0] / size) : 0.5;
      return [name, { shape, data: z.map((v) => scale ? 1 + 0.3 * v : spread * v) }];
    }),
  );
}

/** Weights as a file's bytes. */
export function safetensors(weights: Weights): Uint8Array {
  return encodeSafetensors(
    Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, { dtype: "F32", ...t }])),
  );
}

/** Writes a tiny network with one head of 64 channels, and returns what names it. */
export async function writeTinyDinov2(path: string) {
  const spec: Dinov2Spec = { width: 64, depth: 1, heads: 1, patch: 14, grid: 2, ffn: "gelu" };
  await Deno.writeFile(path, safetensors(madeWeights(spec, 8)));
  return { kind: "dinov2", weights: path } as const;
}

/** The same weights by transformers' names: q, k and v apart. */
export function byTransformersNames(weights: Weights): Weights {
  const out: Weights = {};
  for (const [name, tensor] of Object.entries(weights)) {
    const other = name
      .replace(/^(cls_token|mask_token)$/, "embeddings.$1")
      .replace("pos_embed", "embeddings.position_embeddings")
      .replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
      .replace(/^norm\./, "layernorm.")
      .replace(/^blocks\./, "encoder.layer.")
      .replace("attn.proj", "attention.output.dense")
      .replace(/ls(\d)\.gamma/, "layer_scale$1.lambda1")
      .replace("w12", "weights_in").replace("w3", "weights_out");
    if (!other.includes("attn.qkv")) {
      out[other] = tensor;
      continue;
    }
    const [rows, ...rest] = tensor.shape, third = tensor.data.length / 3;
    ["query", "key", "value"].forEach((part, i) => {
      out[other.replace("attn.qkv", `attention.attention.${part}`)] = {
        shape: [rows / 3, ...rest],
        data: tensor.data.slice(i * third, (i + 1) * third),
      };
    });
  }
  return out;
}

/** Weights as a file gives them. */
export function asStored(weights: Weights): Record<string, StoredTensor> {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, data }]) => [name, {
      dtype: "F32",
      shape,
      read: () => data,
    }]),
  );
}

type Rows = number[][];

/** Tokens of one image [H, W, 3] of the grid's own size, or with positions given: [1 + h·w][C]. */
export function plainDinov2(
  weights: Weights,
  image: NdArray<Float32Array>,
  { width: C, depth, heads, patch: p, ffn }: Dinov2Spec,
): Rows {
  const at = (name: string) => weights[name].data;
  const affine = (name: string, x: Rows): Rows => {
    const w = at(`${name}.weight`), b = at(`${name}.bias`);
    return x.map((row) =>
      Array.from(b, (bias, o) => row.reduce((sum, v, i) => sum + v * w[o * row.length + i], bias))
    );
  };
  const norm = (name: string, x: Rows): Rows =>
    x.map((row) => {
      const mean = row.reduce((a, b) => a + b) / C;
      const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / C;
      return row.map((v, c) =>
        (v - mean) / Math.sqrt(variance + 1e-6) * at(`${name}.weight`)[c] + at(`${name}.bias`)[c]
      );
    });
  const attention = (name: string, x: Rows): Rows => {
    const qkv = affine(`${name}.qkv`, x), d = C / heads;
    const attended = x.map((_, i) =>
      Array.from({ length: heads }, (_, h) => {
        const part = (row: number[], which: number) => row.slice(which * C + h * d).slice(0, d);
        const q = part(qkv[i], 0);
        const logits = qkv.map((row) =>
          part(row, 1).reduce((s, k, e) => s + k * q[e], 0) / Math.sqrt(d)
        );
        const weights = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
        const total = weights.reduce((a, b) => a + b);
        return q.map((_, e) =>
          qkv.reduce((s, row, j) => s + weights[j] / total * part(row, 2)[e], 0)
        );
      }).flat()
    );
    return affine(`${name}.proj`, attended);
  };
  const mlp = (name: string, x: Rows): Rows => {
    if (ffn === "gelu") {
      const gelu = (v: number) => v * (1 + erf(v / Math.SQRT2)) / 2;
      return affine(`${name}.fc2`, affine(`${name}.fc1`, x).map((row) => row.map(gelu)));
    }
    const silu = (v: number) => v / (1 + Math.exp(-v));
    const gated = affine(`${name}.w12`, x).map((row) =>
      row.slice(0, row.length / 2).map((v, i) => silu(v) * row[row.length / 2 + i])
    );
    return affine(`${name}.w3`, gated);
  };
  const plus = (x: Rows, y: Rows, scale: string): Rows =>
    x.map((row, i) => row.map((v, c) => v + y[i][c] * at(scale)[c]));

  const [height, width] = image.shape;
  const patches: Rows = [];
  for (let y = 0; y < height; y += p) {
    for (let x = 0; x < width; x += p) {
      patches.push(Array.from({ length: 3 * p * p }, (_, i) => {
        return image.get(y + Math.floor(i / p) % p, x + i % p, Math.floor(i / p / p));
      }));
    }
  }
  const tokens = [Array.from(at("cls_token")), ...affine("patch_embed.proj", patches)];
  let x = tokens.map((row, i) => row.map((v, c) => v + at("pos_embed")[i * C + c]));
  for (let i = 0; i < depth; i++) {
    x = plus(
      x,
      attention(`blocks.${i}.attn`, norm(`blocks.${i}.norm1`, x)),
      `blocks.${i}.ls1.gamma`,
    );
    x = plus(x, mlp(`blocks.${i}.mlp`, norm(`blocks.${i}.norm2`, x)), `blocks.${i}.ls2.gamma`);
  }
  return norm("norm", x);
}

/** By its series, for |x| < 4. */
function erf(x: number): number {
  let term = x, sum = 0;
  for (let n = 0; n < 90; n++) {
    sum += term / (2 * n + 1);
    term *= -x * x / (n + 1);
  }
  return 2 / Math.sqrt(Math.PI) * sum;
}

/** Normal numbers as images. */
export function madeImages(shape: number[]): NdArray<Float32Array> {
  const size = shape.reduce((a, b) => a * b, 1);
  return ndarray(normals({ seed: 6, stream: "tests/dinov2/images" }, 0, size), shape);
}
