import { createHash } from "node:crypto";
import { treeEntries } from "../../lib/engine/tree.ts";
import type { TrainedModel } from "../export/trained_model.ts";

/** A digest of all of a model that shows in its samples: weights, spec, what it predicts. */
export function fingerprint({ params, spec, prediction, sigmaData }: TrainedModel): string {
  const digest = createHash("sha256");
  digest.update(JSON.stringify({ spec, prediction, sigmaData }));
  for (const [path, leaf] of treeEntries(params)) {
    const { buffer, byteOffset, byteLength } = leaf.dataSync();
    digest.update(path).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return digest.digest("hex").slice(0, 16);
}
