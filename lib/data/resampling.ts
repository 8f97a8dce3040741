/** How pixels are weighed; `antialias` widens the kernel when shrinking, so that every pixel counts. */
export type Resampling = {
  kernel: "box" | "bilinear" | "bicubic" | "lanczos";
  antialias: boolean;
};

/** How far each kernel reaches, in pixels of the coarser side. */
const REACH = { box: 0.5, bilinear: 1, bicubic: 2, lanczos: 3 };

/**
 * The weights of a line's pixels in each pixel of the resized line: output i is the sum over k of
 * weights[i · stride + k] · input[first[i] + k], k below count[i].
 */
export type Taps = { first: Int32Array; count: Int32Array; weights: Float64Array; stride: number };

function kernelValue(x: number, { kernel, antialias }: Resampling): number {
  switch (kernel) {
    case "box":
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case "bilinear":
      return Math.max(0, 1 - Math.abs(x));
    case "bicubic":
      return cubic(Math.abs(x), antialias ? -0.5 : -0.75); // as torch has it, shrinking or not
    case "lanczos":
      return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
}

/** Keys' cubic kernel (1981) of x >= 0. */
function cubic(x: number, a: number): number {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/**
 * The taps that resize a line of `from` pixels to `to`, with aligned outer edges.
 *
 * With antialiasing the kernel is cut off at the border, without it the border's pixel goes on for
 * ever; both as torch has it. The antialiased weights are Pillow's, to the last bit.
 */
export function resizeTaps(
  { from, to }: { from: number; to: number },
  resampling: Resampling,
): Taps {
  const scale = from / to;
  const widen = resampling.antialias ? Math.max(scale, 1) : 1, narrow = 1 / widen;
  const reach = REACH[resampling.kernel] * widen;
  const stride = 2 * Math.ceil(reach) + 1;
  const first = new Int32Array(to), count = new Int32Array(to);
  const weights = new Float64Array(to * stride);
  const inside = (j: number) => Math.min(Math.max(j, 0), from - 1);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale; // from the line's edge
    let low = Math.floor(centre - reach + 0.5), end = Math.floor(centre + reach + 0.5);
    first[i] = inside(low);
    count[i] = inside(end - 1) - first[i] + 1;
    if (resampling.antialias) [low, end] = [first[i], first[i] + count[i]];
    const own = weights.subarray(i * stride, (i + 1) * stride);
    let sum = 0;
    for (let j = low; j < end; j++) {
      const weight = kernelValue((j - centre + 0.5) * narrow, resampling);
      own[inside(j) - first[i]] += weight;
      sum += weight;
    }
    for (let k = 0; k < count[i]; k++) own[k] /= sum;
  }
  return { first, count, weights, stride };
}
