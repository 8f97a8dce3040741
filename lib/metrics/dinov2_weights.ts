/**
 * DINOv2's weights from a file's tensors, by either of the names that they go by.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { floatTensor } from "../io/state_dict_file.ts";
import type { StoredTensor } from "../io/stored_tensor.ts";
import type { Dinov2Params } from "./dinov2.ts";
import { formOf, namesIn } from "./dinov2_names.ts";

/** What a DINOv2 is like. */
export type Dinov2Spec = {
  width: number;
  depth: number;
  heads: number;
  /** A patch's side in pixels. */
  patch: number;
  /** A side of the table of positions, in patches. */
  grid: number;
  ffn: "gelu" | "swiglu";
};

type Stored = Record<string, StoredTensor>;

/**
 * Reads off the tensors' names and shapes what the network is like. How many heads there are they
 * do not say; published models have one for 64 channels, which is what is taken unless told.
 *
 * Throws a TypeError where a tensor is missing or there are register tokens, with which DINOv2 is
 * another network, and a RangeError where a shape cannot be DINOv2's.
 */
export function dinov2Spec(
  tensors: Stored,
  { heads }: { heads?: number | undefined } = {},
): Dinov2Spec {
  const form = formOf(Object.keys(tensors));
  const shape = (name: string, fits: (shape: number[]) => boolean, wanted: string) => {
    const [found] = namesIn(form, name);
    if (!tensors[found]) {
      const or = form === "transformers"
        ? ""
        : `, or as transformers names it ${namesIn("transformers", name)[0]}`;
      throw new TypeError(`Cannot load DINOv2 as its weights must hold ${found}${or}`);
    }
    const { shape } = tensors[found];
    if (fits(shape)) return shape;
    throw new RangeError(
      `Cannot load DINOv2 as ${found} must have the shape ${wanted}: it is [${shape}]`,
    );
  };
  const has = (name: string) => namesIn(form, name).some((found) => found in tensors);
  if (has("register_tokens")) {
    throw new TypeError(
      `Cannot load DINOv2 as its weights must be those without register tokens: they hold ${
        namesIn(form, "register_tokens")
      }`,
    );
  }
  const [, , width] = shape("cls_token", (s) => `${s}` === `1,1,${s[2]}`, "[1, 1, width]");
  const [, places] = shape("pos_embed", (s) => {
    return s.length === 3 && Math.sqrt(s[1] - 1) % 1 === 0 && s[1] > 1;
  }, "[1, 1 + side², width]");
  const [, , patch] = shape(
    "patch_embed.proj.weight",
    (s) => s.length === 4 && s[2] === s[3],
    "[width, 3, patch, patch]",
  );
  const swiglu = has("blocks.0.mlp.w12.weight");
  shape(`blocks.0.mlp.${swiglu ? "w12" : "fc1"}.weight`, (s) => s.length === 2, "[hidden, width]");
  const blocks = Object.keys(tensors)
    .map((name) => Number(name.match(/^(?:blocks|encoder\.layer)\.(\d+)\./)?.[1] ?? 0));
  const spec: Dinov2Spec = {
    width,
    depth: blocks.reduce((most, block) => Math.max(most, block), 0) + 1,
    heads: heads ?? width / 64,
    patch,
    grid: Math.sqrt(places - 1),
    ffn: swiglu ? "swiglu" : "gelu",
  };
  if (!(Number.isInteger(spec.heads) && spec.heads >= 1 && width % spec.heads === 0)) {
    throw new RangeError(
      `Cannot load DINOv2 as its heads must divide its width: ` +
        `heads is ${spec.heads}${heads ? "" : " (one for 64 channels)"}, width is ${width}`,
    );
  }
  return spec;
}

/**
 * DINOv2 from a state dict, by the names of facebookresearch/dinov2 (`blocks.0.attn.qkv.weight`) or
 * of transformers' Dinov2Model (`encoder.layer.0.attention.attention.query.weight`).
 *
 * Errors are those of `dinov2Spec`, and a TypeError for a tensor that is missing or too many, which
 * is named.
 */
export function dinov2FromStateDict(
  tensors: Stored,
  { heads }: { heads?: number | undefined } = {},
): { params: Dinov2Params; spec: Dinov2Spec } {
  const form = formOf(Object.keys(tensors));
  const spec = dinov2Spec(tensors, { heads });
  const { width: C, depth, patch, grid, ffn } = spec;
  const known = new Set(namesIn(form, "mask_token")); // only training needs it
  const tensor = (name: string, [first, ...others]: number[]): tf.Tensor => {
    const parts = namesIn(form, name);
    for (const part of parts) known.add(part);
    const shape = [first / parts.length, ...others];
    const loaded = parts.map((part) => floatTensor(tensors, part, shape));
    return loaded.length === 1 ? loaded[0] : tf.concat(loaded, 0);
  };
  const affine = (name: string, shape: number[]) => ({
    weight: tensor(`${name}.weight`, shape),
    bias: tensor(`${name}.bias`, [shape[0]]),
  });
  const mlp = (at: string) => {
    const [up, down] = ffn === "gelu" ? ["fc1", "fc2"] as const : ["w12", "w3"] as const;
    const hidden = tensors[namesIn(form, `blocks.0.mlp.${up}.weight`)[0]].shape[0];
    return {
      [up]: affine(`${at}.${up}`, [hidden, C]),
      [down]: affine(`${at}.${down}`, [C, ffn === "gelu" ? hidden : hidden / 2]),
    } as Dinov2Params["blocks"][number]["mlp"];
  };
  const params = tf.tidy(() => {
    const params = {
      cls_token: tensor("cls_token", [1, 1, C]),
      pos_embed: tensor("pos_embed", [1, 1 + grid ** 2, C]),
      patch_embed: { proj: affine("patch_embed.proj", [C, 3, patch, patch]) },
      blocks: Array.from({ length: depth }, (_, i) => ({
        norm1: affine(`blocks.${i}.norm1`, [C]),
        attn: {
          qkv: affine(`blocks.${i}.attn.qkv`, [3 * C, C]),
          proj: affine(`blocks.${i}.attn.proj`, [C, C]),
        },
        ls1: { gamma: tensor(`blocks.${i}.ls1.gamma`, [C]) },
        norm2: affine(`blocks.${i}.norm2`, [C]),
        mlp: mlp(`blocks.${i}.mlp`),
        ls2: { gamma: tensor(`blocks.${i}.ls2.gamma`, [C]) },
      })),
      norm: affine("norm", [C]),
    };
    const others = Object.keys(tensors).filter((name) => !known.has(name));
    if (others.length === 0) return params;
    throw new TypeError(
      `Cannot load DINOv2 as its weights must hold nothing else: they hold ${others[0]}` +
        (others.length > 1 ? ` and ${others.length - 1} more` : ""),
    );
  });
  return { params, spec };
}
