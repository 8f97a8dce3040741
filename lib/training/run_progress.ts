import { treeDispose, treeMap } from "../engine/tree.ts";
import { type CheckpointMeta, loadCheckpoint, restoreTree } from "./checkpoint.ts";
import { jsonDifferences } from "./json_differences.ts";
import { initNoiseScale, type NoiseScaleState } from "./noise_scale.ts";
import type { TrainSettings } from "./train_options.ts";
import { initTrainState, type TrainState } from "./train_step.ts";

/** What a run knows of itself besides its tensors; each checkpoint has it. */
export type RunProgress = {
  step: number; // done
  images: number; // seen
  gradNorms: number[]; // of the last steps, to tell a jump
  noiseScale: NoiseScaleState;
};

/** Where a run begins, and the checkpoint that it goes on from, if any. */
export type RunStart<P> = {
  state: TrainState<P>;
  progress: RunProgress;
  from: { path: string; step: number; skipped: { path: string; reason: string }[] } | undefined;
};

/** The state to begin with: fresh, or that of the newest good checkpoint. */
export async function startRun<P>(settings: TrainSettings<P>): Promise<RunStart<P>> {
  const { model, seed, optimiser, save, identity, initFrom } = settings;
  const params = initFrom === undefined
    ? model.init({ seed, stream: "init" })
    : treeMap(initFrom, (leaf) => leaf.clone());
  const fresh = initTrainState(params, { ...model, optimiser });
  if (save) await Deno.mkdir(save.dir, { recursive: true }); // or fail before any work
  const found = save && await loadCheckpoint(save.dir);
  if (!found) {
    return { state: fresh, progress: progressOf({ step: 0, config: {} }), from: undefined };
  }
  try {
    const differing = jsonDifferences(identity, found.meta.config);
    if (differing.length > 0) {
      throw new RangeError(
        `Cannot go on with the run in ${save.dir} as it was made with another configuration: ${
          differing.slice(0, 5).join("; ")
        }; use another folder`,
      );
    }
    const { meta, path, skipped } = found;
    const state = restoreTree(fresh, found.tensors);
    return { state, progress: progressOf(meta), from: { path, step: meta.step, skipped } };
  } finally {
    treeDispose(fresh);
  }
}

function progressOf(meta: CheckpointMeta): RunProgress {
  const { step, images = 0, gradNorms = [], noiseScale = initNoiseScale() } = meta as
    & Partial<RunProgress>
    & CheckpointMeta;
  return { step, images, gradNorms, noiseScale };
}
