import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { imageSampler } from "../../lib/diffusion/sample.ts";
import { progress } from "../../lib/progress.ts";
import { classesOf } from "./classes.ts";
import { line } from "./describe.ts";
import { type Drawing, drawMissing, type DrawProgress, missingSamples } from "./draw.ts";
import { type Outputs, writeFile, writeGrid, writeSamplesNpz, writeShards } from "./outputs.ts";
import type { SamplePlan, Source } from "./plan.ts";
import type { Store } from "./store.ts";
import { encodeTrajectory, type TrajectoryFormat, trajectoryOf } from "./trajectory.ts";

/** Draws what is missing of the pictures, if they are asked for, then writes the outputs; shows how it goes. */
export async function drawAll(
  { model, guide }: { model: Source; guide: Source | undefined },
  { plan, store, outputs, pictures: wanted, signal }: {
    plan: SamplePlan;
    store: Store;
    outputs: Outputs;
    pictures: boolean;
    signal: AbortSignal;
  },
): Promise<void> {
  const { spec, params, prediction, sigmaData } = model, channels = spec.inChannels;
  const sampler = imageSampler(hditModel(spec, { prediction }), {
    sigmaData,
    guide: guide && {
      model: hditModel(guide.spec, { prediction: guide.prediction }),
      params: guide.params,
      sigmaData: guide.sigmaData,
    },
  });
  const drawing = { sampler, params, channels };
  const total = wanted ? missingSamples(plan, store).length : 0;
  if (total > 0) {
    using bar = progress({ total, label: "drawing", unit: "pictures" });
    const onProgress = ({ done, note }: DrawProgress) => bar.update(done, note);
    await drawMissing(drawing, { plan, store, signal, onProgress });
  }
  const pictures = { store, samples: plan.samples, size: plan.settings.size };
  const wrote = (what: string, path: string) => console.log(line(what, path));
  if (outputs.grid) {
    await writeGrid(outputs.grid, pictures);
    wrote("grid", outputs.grid);
  }
  if (outputs.npz) {
    await writeSamplesNpz(outputs.npz, pictures);
    wrote("arrays", outputs.npz);
  }
  if (outputs.webdataset) {
    const shards = await writeShards(outputs.webdataset, {
      ...pictures,
      classes: classesOf(model),
    });
    wrote("shards", `${outputs.webdataset}, ${shards} of them`);
  }
  if (outputs.trajectory) {
    await drawTrajectory(drawing, { plan, path: outputs.trajectory, signal });
    wrote("trajectory", outputs.trajectory);
  }
  sampler.dispose();
}

async function drawTrajectory(
  drawing: Drawing,
  { plan, path, signal }: { plan: SamplePlan; path: string; signal: AbortSignal },
): Promise<void> {
  const total = plan.settings.schedule.steps;
  using bar = progress({ total, label: "trajectory", unit: "steps" });
  const estimates = await trajectoryOf(drawing, {
    plan,
    sample: plan.samples[0],
    signal,
    onStep: (step) => bar.update(step),
  });
  const format = path.split(".").at(-1)!.toLowerCase() as TrajectoryFormat;
  await writeFile(path, await encodeTrajectory(estimates, format));
}
