import type { Dinov2Positions } from "./dinov2.ts";
import { dinov2Extractor } from "./dinov2_features.ts";
import type { Dinov2Preprocessing } from "./dinov2_images.ts";
import type { FeatureExtractor } from "./features.ts";
import { inceptionExtractor } from "./inception_features.ts";
import type { InceptionPreprocessing } from "./inception_images.ts";
import { randomFeatureExtractor } from "./random_features.ts";

/** Which features distances are taken on; `weights` is a file of trained ones, which you have to have. */
export type FeatureSpec =
  | { kind: "random" }
  | { kind: "inception"; weights: string; preprocessing?: InceptionPreprocessing }
  | {
    kind: "dinov2";
    weights: string;
    preprocessing?: Dinov2Preprocessing;
    positions?: Dinov2Positions;
  };

/** Opens the extractor of a spec on the current engine. Errors: those of the extractor, such as for a missing file. */
export async function openFeatures(spec: FeatureSpec): Promise<FeatureExtractor> {
  switch (spec.kind) {
    case "random":
      return randomFeatureExtractor();
    case "inception":
      return await inceptionExtractor(spec);
    case "dinov2":
      return await dinov2Extractor(spec);
  }
}

/** Throws what `openFeatures` would throw; to be called before long work that needs them at its end. */
export async function checkFeatureSpec(spec: FeatureSpec): Promise<void> {
  const features = await openFeatures(spec);
  features.dispose();
}

/**
 * A spec from `random`, `inception:FILE` or `dinov2:FILE`. Throws a TypeError for anything else.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseFeatureSpec } from "./open_features.ts";
 *
 * assert.deepEqual(parseFeatureSpec("dinov2:vits14.pth"), { kind: "dinov2", weights: "vits14.pth" });
 * ```
 */
export function parseFeatureSpec(text: string): FeatureSpec {
  const [, kind, weights] = text.match(/^([^:]*)(?::(.+))?$/) ?? [];
  if (kind === "random" && weights === undefined) return { kind };
  if ((kind === "inception" || kind === "dinov2") && weights) return { kind, weights };
  throw new TypeError(
    `Cannot take features as they must be random, inception:FILE or dinov2:FILE: they are "${text}"`,
  );
}
