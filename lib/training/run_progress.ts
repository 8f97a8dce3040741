import { treeDispose, treeMap } from "../engine/tree.ts";
import { loadCheckpoint, restoreTree } from "./checkpoint.ts";
import { averagedParams } from "./ema.ts";
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
  emaStart: number; // the step at which the averages began
  resetEma: boolean; // whether the run that came to this was opened with the option
};

/** Where a run begins, and the checkpoint that it goes on from, if any. */
export type RunStart<P> = {
  state: TrainState<P>;
  progress: RunProgress;
  from: { path: string; step: number; skipped: { path: string; reason: string }[] } | undefined;
};

/** The state to begin with: fresh, or that of the newest good checkpoint. */
export async function startRun<P>(settings: TrainSettings<P>): Promise<RunStart<P>> {
  const { save, identity, resetEma } = settings;
  const fresh = freshState(settings);
  if (save) await Deno.mkdir(save.dir, { recursive: true }); // or fail before any work
  const found = save && await loadCheckpoint(save.dir);
  if (!found) return { state: fresh, progress: { ...NOTHING_DONE, resetEma }, from: undefined };
  try {
    const differing = jsonDifferences(identity, found.meta.config);
    if (differing.length > 0) {
      throw new RangeError(
        `Cannot go on with the run in ${save.dir} as it was made with another configuration: ${
          differing.slice(0, 5).join("; ")
        }; use another folder`,
      );
    }
    const { path, skipped, meta: { config: _, ...meta } } = found;
    const progress: RunProgress = { ...NOTHING_DONE, ...meta, resetEma };
    const from = { path, step: meta.step, skipped };
    const state = restoreTree(fresh, found.tensors);
    if (!resetEma || meta.resetEma) return { state, progress, from };
    return { state: withAverages(state), progress: { ...progress, emaStart: meta.step }, from };
  } finally {
    treeDispose(fresh);
  }
}

const NOTHING_DONE: RunProgress = {
  step: 0,
  images: 0,
  gradNorms: [],
  noiseScale: initNoiseScale(),
  emaStart: 0,
  resetEma: false,
};

function freshState<P>(
  { model, seed, optimiser, initFrom, postHocEma }: TrainSettings<P>,
): TrainState<P> {
  const params = initFrom === undefined
    ? model.init({ seed, stream: "init" })
    : treeMap(initFrom, (leaf) => leaf.clone());
  const powerAverages = postHocEma?.sigmaRels.length ?? 0;
  return initTrainState(params, { ...model, optimiser, powerAverages });
}

/** The state with its averages as parameters too; the parameters before are disposed. */
function withAverages<P>(state: TrainState<P>): TrainState<P> {
  const params = treeMap(averagedParams(state.params, state.ema), (leaf) => leaf.clone());
  treeDispose(state.params);
  return { ...state, params };
}
