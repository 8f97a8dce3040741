import { denoiserCalls } from "../../lib/diffusion/samplers/sampler.ts";
import type { Weights } from "../export/trained_model.ts";
import { classesOf, className } from "./classes.ts";
import { missingSamples } from "./draw.ts";
import type { Sample, SamplePlan, Source } from "./plan.ts";
import type { Store } from "./store.ts";

/** What is going to be drawn, in a few lines. */
export function describePlan(
  { model, guide, plan, store, weights }: {
    model: Source;
    guide?: Source | undefined;
    plan: SamplePlan;
    store: Store | undefined;
    weights: Weights;
  },
): string {
  const { settings: { size, sampler, schedule, guidance, noise, engine }, samples } = plan;
  const { kind, steps, sigmaMin, sigmaMax, shift } = schedule;
  const calls = denoiserCalls(sampler, steps);
  const facts: [string, string | undefined][] = [
    [
      "model",
      `${model.source}${
        typeof weights === "object"
          ? ""
          : weights === "ema"
          ? ", averaged weights"
          : ", raw weights"
      }`,
    ],
    ["pictures", `${samples.length} of ${size.join(" x ")}, ${seedsOf(samples)}`],
    ["classes", classesDrawn(samples, model)],
    [
      "sampler",
      `${sampler.kind}${Number.isNaN(calls) ? "" : `, ${calls} calls of the model`}` +
      `${noise ? `, ${noise} noise` : ""}`,
    ],
    [
      "levels",
      `${steps} (${kind}), from ${shift * sigmaMax} to ${shift * sigmaMin}`,
    ],
    ["guidance", guidance ? guidanceOf(guidance, guide) : undefined],
    ["batches", `of ${plan.batchSize}, engine ${engine}`],
    ["kept in", store && keptIn(store, plan)],
  ];
  return facts.filter(([, fact]) => fact !== undefined)
    .map(([what, fact]) => line(what, fact!)).join("\n");
}

/** A line of what is printed. */
export function line(what: string, fact: string): string {
  return what.padEnd(12) + fact;
}

function keptIn(store: Store, plan: SamplePlan): string {
  const finished = plan.samples.length - missingSamples(plan, store).length;
  return finished === 0 ? store.dir : `${store.dir}, where ${finished} are finished`;
}

function seedsOf(samples: readonly Sample[]): string {
  const seeds = samples.map(({ seed }) => seed);
  if (seeds.length === 1) return `seed ${seeds[0]}`;
  const inTurn = seeds.every((seed, i) => seed === seeds[0] + i);
  return inTurn ? `seeds ${seeds[0]} to ${seeds.at(-1)}` : `seeds ${shortened(seeds)}`;
}

function classesDrawn(samples: readonly Sample[], model: Source): string | undefined {
  const labels = [...new Set(samples.flatMap(({ label }) => label ?? []))];
  if (labels.length === 0) return undefined;
  const classes = classesOf(model);
  return shortened(labels.map((label) => className(label, classes)));
}

function guidanceOf(
  { scale, above, upTo, rescale }: NonNullable<SamplePlan["settings"]["guidance"]>,
  guide: Source | undefined,
): string {
  return [
    `${scale}${above > 0 ? ` above level ${above}` : ""}${upTo === null ? "" : ` up to ${upTo}`}`,
    ...(rescale > 0 ? [`rescaled by ${rescale}`] : []),
    ...(guide ? [`away from ${guide.source}`] : []),
  ].join(", ");
}

function shortened(items: readonly (string | number)[]): string {
  const shown = items.slice(0, 8).join(", ");
  return items.length > 8 ? `${shown} and ${items.length - 8} more` : shown;
}
