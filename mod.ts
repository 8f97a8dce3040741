/**
 * hdit: the Hourglass Diffusion Transformer (arXiv 2401.11605) as a toolkit for notebooks.
 *
 * Modules are pure functions over plain parameter trees, on tensors of TensorFlow.js; an engine
 * computes them. Names are the paper's and k-diffusion's.
 *
 * @example Build a model, take one step of training, sample
 * ```ts
 * import * as tf from "@tensorflow/tfjs";
 * import { hditModel, openTraining, presets, sampleImages, setEngine } from "./mod.ts";
 *
 * await setEngine(); // ONNX Runtime, embedded
 * const spec = { ...presets.smoke, numClasses: 0 };
 * const run = await openTraining({
 *   model: hditModel(spec),
 *   size: [16, 16],
 *   batchAt: () => ({ images: new Float32Array(4 * 16 * 16 * 3) }), // four grey pictures
 *   steps: 1,
 * });
 * for await (const { loss } of run.steps()) console.log(loss.toFixed(3));
 * const images = await sampleImages({ params: run.averaged(), spec, size: [16, 16], n: 1, steps: 4 });
 * console.log(tf.tensor(images, [1, 16, 16, 3]).shape); // in [-1, 1], or a little outside
 * run.dispose();
 * ```
 *
 * @module
 */

// engine: where numbers are computed
export { compile, type Compiled, type CompileStats } from "./lib/engine/compile.ts";
export { currentEngine, type EngineName, engineNames, setEngine } from "./lib/engine/engine.ts";
export { integers, normals, type Stream, substream, uniforms } from "./lib/engine/random.ts";
export * from "./lib/engine/tree.ts";

// nn: layers
export * from "./lib/nn/ada_norm.ts";
export * from "./lib/nn/attention.ts";
export * from "./lib/nn/attention_kind.ts";
export * from "./lib/nn/attention_kinds.ts";
export * from "./lib/nn/attention_spec.ts";
export * from "./lib/nn/axial_attention.ts";
export * from "./lib/nn/axial_positions.ts";
export * from "./lib/nn/axial_rope.ts";
export * from "./lib/nn/class_tokens.ts";
export * from "./lib/nn/cosine_sim.ts";
export * from "./lib/nn/cross_attention.ts";
export * from "./lib/nn/feed_forward.ts";
export * from "./lib/nn/fourier_features.ts";
export * from "./lib/nn/geglu.ts";
export * from "./lib/nn/global_attention.ts";
export * from "./lib/nn/learned_positions.ts";
export * from "./lib/nn/linear.ts";
export * from "./lib/nn/mapping_network.ts";
export * from "./lib/nn/neighborhood_attention.ts";
export * from "./lib/nn/no_attention.ts";
export * from "./lib/nn/rms_norm.ts";
export * from "./lib/nn/self_attention.ts";
export * from "./lib/nn/shifted_window_attention.ts";
export * from "./lib/nn/sincos_positions.ts";
export * from "./lib/nn/skips.ts";
export * from "./lib/nn/sliding_window_attention.ts";
export * from "./lib/nn/token_merge.ts";
export * from "./lib/nn/token_split.ts";
export * from "./lib/nn/transformer_layer.ts";
export * from "./lib/nn/window_groups.ts";

// models
export * from "./lib/models/adapt_classes.ts";
export * from "./lib/models/any_size.ts";
export * from "./lib/models/cost.ts";
export * from "./lib/models/grow_levels.ts";
export * from "./lib/models/hdit.ts";
export * from "./lib/models/presets.ts";
export * from "./lib/models/spec.ts";

// diffusion: the process, samplers
export * from "./lib/diffusion/densities.ts";
export * from "./lib/diffusion/diffusion_model.ts";
export * from "./lib/diffusion/guidance.ts";
export * from "./lib/diffusion/loss.ts";
export * from "./lib/diffusion/preconditioning.ts";
export * from "./lib/diffusion/sample.ts";
export * from "./lib/diffusion/samplers/sampler.ts";
export * from "./lib/diffusion/schedules.ts";
export * from "./lib/diffusion/weightings.ts";

// training
export * from "./lib/training/adamw.ts";
export * from "./lib/training/checkpoint.ts";
export * from "./lib/training/ema.ts";
export * from "./lib/training/ema_snapshots.ts";
export * from "./lib/training/evaluate.ts";
export * from "./lib/training/lr_schedules.ts";
export { type Memory, memory, PROCESS_BYTES } from "./lib/training/memory.ts";
export {
  openTraining,
  type OptimiserOptions,
  paperOptimiser,
  type StepReport,
  type TrainBatch,
  type TrainingRun,
  type TrainOptions,
} from "./lib/training/run.ts";
export * from "./lib/training/train_step.ts";

// data, metrics, files
export * from "./lib/data/batches.ts";
export * from "./lib/data/augment.ts";
export * from "./lib/data/dataset.ts";
export * from "./lib/data/detect.ts";
export * from "./lib/data/emoji.ts";
export * from "./lib/data/feeder.ts";
export * from "./lib/data/open_dataset.ts";
export * from "./lib/data/resize.ts";
export * from "./lib/data/resize_bytes.ts";
export * from "./lib/data/training_batch.ts";
export * from "./lib/data/warp.ts";
export * from "./lib/io/images.ts";
export * from "./lib/io/k_diffusion_checkpoint.ts";
export * from "./lib/io/k_diffusion_config.ts";
export * from "./lib/io/k_diffusion_write.ts";
export * from "./lib/io/onnx_export.ts";
export * from "./lib/io/safetensors.ts";
export * from "./lib/io/torch_file.ts";
export * from "./lib/io/torch_tensor.ts";
export * from "./lib/metrics/features.ts";
export * from "./lib/metrics/frechet.ts";
export * from "./lib/metrics/frechet_interval.ts";
export * from "./lib/metrics/jackknife.ts";
export * from "./lib/metrics/kernel_distance.ts";
export * from "./lib/metrics/dinov2_features.ts";
export * from "./lib/metrics/inception_features.ts";
export * from "./lib/metrics/open_features.ts";
export * from "./lib/metrics/random_features.ts";

// charts, notebooks
export * from "./lib/charts/figure.ts";
export * from "./lib/charts/figures.ts";
export * from "./lib/charts/notebook.ts";
export * from "./lib/progress.ts";

// runs: training as people use it
export * from "./lib/runs/config.ts";
export * from "./lib/runs/from_k_diffusion.ts";
export { type LogRecord, ofKind, readLog } from "./lib/runs/log.ts";
export * from "./lib/runs/train.ts";
export { openTrainedModel, type TrainedModel } from "./lib/runs/trained_model.ts";

// experiments
export * from "./experiments/ablation.ts";
export * from "./experiments/arms.ts";
export * from "./experiments/config.ts";
export * from "./experiments/report.ts";
export * from "./experiments/results.ts";
