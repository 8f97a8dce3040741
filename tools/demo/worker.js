/**
 * Runs the model away from the page, so that the page stays responsive.
 *
 * Takes { kind: "open", url | file, backend }, { kind: "sample", ... } and { kind: "stop" }; tells
 * "loading", "ready", "step", "done", "stopped" and "failed".
 */
import { readDenoiserInfo } from "./lib/onnx_metadata.js";
import { sampleSteps, startingNoise, toRgba } from "./lib/sampler.js";
import { karrasSchedule } from "./lib/schedules.js";

/** The runtime, its session and what the file says: set by "open". */
let opened;
/** The number of the sampling that goes on; another one, or a stop, changes it. */
let current = 0;

const tell = (message, transfer = []) => self.postMessage(message, { transfer });
const turn = () => new Promise((resolve) => setTimeout(resolve));

self.onmessage = async ({ data: { kind, ...options } }) => {
  try {
    if (kind === "open") await open(options);
    if (kind === "sample") await sample(options);
    if (kind === "stop") current++;
  } catch (error) {
    tell({ kind: "failed", while: kind, message: String(error?.message ?? error) });
  }
};

async function open({ url, file, backend = "auto" }) {
  current++;
  await opened?.session.release();
  opened = undefined;
  const bytes = file ? new Uint8Array(await file.arrayBuffer()) : await download(url);
  const info = readDenoiserInfo(bytes);
  if (info.output !== "denoised") {
    throw new TypeError(
      "Cannot sample as the file holds the inner network alone: export the denoiser",
    );
  }
  if (![1, 3].includes(info.channels)) {
    throw new TypeError(
      `Cannot show the images as they must have 1 or 3 channels: they have ${info.channels}`,
    );
  }
  const { mappingCondDim, crossCondDim, selfConditioning } = info.spec ?? {};
  if (mappingCondDim || crossCondDim || selfConditioning) {
    throw new TypeError("Cannot sample as the model asks for inputs that this page does not have");
  }
  tell({ kind: "loading", what: "Preparing the model" });
  opened = { info, ...await createSession(bytes, backend) };
  const { provider, threads } = opened;
  tell({ kind: "ready", info, provider, threads, bytes: bytes.length });
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new TypeError(`Cannot load ${url}: ${response.status} ${response.statusText}`);
  }
  const total = Number(response.headers.get("content-length")) || undefined;
  const parts = [];
  let done = 0;
  for (const reader = response.body.getReader();;) {
    const part = await reader.read();
    if (part.done) break;
    parts.push(part.value);
    done += part.value.length;
    tell({ kind: "loading", what: "Loading the model", done, total });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A session on WebGPU where there is a device, else on WebAssembly. */
async function createSession(bytes, backend) {
  if (backend !== "wasm" && await navigator.gpu?.requestAdapter()) {
    try {
      return await createOn("webgpu", "./ort/ort.webgpu.min.mjs", bytes);
    } catch (error) {
      if (backend === "webgpu") throw error;
      console.info(`WebGPU does not run this model, WebAssembly does: ${error.message}`);
    }
  }
  if (backend === "webgpu") {
    throw new TypeError("Cannot use WebGPU as this browser offers no device");
  }
  return await createOn("wasm", "./ort/ort.wasm.min.mjs", bytes);
}

async function createOn(provider, module, bytes) {
  const ort = await import(module);
  // several threads need shared memory, which browsers give to isolated pages alone
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [provider],
    logSeverityLevel: 3, // it is right that shapes are computed on the processor
  });
  return { ort, session, provider, threads: provider === "wasm" ? threads : undefined };
}

async function sample({ id, seeds, label, steps, sampler, guidance = 1 }) {
  if (!opened) throw new TypeError("Cannot sample as no model is open");
  const run = current = id;
  const { ort, session, info } = opened;
  const { size: [height, width], channels, numClasses, sigmaMin, sigmaMax } = info;
  const each = height * width * channels, count = seeds.length;

  const call = async (x, sigma, classes) => {
    const batch = classes.length;
    const feeds = {
      x: new ort.Tensor("float32", x, [batch, height, width, channels]),
      sigma: new ort.Tensor("float32", new Float32Array(batch).fill(sigma), [batch]),
      ...(numClasses > 0 &&
        { class_cond: new ort.Tensor("int32", Int32Array.from(classes), [batch]) }),
    };
    const { denoised } = await session.run(feeds);
    return denoised.data;
  };
  const labels = Array(count).fill(label ?? 0);
  const denoise = async (x, sigma) => {
    if (numClasses === 0 || guidance === 1) return await call(x, sigma, labels);
    // classifier-free guidance: D_u + w (D_c - D_u), as one call at twice the batch
    const twice = new Float32Array(2 * x.length);
    twice.set(x);
    twice.set(x, x.length);
    const both = await call(twice, sigma, [...labels, ...Array(count).fill(numClasses)]);
    const free = both.subarray(x.length);
    return free.map((value, i) => value + guidance * (both[i] - value));
  };
  const show = (kind, images, more) => {
    const pictures = seeds.map((_, i) =>
      toRgba(images.subarray(i * each, (i + 1) * each), channels)
    );
    tell({ kind, id, width, height, pictures, ...more }, pictures.map(({ buffer }) => buffer));
  };

  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const start = startingNoise({ seeds, each, sigmaMax });
  const sigmas = karrasSchedule(steps, { sigmaMin, sigmaMax });
  const walk = sampleSteps(denoise, start, { sigmas, sampler });
  for (let next = await walk.next();; next = await walk.next()) {
    if (run !== current) return tell({ kind: "stopped", id });
    if (next.done) return show("done", next.value, { steps, seconds: seconds() });
    const { step, sigma, denoised } = next.value;
    show("step", denoised, { step, steps, sigma, seconds: seconds() });
    await turn(); // messages of the page are heard between steps
  }
}
