/**
 * Augmentation that does not leak into what the model generates (Karras et al., "Elucidating the
 * design space of diffusion-based generative models", 2022, Table 6): eight random numbers make one
 * affine warp, and nine numbers tell the model what was done. Sampling asks for nine zeros, for
 * which the warp is the identity.
 *
 * Three steps, each a pure function: {@link drawAugmentation} draws, {@link augmentationOf} decides
 * which parts happen, {@link augmentationMatrix} and {@link augmentationCond} say what that means.
 *
 * @module
 */
import { normals, type Stream, substream, uniforms } from "../engine/random.ts";
import type { Affine } from "./warp.ts";

/** Random numbers of one augmentation, before it is decided which parts happen. */
export type AugmentationDraws = {
  /** 0 or 1: mirrored along x, along y. */
  flips: ArrayLike<number>;
  /** Uniform on [0, 1), one for each part that has a probability: flip along y, scale, rotation, stretch, shift. */
  gates: ArrayLike<number>;
  /** Uniform on [0, 1): the rotation, the axis of the stretch. */
  angles: ArrayLike<number>;
  /** From N(0, 1): scale, stretch, shift along x, shift along y. */
  normals: ArrayLike<number>;
};

/** The numbers a₀ … a₇ of EDM's Table 6; all zero is no change. */
export type Augmentation = {
  flipX: number; // a₀, 0 or 1
  flipY: number; // a₁, 0 or 1
  scale: number; // a₂: pictures are 2^(0.2 a₂) times as large
  rotation: number; // a₃, radians
  axis: number; // a₄, radians
  stretch: number; // a₅: 2^(0.2 a₅) along the axis, 2^(−0.2 a₅) across it
  shiftX: number; // a₆, eighths of the picture
  shiftY: number; // a₇, eighths of the picture
};

/** Draws augmentation `counter` of a stream. */
export function drawAugmentation(stream: Stream, counter: number): AugmentationDraws {
  const u = uniforms(stream, counter, 9);
  return {
    flips: u.subarray(0, 2).map((v) => Number(v < 0.5)),
    gates: u.subarray(2, 7),
    angles: u.subarray(7, 9),
    normals: normals(substream(stream, "normals"), counter, 4),
  };
}

/**
 * The augmentation that draws mean if each part happens with probability `prob`.
 *
 * As in the reference, the flip along x has no such gate: it happens to half of the pictures at
 * any `prob`, except 0, which switches everything off.
 *
 * Errors: RangeError where `prob` is not within [0, 1].
 */
export function augmentationOf(
  draws: AugmentationDraws,
  { prob }: { prob: number },
): Augmentation {
  if (!(prob >= 0 && prob <= 1)) {
    throw new RangeError(
      `Cannot augment as the probability must be within [0, 1]: probability is ${prob}`,
    );
  }
  const [flipY, scale, rotation, stretch, shift] = Array.from(
    draws.gates,
    (u) => Number(u < prob),
  );
  const angle = (u: number) => (2 * u - 1) * Math.PI;
  return {
    flipX: prob === 0 ? 0 : draws.flips[0],
    flipY: draws.flips[1] * flipY,
    scale: draws.normals[0] * scale,
    rotation: angle(draws.angles[0]) * rotation,
    axis: angle(draws.angles[1]) * stretch,
    stretch: draws.normals[1] * stretch,
    shiftX: draws.normals[2] * shift,
    shiftY: draws.normals[3] * shift,
  };
}

/**
 * Where each pixel of the augmented picture comes from: the inverse of
 * T(c) · F · S · R(−a₃) · R(a₄) A R(−a₄) · T(shift) · T(−c), c the picture's centre.
 *
 * The shift along x is in eighths of the picture's height and that along y in eighths of its width,
 * as in the reference, which takes one for the other. Square pictures cannot tell.
 */
export function augmentationMatrix(
  { flipX, flipY, scale, rotation, axis, stretch, shiftX, shiftY }: Augmentation,
  { height, width }: { height: number; width: number },
): Affine {
  // A⁻¹ in the picture's axes is symmetric: [p, q; q, r]
  const along = 2 ** (-0.2 * stretch), across = 2 ** (0.2 * stretch);
  const c = Math.cos(axis), s = Math.sin(axis);
  const p = along * c * c + across * s * s;
  const q = (along - across) * c * s;
  const r = along * s * s + across * c * c;
  // R(a₃) S⁻¹ F⁻¹
  const zoom = 2 ** (-0.2 * scale);
  const cos = zoom * Math.cos(rotation), sin = zoom * Math.sin(rotation);
  const x = 1 - 2 * flipX, y = 1 - 2 * flipY;

  const a = (p * cos + q * sin) * x, b = (q * cos - p * sin) * y;
  const d = (q * cos + r * sin) * x, e = (r * cos - q * sin) * y;
  const cx = (width - 1) / 2, cy = (height - 1) / 2;
  return [
    a,
    b,
    cx - a * cx - b * cy - shiftX * height / 8,
    d,
    e,
    cy - d * cx - e * cy - shiftY * width / 8,
  ];
}

/**
 * What the model is told: [a₀, a₁, a₂, cos a₃ − 1, sin a₃, a₅ cos a₄, a₅ sin a₄, a₆, a₇].
 *
 * All zero only where the warp is the identity, which is what keeps augmentations out of samples.
 * Otherwise the numbers say all but one thing: a stretch along an axis and the opposite stretch
 * (−a₅, a₄ + π) share them, as in EDM.
 */
export function augmentationCond(augmentation: Augmentation): Float32Array {
  const { flipX, flipY, scale, rotation, axis, stretch, shiftX, shiftY } = augmentation;
  return Float32Array.of(
    flipX,
    flipY,
    scale,
    Math.cos(rotation) - 1,
    Math.sin(rotation),
    stretch * Math.cos(axis),
    stretch * Math.sin(axis),
    shiftX,
    shiftY,
  );
}
