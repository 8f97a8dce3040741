/**
 * Deterministic samplers over plain arrays, for pages: the library's own, without its engine.
 * Given the same model and seed they draw the library's pictures, to rounding.
 *
 * @module
 */
import { normals } from "../../lib/engine/random.ts";

export type SamplerKind = "dpmpp-2m" | "euler";

/** Estimates the clean images at one noise level, [B, H, W, C] as one array. */
export type Denoise = (x: Float32Array, sigma: number) => Promise<Float32Array>;

/** What is known after a call of the denoiser. */
export type Step = { step: number; steps: number; sigma: number; denoised: Float32Array };

/** Images of pure noise at the highest level, each from its own seed: sigmaMax N(0, I). */
export function startingNoise(
  { seeds, each, sigmaMax }: { seeds: readonly number[]; each: number; sigmaMax: number },
): Float32Array {
  const x = new Float32Array(seeds.length * each);
  seeds.forEach((seed, i) => x.set(normals({ seed, stream: "start" }, 0, each), i * each));
  return x.map((value) => value * sigmaMax);
}

/**
 * Samples step by step: yields after each call of the denoiser and returns the images at the last
 * level.
 *
 * Euler: x' = (s' / s) x + (1 - s' / s) D. DPM-Solver++(2M): the same with
 * (1 + 1 / 2r) D - D_last / 2r for D, r the ratio of the last step to this one in ln s.
 */
export async function* sampleSteps(
  denoise: Denoise,
  start: Float32Array,
  { sigmas, sampler }: { sigmas: readonly number[]; sampler: SamplerKind },
): AsyncGenerator<Step, Float32Array, void> {
  let x = start, last: Float32Array | undefined;
  const steps = sigmas.length - 1;
  for (let step = 0; step < steps; step++) {
    const sigma = sigmas[step], sigmaNext = sigmas[step + 1];
    const denoised = await denoise(x, sigma);
    yield { step, steps, sigma, denoised };
    const ratio = sigmaNext / sigma;
    const before = sampler === "dpmpp-2m" && sigmaNext > 0 ? last : undefined;
    const r = before ? Math.log(sigmas[step - 1] / sigma) / Math.log(sigma / sigmaNext) : Infinity;
    const weight = (1 - ratio) * (1 + 1 / (2 * r)), back = (1 - ratio) / (2 * r);
    x = x.map((value, i) => ratio * value + weight * denoised[i] - (before ? back * before[i] : 0));
    last = denoised;
  }
  return x;
}

/** Pixels for a canvas, [H, W, 4] in bytes, of an image [H, W, C] in [-1, 1], C of 1 or 3. */
export function toRgba(image: Float32Array, channels: number): Uint8ClampedArray<ArrayBuffer> {
  const pixels = image.length / channels;
  const out = new Uint8ClampedArray(pixels * 4); // clips, and rounds half to even
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) {
      out[4 * i + c] = (image[i * channels + (channels === 1 ? 0 : c)] + 1) * 127.5;
    }
    out[4 * i + 3] = 255;
  }
  return out;
}
