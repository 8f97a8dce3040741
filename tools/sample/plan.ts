/**
 * What `deno task sample` is going to draw, from its flags and what the model says of itself.
 *
 * @module
 */
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { checkGuidance } from "../../lib/diffusion/guidance.ts";
import { noiseLevels, type Schedule } from "../../lib/diffusion/noise_levels.ts";
import type { SampleImagesOptions } from "../../lib/diffusion/sample.ts";
import { addsNoise, type Sampler } from "../../lib/diffusion/samplers/sampler.ts";
import type { EngineName } from "../../lib/engine/engine.ts";
import type { TrainedModel } from "../export/trained_model.ts";
import { parseClasses } from "./classes.ts";
import type { LowResolution } from "./low_resolution.ts";

/** A model to draw from, and a digest of its weights. */
export type Source = TrainedModel & { fingerprint: string };

/** What is asked for; the rest is the run's, or the paper's. */
export type DrawingFlags = {
  n?: number | undefined; // as many as there are seeds, or 16
  classes?: string[];
  guidance?: number;
  guidanceInterval?: number[];
  guidanceRescale?: number;
  sampler?: Sampler["kind"];
  steps?: number;
  schedule?: Schedule["kind"];
  shift?: number;
  sigmaMin?: number;
  sigmaMax?: number;
  noise?: NonNullable<SampleImagesOptions["noise"]>;
  seed?: number;
  seeds?: number[];
  size?: [height: number, width: number];
  batchSize?: number;
};

/** One picture: its seed, its class where the model has classes, and the number of the picture that it starts from. */
export type Sample = { seed: number; label?: number; start?: number };

/** All that decides the pixels of a sample, besides its seed and class; plain JSON. */
export type PixelSettings = {
  format: "hdit-samples-1";
  model: string; // fingerprints
  size: [height: number, width: number];
  sampler: Sampler;
  schedule: {
    kind: Schedule["kind"];
    steps: number;
    sigmaMin: number;
    sigmaMax: number;
    shift: number;
  };
  guidance: GuidanceSettings | null;
  noise: NonNullable<SampleImagesOptions["noise"]> | null; // null: the sampler takes none
  engine: EngineName;
  lowResolution?: string; // a digest
};

type GuidanceSettings = {
  scale: number;
  /** Levels above the one and up to the other are guided; null: all above. */
  above: number;
  upTo: number | null;
  rescale: number;
  guide: string | null; // a fingerprint
};

/** What to draw and how. */
export type SamplePlan = {
  settings: PixelSettings;
  samples: Sample[];
  batchSize: number;
  /** For `imageSampler`, without what differs from picture to picture. */
  options: Omit<SampleImagesOptions, "n" | "seeds" | "labels" | "selfCond">;
  /** What samples start from, by number. */
  lowResolution?: LowResolution;
};

/**
 * Plans the drawing.
 *
 * @throws {TypeError|RangeError} for what cannot be drawn, in the words of the command line.
 */
export function planSamples(
  { model, guide, lowResolution, engine }: {
    model: Source;
    guide?: Source | undefined;
    lowResolution?: LowResolution | undefined;
    engine: EngineName;
  },
  flags: DrawingFlags,
): SamplePlan {
  checkDrawable(model);
  const size = sizeOf(model, flags);
  if (model.superResolution && !lowResolution) {
    throw new TypeError(
      `Cannot sample as the model draws from pictures that are ${model.superResolution.factor} times smaller: name a folder of them with --low-resolution`,
    );
  }
  for (const { spec } of guide ? [model, guide] : [model]) hditModel(spec).check(size);
  const sampler = samplerOf(model, flags);
  const schedule = {
    kind: flags.schedule ?? "karras",
    steps: flags.steps ?? model.sampling.steps ?? 50,
    sigmaMin: flags.sigmaMin ?? model.sigmaMin,
    sigmaMax: flags.sigmaMax ?? model.sigmaMax,
    shift: flags.shift ?? 1,
  };
  const { kind, steps, ...range } = schedule;
  const sigmas = noiseLevels(steps, { schedule: { kind }, ...range });
  const guidance = guidanceOf({ model, guide }, flags);
  const noise = noiseOf(sampler, flags);
  return {
    settings: {
      format: "hdit-samples-1",
      model: model.fingerprint,
      size: [...size],
      sampler,
      schedule,
      guidance,
      noise,
      engine,
      ...(lowResolution && { lowResolution: lowResolution.digest }),
    },
    samples: samplesOf(model, { ...flags, starts: lowResolution?.pictures.length }),
    ...(lowResolution && { lowResolution }),
    batchSize: batchSizeOf(sampler, flags),
    options: {
      size,
      sampler,
      sigmas,
      ...(noise && { noise }),
      ...(guidance && {
        guidanceScale: guidance.scale,
        guidanceInterval: [guidance.above, guidance.upTo ?? Infinity],
        guidanceRescale: guidance.rescale,
      }),
    },
  };
}

/** The size that is asked for, or the trained one. */
export function sizeOf(
  { size: trained }: Source,
  { size }: DrawingFlags,
): readonly [number, number] {
  const found = size ?? trained;
  if (found) return found;
  throw new TypeError("Cannot sample as the size is not known: say --size PIXELS");
}

function checkDrawable({ spec, source }: Source): void {
  const { mappingCondDim, crossCondDim = 0, inChannels, patchSize } = spec;
  if (!(mappingCondDim === 0 && crossCondDim === 0)) {
    throw new TypeError(
      `Cannot sample ${source} as it needs conditions other than classes: mappingCondDim is ${mappingCondDim}, crossCondDim is ${crossCondDim}`,
    );
  }
  if (!(patchSize.length === 2 && (inChannels === 1 || inChannels === 3))) {
    throw new TypeError(
      `Cannot sample ${source} as it must draw pictures, grey or in colour: it has ${inChannels} channels and patches of [${patchSize}]`,
    );
  }
}

function samplerOf({ sampling }: Source, { sampler: kind }: DrawingFlags): Sampler {
  const usual = sampling.sampler ?? { kind: "dpmpp-3m-sde" };
  return kind === undefined || kind === usual.kind ? usual : { kind } as Sampler;
}

function noiseOf(sampler: Sampler, { noise }: DrawingFlags): PixelSettings["noise"] {
  if (addsNoise(sampler)) return noise ?? "independent";
  if (noise === undefined) return null;
  throw new TypeError(`Cannot use --noise as the sampler ${sampler.kind} adds none`);
}

function guidanceOf(
  { model, guide }: { model: Source; guide: Source | undefined },
  flags: DrawingFlags,
): GuidanceSettings | null {
  const scale = flags.guidance ?? model.sampling.guidanceScale ?? 1;
  const { guidanceInterval, guidanceRescale: rescale = 0 } = flags;
  if (scale === 1) {
    const idle = [
      guide && "--guide",
      guidanceInterval && "--guidance-interval",
      flags.guidanceRescale !== undefined && "--guidance-rescale",
    ].filter(Boolean);
    if (idle.length === 0) return null;
    throw new TypeError(
      `Cannot use ${
        idle.join(" and ")
      } as nothing is guided at scale 1: say --guidance, for instance 1.5`,
    );
  }
  if (!(guide || model.spec.numClasses > 0)) {
    throw new TypeError(
      "Cannot guide as the model is unconditional: leave out --guidance, or name a weaker model with --guide",
    );
  }
  if (!(guidanceInterval === undefined || guidanceInterval.length === 2)) {
    throw new RangeError(
      `Cannot guide as --guidance-interval must be two noise levels, such as 0.2,5: there are ${guidanceInterval.length}`,
    );
  }
  const [low, high] = guidanceInterval ?? [0, Infinity];
  checkGuidance({ guidanceScale: scale, guidanceInterval: [low, high], guidanceRescale: rescale });
  return {
    scale,
    above: low,
    upTo: high === Infinity ? null : high, // JSON has no infinity
    rescale,
    guide: guide?.fingerprint ?? null,
  };
}

function samplesOf(
  { spec, classNames }: Source,
  flags: DrawingFlags & { starts?: number | undefined },
): Sample[] {
  const { numClasses } = spec, { seeds, seed = 0, classes } = flags;
  const { starts } = flags, n = flags.n ?? seeds?.length ?? starts ?? 16;
  if (!(seeds === undefined || (flags.seed === undefined && seeds.length === n))) {
    throw new RangeError(
      flags.seed === undefined
        ? `Cannot sample as there must be a seed a picture: --seeds has ${seeds.length}, --n is ${n}`
        : "Cannot sample as seeds are given twice: leave out --seed or --seeds",
    );
  }
  const labels = classes
    ? parseClasses(classes, { names: classNames, numClasses })
    : Array.from({ length: numClasses }, (_, label) => label);
  return Array.from({ length: n }, (_, i) => ({
    seed: seeds?.[i] ?? seed + i,
    ...(labels.length > 0 && { label: labels[i % labels.length] }),
    ...(starts !== undefined && { start: i % starts }),
  }));
}

function batchSizeOf({ kind }: Sampler, { batchSize }: DrawingFlags): number {
  if (kind !== "dpm-adaptive") return batchSize ?? 16;
  if (batchSize === undefined || batchSize === 1) return 1;
  throw new TypeError(
    "Cannot sample as dpm-adaptive chooses its steps for a whole batch: leave out --batch-size, so that pictures depend on their seeds alone",
  );
}
