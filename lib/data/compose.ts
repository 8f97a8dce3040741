import { uniforms } from "../engine/random.ts";
import type { PixelBlock } from "./pictures.ts";

/** A colour as red, green, blue in [0, 1]. */
export type Colour = readonly [number, number, number];

/**
 * A light, soft colour from three numbers uniform on [0, 1): any hue, saturation 0.04 to 0.32,
 * value 0.86 to 1 (HSV). Light, because the pictures have dark outlines and saturated faces.
 */
export function lightColour(
  [hue, saturation, value]: ArrayLike<number> & Iterable<number>,
): Colour {
  const s = 0.04 + 0.28 * saturation, v = 0.86 + 0.14 * value;
  const channel = (n: number) => { // HSV to RGB, the closed form
    const k = (n + 6 * hue) % 6;
    return v - v * s * Math.max(0, Math.min(k, 4 - k, 1));
  };
  return [channel(5), channel(3), channel(1)];
}

/** The random part of a draw: the background, and whether the picture is mirrored. */
export function drawAppearance(
  { seed, counter, stream }: { seed: number; counter: number; stream: string },
): { background: Colour; mirrored: boolean } {
  const u = uniforms({ seed, stream }, counter, 4);
  return { background: lightColour(u), mirrored: u[3] < 0.5 };
}

/**
 * Writes picture `i` of a block to `out` as [H, W, C] in [-1, 1]; C is 1 for grey, else 3.
 *
 * With alpha a the result is a·picture + (1 − a)·background in sRGB values, as a browser
 * composites; without alpha the background has no part.
 */
export function composePicture(
  block: PixelBlock,
  { i, background, mirrored, out, offset }: {
    i: number;
    background: Colour;
    mirrored: boolean;
    out: Float32Array;
    offset: number;
  },
): void {
  const { data, height, width, bytes } = block;
  const channels = bytes === 1 ? 1 : 3;
  const step = mirrored ? -bytes : bytes;
  const [r, g, b] = background.map((v) => v * 255);
  for (let y = 0; y < height; y++) {
    let from = ((i * height + y) * width + (mirrored ? width - 1 : 0)) * bytes;
    let to = offset + y * width * channels;
    for (let x = 0; x < width; x++, from += step, to += channels) {
      if (bytes === 4) {
        const a = data[from + 3], rest = 255 - a;
        out[to] = (data[from] * a + r * rest) * (2 / 65025) - 1;
        out[to + 1] = (data[from + 1] * a + g * rest) * (2 / 65025) - 1;
        out[to + 2] = (data[from + 2] * a + b * rest) * (2 / 65025) - 1;
      } else {
        for (let c = 0; c < channels; c++) out[to + c] = data[from + c] * (2 / 255) - 1;
      }
    }
  }
}
