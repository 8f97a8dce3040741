/**
 * Registers the npm package `@tensorflow/tfjs-node-gpu` with tfjs, as the engine `tensorflow`.
 *
 * The package is older than the Node API it meets here. What is missing is put in place before it
 * is imported; no file of it is changed.
 *
 * @module
 */
import { createRequire } from "node:module";
import util from "node:util";
import * as tf from "@tensorflow/tfjs";
import { mendKernels } from "./kernels.ts";
import { useLeanGradients } from "./lean_gradients.ts";
import { withoutStderr } from "./without_stderr.ts";

const PACKAGE = "@tensorflow/tfjs-node-gpu";

/** Read by libtensorflow as it is loaded; later changes have no effect. */
const environment: Readonly<Record<string, string>> = {
  TF_ENABLE_ONEDNN_OPTS: "1", // off by default on AMD processors
  TF_CPP_MIN_LOG_LEVEL: "3",
  TF_FORCE_GPU_ALLOW_GROWTH: "true", // else it takes all of the GPU's memory at once
};

/** What the backend has beside tfjs's own interface. */
type NodeBackend = {
  isUsingGpuDevice: boolean;
  binding: { TF_Version: string };
};

/** Folder of the package, as a path that ends in a slash; undefined where it is not installed. */
function packageFolder(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`)
      .replace(/package\.json$/, "");
  } catch {
    return undefined;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Whether `deno task setup --engine tensorflow` has been run for this checkout. */
export function isTensorflowSetUp(): boolean {
  const folder = packageFolder();
  return folder !== undefined && exists(`${folder}lib/napi-v8/tfjs_binding.node`);
}

/**
 * Whether the engine could compute on a GPU: it is set up with the CUDA libraries and an NVIDIA
 * driver is there. Loads nothing.
 */
export function isTensorflowGpuLikely(): boolean {
  const folder = packageFolder();
  const devices = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"]; // the last under WSL
  return isTensorflowSetUp() && exists(`${folder}deps/nvidia`) && devices.some(exists);
}

/**
 * Loads the package and registers its backend; calling it again does nothing.
 *
 * @throws {TypeError} where the engine has not been set up or cannot be loaded.
 */
export async function registerTensorflow(): Promise<void> {
  if (tf.findBackendFactory("tensorflow")) return;
  if (!isTensorflowSetUp()) {
    throw new TypeError(
      "Cannot use the engine tensorflow as it has not been set up: " +
        "run deno task setup --engine tensorflow (with --cuda for an NVIDIA GPU)",
    );
  }
  // removed from Node 23; the package's backend and its TopK kernel call it
  const api = util as { isNullOrUndefined?: (x: unknown) => boolean };
  api.isNullOrUndefined ??= (x) => x === null || x === undefined;
  const quiet = Deno.env.get("TF_CPP_MIN_LOG_LEVEL") === undefined;
  for (const [name, value] of Object.entries(environment)) {
    if (Deno.env.get(name) === undefined) Deno.env.set(name, value);
  }
  const before = tf.getBackend();
  try {
    // it is written for Node and types itself against a tfjs of its own, so only its effect is used
    const load = () => createRequire(import.meta.url)(PACKAGE);
    if (quiet) withoutStderr(load);
    else load();
  } catch (error) {
    throw new TypeError(
      `Cannot load the engine tensorflow: ${error instanceof Error ? error.message : error}. ` +
        "Run deno task setup --engine tensorflow again",
      { cause: error },
    );
  }
  mendKernels();
  useLeanGradients((engine) => engine === "tensorflow");
  if (before) await tf.setBackend(before); // the package sets itself; choosing is up to the caller
}

/** What computes: TensorFlow's version, and whether it uses a GPU. The engine must be in use. */
export function tensorflowDevice(): { tensorflow: string; gpu: boolean } {
  if (tf.getBackend() !== "tensorflow") {
    throw new TypeError(
      `Cannot describe the device as the engine must be tensorflow: engine is ${tf.getBackend()}`,
    );
  }
  const backend = tf.backend() as unknown as NodeBackend;
  return { tensorflow: backend.binding.TF_Version, gpu: backend.isUsingGpuDevice };
}
