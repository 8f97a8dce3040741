/**
 * hdit: the Hourglass Diffusion Transformer as a research-notebook toolkit.
 *
 * @module
 */
export {};
