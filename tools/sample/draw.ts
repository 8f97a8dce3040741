import ndarray from "ndarray";
import type { ImageSampler } from "../../lib/diffusion/sample.ts";
import { encodePng, toBytes } from "../../lib/io/images.ts";
import type { HditParams } from "../../lib/models/hdit.ts";
import type { Sample, SamplePlan } from "./plan.ts";
import type { Store } from "./store.ts";

/** A compiled model, its weights, and the channels of its pictures. */
export type Drawing = {
  sampler: ImageSampler<HditParams>;
  params: HditParams;
  channels: number;
};

/** Pictures finished so far, those in the batch counted by their steps, and where the batch stands. */
export type DrawProgress = { done: number; total: number; note: string };

/** The samples of a plan that a store lacks, each once. */
export function missingSamples({ samples }: SamplePlan, store: Store): Sample[] {
  const once = new Map(samples.map((sample) => [store.pathOf(sample), sample]));
  return [...once.values()].filter((sample) => !store.has(sample));
}

/**
 * Draws the pictures that are missing, in batches, and keeps each batch as it comes.
 *
 * An aborted signal stops it between two steps: it throws the signal's reason, and what is finished is kept.
 */
export async function drawMissing(
  { sampler, params, channels }: Drawing,
  { plan, store, onProgress, signal }: {
    plan: SamplePlan;
    store: Store;
    onProgress?: (progress: DrawProgress) => void;
    signal?: AbortSignal;
  },
): Promise<void> {
  const missing = missingSamples(plan, store), total = missing.length;
  const [H, W] = plan.settings.size, each = H * W * channels;
  const batches = Math.ceil(total / plan.batchSize);
  for (let batch = 0; batch < batches; batch++) {
    const first = batch * plan.batchSize;
    const samples = missing.slice(first, first + plan.batchSize), n = samples.length;
    const images = await sampler.sample(params, {
      ...plan.options,
      ...pick(samples, plan),
      batchSize: n,
      ...(signal && { signal }),
      onStep: ({ step, steps }) =>
        onProgress?.({
          done: first + Math.floor(n * step / steps),
          total,
          note: `batch ${batch + 1} of ${batches}, step ${step + 1} of ${steps}`,
        }),
    });
    const bytes = toBytes(images);
    for (const [i, sample] of samples.entries()) {
      const pixels = bytes.subarray(i * each, (i + 1) * each);
      await store.keep(sample, await encodePng(ndarray(pixels, [H, W, channels])));
    }
    onProgress?.({ done: first + n, total, note: `batch ${batch + 1} of ${batches}` });
  }
}

/** Seeds, classes and starts of samples, as `imageSampler` takes them. */
export function pick(samples: readonly Sample[], { lowResolution }: SamplePlan) {
  const labels = samples.flatMap(({ label }) => label ?? []);
  return {
    n: samples.length,
    seeds: samples.map(({ seed }) => seed),
    ...(labels.length > 0 && { labels }),
    ...(lowResolution && {
      selfCond: concat(samples.map(({ start }) => lowResolution.pictures[start!])),
    }),
  };
}

function concat(pictures: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(pictures.length * pictures[0].length);
  pictures.forEach((picture, i) => out.set(picture, i * picture.length));
  return out;
}
