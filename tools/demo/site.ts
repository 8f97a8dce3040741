/**
 * Puts the demo together: a folder of static files that any web server can hand out, and a server
 * for it on this machine.
 *
 * @module
 */
import { basename, dirname, join } from "@std/path";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";

const here = (path: string) => new URL(path, import.meta.url);

/** Files of the page that go as they are. */
const PAGE = ["index.html", "style.css", "page.js", "worker.js"];
/** Modules of the library that the page uses, without their types. */
const MODULES = [
  "./sampler.ts",
  "../../lib/diffusion/schedules.ts",
  "../../lib/engine/normal_kernel.ts",
  "../../lib/engine/random.ts",
  "../../lib/io/onnx_metadata.ts",
];
/** ONNX Runtime for browsers: with WebAssembly alone (half the size), and with WebGPU. */
const RUNTIMES = ["ort.wasm.min.mjs", "ort.webgpu.min.mjs"];

/**
 * Writes the page, the runtime and a model into a folder, which must be new or empty unless `force`
 * is set. Returns the number of bytes.
 */
export async function writeSite(
  folder: string,
  { model, force = false }: { model: Uint8Array; force?: boolean },
): Promise<number> {
  if (!force) await refuseFull(folder);
  await Deno.mkdir(join(folder, "lib"), { recursive: true });
  await Deno.mkdir(join(folder, "ort"), { recursive: true });
  let total = 0;
  const write = async (path: string, content: Uint8Array) => {
    await Deno.writeFile(join(folder, path), content);
    total += content.length;
  };
  for (const name of PAGE) await write(name, await Deno.readFile(here(name)));
  for (const path of MODULES) {
    const script = toScript(await Deno.readTextFile(here(path)));
    const name = `${basename(path, ".ts")}.js`;
    await write(join("lib", name), new TextEncoder().encode(script));
  }
  for (const [name, path] of await runtimeFiles()) {
    await write(join("ort", name), await Deno.readFile(path));
  }
  await write("model.onnx", model);
  return total;
}

async function refuseFull(folder: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(folder)) {
      throw new TypeError(
        `Cannot write the demo to ${folder} as the folder must be new or empty: it holds ${name}; --force overwrites`,
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** A TypeScript module without its types, importing modules that lie beside it. */
export function toScript(source: string): string {
  return stripTypeScriptTypes(source)
    .replaceAll(/(from\s+")[^"]*?([^"/]+)\.ts"/g, '$1./$2.js"')
    .replaceAll(/[ \t]+$/gm, "");
}

/** Where the runtime's files are, by name: the modules, and those that they name. */
export async function runtimeFiles(
  modules: readonly string[] = RUNTIMES,
): Promise<Map<string, string>> {
  const dist = dirname(fileURLToPath(import.meta.resolve("onnxruntime-web")));
  const files = new Map<string, string>(), open = [...modules];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (files.has(name)) continue;
    files.set(name, join(dist, name));
    if (!name.endsWith(".mjs")) continue;
    const code = await Deno.readTextFile(join(dist, name));
    open.push(...code.match(/ort-wasm[\w.-]*\.(?:mjs|wasm)/g) ?? []);
  }
  return files;
}

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  mjs: "text/javascript; charset=utf-8",
  wasm: "application/wasm",
  onnx: "application/octet-stream",
};

/**
 * Hands out the files of a folder on this machine alone, and tells browsers that the page is
 * isolated, so that it may use several threads.
 */
export function serveSite(
  folder: string,
  { port = 0, signal }: { port?: number; signal?: AbortSignal } = {},
): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({
    hostname: "127.0.0.1",
    port,
    onListen: () => {},
    ...(signal && { signal }),
  }, async (request) => {
    const headers = {
      // workers obey the headers of their own files, not the page's
      "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; " +
        "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
      "cross-origin-resource-policy": "same-origin",
    };
    const { pathname } = new URL(request.url);
    const path = pathname === "/" ? "index.html" : pathname.slice(1);
    const parts = path.split("/");
    try {
      // plain names alone: nothing outside of the folder
      if (!parts.every((part) => /^[\w-][\w.-]*$/.test(part))) throw new Deno.errors.NotFound();
      const body = await Deno.readFile(join(folder, ...parts));
      const type = TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
      const own = { ...headers, "content-type": type, "content-length": `${body.length}` };
      return new Response(request.method === "HEAD" ? null : body, { headers: own });
    } catch {
      return new Response("Not found", { status: 404, headers });
    }
  });
}
