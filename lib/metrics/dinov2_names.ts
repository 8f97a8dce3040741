/** Who named the tensors of a file. */
export type Dinov2Form = "facebookresearch" | "transformers";

/** Names of transformers by those of facebookresearch, `#` being the block's number. */
const TRANSFORMERS: Record<string, string[]> = {
  "cls_token": ["embeddings.cls_token"],
  "mask_token": ["embeddings.mask_token"],
  "register_tokens": ["embeddings.register_tokens"],
  "pos_embed": ["embeddings.position_embeddings"],
  "patch_embed.proj": ["embeddings.patch_embeddings.projection"],
  "blocks.#.norm1": ["encoder.layer.#.norm1"],
  "blocks.#.attn.qkv": ["query", "key", "value"] // joined in this order
    .map((part) => `encoder.layer.#.attention.attention.${part}`),
  "blocks.#.attn.proj": ["encoder.layer.#.attention.output.dense"],
  "blocks.#.ls1.gamma": ["encoder.layer.#.layer_scale1.lambda1"],
  "blocks.#.norm2": ["encoder.layer.#.norm2"],
  "blocks.#.mlp.fc1": ["encoder.layer.#.mlp.fc1"],
  "blocks.#.mlp.fc2": ["encoder.layer.#.mlp.fc2"],
  "blocks.#.mlp.w12": ["encoder.layer.#.mlp.weights_in"],
  "blocks.#.mlp.w3": ["encoder.layer.#.mlp.weights_out"],
  "blocks.#.ls2.gamma": ["encoder.layer.#.layer_scale2.lambda1"],
  "norm": ["layernorm"],
};

/** The file's names of a tensor, by that of facebookresearch. */
export function namesIn(form: Dinov2Form, name: string): string[] {
  if (form === "facebookresearch") return [name];
  const [, stem, end = ""] = name.match(/^(.+?)(\.weight|\.bias)?$/)!;
  const block = stem.match(/\d+/)?.[0] ?? "";
  return TRANSFORMERS[stem.replace(/\d+/, "#")]
    .map((other) => other.replace("#", block) + end);
}

/** Whose names these are, judged by those that only transformers has. */
export function formOf(names: string[]): Dinov2Form {
  return names.some((name) => name.startsWith("embeddings.")) ? "transformers" : "facebookresearch";
}
