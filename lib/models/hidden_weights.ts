import { paramGroup } from "./state_dict.ts";

/**
 * Whether a parameter is the matrix of a hidden layer, which Muon is for: all that decay but those of the first layer
 * and the last.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.ok(isHidden("mid_level.0.ff.up_proj.weight"));
 * assert.ok(!isHidden("patch_in.proj.weight") && !isHidden("class_emb.weight"));
 * ```
 */
export function isHidden(path: string): boolean {
  return paramGroup(path).weightDecay && !/^patch_(?:in|out)\./.test(path);
}
