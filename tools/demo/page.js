/** The page's side: settings in, pictures out. The work is done by worker.js. */

const $ = (id) => document.getElementById(id);
const controls = $("controls");
const root = document.documentElement;
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const send = (kind, options = {}) => worker.postMessage({ kind, ...options });

let info; // what the model's file says of it
let id = 0; // of the sampling that goes on
let shown = ""; // what the pictures are, for the name of a saved file

function setState(state, status, progress) {
  root.dataset.state = state;
  // step by step would be too much to be read aloud: the bar tells how far it is
  $("status").setAttribute("aria-live", state === "sampling" ? "off" : "polite");
  $("status").textContent = status;
  const busy = state === "sampling";
  $("draw").disabled = busy || !info;
  $("stop").disabled = !busy;
  $("file").disabled = busy || state === "loading";
  $("save").disabled = state !== "done";
  if (progress === undefined) $("progress").removeAttribute("value");
  else $("progress").value = progress;
}

worker.onmessage = ({ data }) => {
  switch (data.kind) {
    case "loading": {
      const { what, done, total } = data;
      const size = done ? ` (${megabytes(done)}${total ? ` of ${megabytes(total)}` : ""})` : "";
      return setState("loading", what + size, total && done / total);
    }
    case "ready":
      return ready(data);
    case "step": {
      const { step, steps, sigma } = data;
      if (data.id !== id) return;
      draw(data);
      const level = sigma >= 1 ? sigma.toFixed(1) : sigma.toFixed(3);
      return setState(
        "sampling",
        `Step ${step + 1} of ${steps}, noise level ${level}`,
        (step + 1) / steps,
      );
    }
    case "done": {
      if (data.id !== id) return;
      draw(data);
      const { steps, seconds } = data;
      return setState("done", `${steps} steps in ${seconds.toFixed(1)} s`, 1);
    }
    case "stopped":
      return setState("ready", "Stopped", 0);
    case "failed":
      return setState("failed", data.message, 0);
  }
};
worker.onerror = (event) =>
  setState("failed", event.message ?? "The page's worker could not be loaded", 0);

function ready({ info: described, provider, threads, bytes }) {
  info = described;
  const { numClasses, classNames, size: [height, width] } = info;
  const options = [...Array(numClasses).keys()].map((i) => [i, classNames[i] ?? `Class ${i}`]);
  if (numClasses > 0) options.push([numClasses, "Any"]); // the null class
  $("class").replaceChildren(...options.map(([value, name]) => new Option(name, value)));
  $("class-field").hidden = $("guidance-field").hidden = numClasses === 0;
  const runs = provider === "webgpu"
    ? "WebGPU"
    : `WebAssembly, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
  const facts = {
    "Runs on": runs,
    "Picture": `${width} × ${height} pixels`,
    "Model": megabytes(bytes),
    "Noise levels": `${info.sigmaMax} to ${info.sigmaMin}`,
    ...(numClasses > 0 && { "Classes": numClasses }),
  };
  $("facts").replaceChildren(
    ...Object.entries(facts).map(([term, text]) => {
      const group = document.createElement("div");
      group.append(element("dt", term), element("dd", text));
      return group;
    }),
  );
  restoreSettings();
  layOut();
  setState("ready", "Ready", 0);
}

controls.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!info || root.dataset.state === "sampling") return;
  const { seeds, ...options } = settings();
  id++;
  layOut();
  shown = `hdit-seed${seeds[0]}`;
  rememberSettings();
  setState("sampling", "Drawing noise", 0);
  send("sample", { id, seeds, ...options });
});
$("stop").addEventListener("click", () => {
  send("stop");
  $("stop").disabled = true;
});
$("dice").addEventListener("click", () => {
  $("seed").value = Math.floor(Math.random() * 1e6);
});
for (const name of ["steps", "guidance"]) $(name).addEventListener("input", showValues);
$("file").addEventListener("change", ({ target: { files: [file] } }) => {
  if (!file) return;
  info = undefined;
  setState("loading", `Opening ${file.name}`);
  send("open", { file, backend: backend() });
});
$("save").addEventListener("click", saveGrid);

function settings() {
  const conditional = info.numClasses > 0;
  const count = Number($("count").value), seed = Number($("seed").value);
  return {
    seeds: Array.from({ length: count }, (_, i) => seed + i),
    steps: Number($("steps").value),
    sampler: $("sampler").value,
    ...(conditional && {
      label: Number($("class").value),
      guidance: Number($("guidance").value),
    }),
  };
}

/** Settings live in the address, so that a link draws the same pictures. */
const remembered = ["class", "seed", "steps", "guidance", "count", "sampler"];
function rememberSettings() {
  const url = new URL(location.href);
  for (const name of remembered) url.searchParams.set(name, $(name).value);
  if (info.numClasses === 0) ["class", "guidance"].forEach((name) => url.searchParams.delete(name));
  history.replaceState(null, "", url);
}
function restoreSettings() {
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (!remembered.includes(name)) continue;
    const before = $(name).value;
    $(name).value = value;
    if ($(name).value !== value || !$(name).checkValidity()) $(name).value = before;
  }
  showValues();
}
function backend() {
  return new URLSearchParams(location.search).get("backend") ?? "auto";
}

function showValues() {
  $("steps-value").value = $("steps").value;
  $("guidance-value").value = Number($("guidance").value).toFixed(1);
}

/** An empty canvas for each picture. */
function layOut() {
  const { seeds, label } = settings(), [height, width] = info.size;
  const name = label === undefined ? "" : `, ${$("class").selectedOptions[0].textContent}`;
  $("grid").style.setProperty("--columns", Math.ceil(Math.sqrt(seeds.length)));
  $("grid").replaceChildren(...seeds.map((seed, i) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Picture ${i + 1}, seed ${seed}${name}`);
    canvas.title = `Seed ${seed}${name}`;
    return canvas;
  }));
}
function draw({ pictures, width, height }) {
  const canvases = $("grid").children;
  pictures.forEach((pixels, i) => {
    canvases[i].getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  });
}

/** The grid as one file, a pixel a pixel. */
function saveGrid() {
  const canvases = [...$("grid").children], [{ width, height }] = canvases;
  const columns = Math.ceil(Math.sqrt(canvases.length)), gap = 2;
  const sheet = document.createElement("canvas");
  sheet.width = columns * (width + gap) - gap;
  sheet.height = Math.ceil(canvases.length / columns) * (height + gap) - gap;
  const context = sheet.getContext("2d");
  canvases.forEach((canvas, i) => {
    const x = i % columns * (width + gap), y = Math.floor(i / columns) * (height + gap);
    context.drawImage(canvas, x, y);
  });
  sheet.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${shown}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

send("open", { url: new URL("./model.onnx", import.meta.url).href, backend: backend() });
