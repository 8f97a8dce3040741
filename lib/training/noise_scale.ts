/** Running averages behind the gradient noise scale, before bias correction. */
export type NoiseScaleState = { signal: number; noise: number; weight: number };

/** The state before any measurement. */
export function initNoiseScale(): NoiseScaleState {
  return { signal: 0, noise: 0, weight: 0 };
}

/**
 * The simple gradient noise scale tr(S) / |G|^2 from squared gradient norms at two batch sizes, averaged
 * exponentially (the batch size beyond which larger batches gain little).
 *
 * |G|^2 ~ (nLarge sqLarge - nSmall sqSmall) / (nLarge - nSmall),
 * tr(S) ~ (sqSmall - sqLarge) / (1 / nSmall - 1 / nLarge). Source: McCandlish et al. 2018, Appendix A.
 * Throws a RangeError unless 0 < nSmall < nLarge.
 */
export function updateNoiseScale(
  state: NoiseScaleState,
  { sqSmall, sqLarge, nSmall, nLarge, beta = 0.9998 }: {
    sqSmall: number;
    sqLarge: number;
    nSmall: number;
    nLarge: number;
    beta?: number;
  },
): { state: NoiseScaleState; signal: number; noise: number; noiseScale: number } {
  if (!(nSmall > 0 && nLarge > nSmall)) {
    throw new RangeError(
      `Cannot measure the noise scale as 0 < nSmall < nLarge must hold: nSmall is ${nSmall}, nLarge is ${nLarge}`,
    );
  }
  const signal = (nLarge * sqLarge - nSmall * sqSmall) / (nLarge - nSmall);
  const noise = (sqSmall - sqLarge) / (1 / nSmall - 1 / nLarge);
  const mix = (average: number, value: number) => beta * average + (1 - beta) * value;
  const next = {
    signal: mix(state.signal, signal),
    noise: mix(state.noise, noise),
    weight: mix(state.weight, 1),
  };
  const corrected = { signal: next.signal / next.weight, noise: next.noise / next.weight };
  return { state: next, ...corrected, noiseScale: corrected.noise / corrected.signal };
}

/** Exponential average of a logged number; the first value is taken as it is. */
export function runningAverage(
  average: number | undefined,
  value: number,
  decay: number,
): number {
  return average === undefined ? value : decay * average + (1 - decay) * value;
}
