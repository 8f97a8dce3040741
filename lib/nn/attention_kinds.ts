/**
 * The kinds of attention: each line adds one to every model. n is the number of tokens, h × w the grid, k a kernel's
 * side; a layer of width C costs 2 · C multiply-adds for every pair of a query and a key. Kinds are written for any
 * number of axes: with three, k² is k³.
 *
 * | kind | pairs in a layer | at the border | what a token sees after L layers |
 * |---|---|---|---|
 * | `global` | n² | no rule needed | everything, after one |
 * | `neighborhood` | n k² | the window moves inwards: k² keys everywhere | (k >> 1) · dilation more on every side with each layer; dilated, its residue class only |
 * | `sliding-window` | n k², less what lies outside | the window is cut off: fewer keys | k >> 1 more on every side with each layer |
 * | `shifted-window` | n windowSize² | windows at both ends of the grid do not mix | its window; each shifted layer joins halves of neighbouring windows |
 * | `axial` | n w in even layers, n h in odd | no rule needed | its row, then everything, after two |
 * | `none` | 0 | no rule needed | itself |
 *
 * @module
 */
export { axialKind } from "./axial_attention.ts";
export { globalKind } from "./global_attention.ts";
export { neighborhoodKind } from "./neighborhood_attention.ts";
export { noAttentionKind } from "./no_attention.ts";
export { shiftedWindowKind } from "./shifted_window_attention.ts";
export { slidingWindowKind } from "./sliding_window_attention.ts";
