/**
 * Sets up the engine `tensorflow`: libtensorflow from a Python wheel, the npm package's own
 * binding compiled against it, both linked into the package's folder, and a computation to see
 * that it works. Doing it again does only what is missing.
 *
 * @module
 */
import { dirname, fromFileUrl, join } from "@std/path";
import type { ProgressSink } from "../../lib/progress.ts";
import { bindingKey, compileBinding, type Compiler, findCompiler } from "./binding.ts";
import { fetchWheels, megabytes, missingWheels, type Source } from "./fetch.ts";
import { isWhole, readManifest, recordFile, writeManifest } from "./manifest.ts";
import { readPipSettings } from "./package_index.ts";
import { findPip } from "./pip.ts";
import {
  bindingPath,
  folderBytes,
  packageFolder,
  place,
  placed,
  rootFolder,
  setupFolder,
  unplace,
} from "./places.ts";
import { type Flavour, KEPT, type Wheel, wheelsFor } from "./wheels.ts";

const PACKAGE = "@tensorflow/tfjs-node-gpu";

export type SetupOptions = {
  flavour: Flavour;
  /** Asked before anything is downloaded; false stops the set-up. */
  confirm: (question: string) => boolean | Promise<boolean>;
  /** Only say what would be done. Default: false. */
  dryRun?: boolean;
  say?: (line: string) => void;
  /** What follows is found by itself; tests name them. */
  root?: string;
  package?: string;
  headers?: string;
  wheels?: readonly Wheel[];
  source?: Source;
  compiler?: () => Promise<Compiler>;
  check?: () => Promise<Check>;
  sink?: ProgressSink;
};

/** What the computation in a process of its own found. */
export type Check = { ok: true; gpu: boolean; tensorflow: string } | { ok: false; reason: string };

/** What a set-up did. `declined`: the user said no. */
export type SetupResult =
  | { kind: "ready"; downloaded: number; compiled: boolean; check: Check & { ok: true } }
  | { kind: "own"; check: Check & { ok: true } }
  | { kind: "planned"; missing: Wheel[] }
  | { kind: "declined" };

/** Sets the engine up, or finds that it is. */
export async function setUpTensorflow(options: SetupOptions): Promise<SetupResult> {
  const { flavour, say = console.log, check = checkEngine, dryRun = false } = options;
  const target = options.package ?? await packageFolder(PACKAGE);
  const before = await placed(target);
  if (before.kind === "own") return await useOwn({ target, check, say });

  const wheels = options.wheels ??
    wheelsFor({ os: Deno.build.os, arch: Deno.build.arch, flavour });
  const folder = setupFolder(options.root ?? rootFolder(), flavour);
  const manifest = await readManifest(folder);
  const missing = await missingWheels(wheels, { folder, manifest, thorough: !dryRun });
  const bytes = missing.reduce((sum, wheel) => sum + wheel.bytes, 0);
  if (missing.length > 0) {
    say(
      `The tensorflow engine (${flavour}) downloads ${megabytes(bytes)} MB in ` +
        `${missing.length} file${missing.length > 1 ? "s" : ""} ` +
        `and keeps about ${megabytes(KEPT[flavour])} MB in ${folder}`,
    );
  }
  if (dryRun) return { kind: "planned", missing };
  // before the download: a missing compiler should not be found out after it
  const compiler = await (options.compiler ?? findCompiler)();
  if (missing.length > 0) {
    if (!await options.confirm("Go on?")) return { kind: "declined" };
    await Deno.mkdir(folder, { recursive: true });
  }
  const key = await (async () => {
    await Deno.mkdir(folder, { recursive: true });
    using lock = await Deno.open(join(folder, "lock"), { write: true, create: true });
    await lock.lock(true); // two set-ups at once: the second finds the work done
    const manifest = await readManifest(folder);
    const stillMissing = await missingWheels(missing, { folder, manifest, thorough: true });
    if (stillMissing.length > 0) {
      const source = options.source ?? await findSource();
      const sink = options.sink ? { sink: options.sink } : {};
      await fetchWheels(stillMissing, { folder, manifest, source, ...sink });
    }
    const headers = options.headers ?? join(await packageFolder("node-api-headers"), "include");
    const sources = { package: target, headers, folder };
    const key = await bindingKey(sources);
    const binding = bindingPath(folder);
    const known = manifest.binding;
    if (known?.key === key && await isWhole(binding, known.file, { thorough: true })) return;
    say(`Compiling the binding with ${compiler.version}`);
    await Deno.mkdir(dirname(binding), { recursive: true });
    await compileBinding(sources, { compiler, target: binding });
    manifest.binding = { key, compiler: compiler.version, file: await recordFile(binding) };
    await writeManifest(folder, manifest);
    return key;
  })();
  await place(target, folder);
  const found = await check();
  if (!found.ok) {
    throw new Deno.errors.InvalidData(
      `Cannot use the tensorflow engine as the check after the set-up failed: ${found.reason}`,
    );
  }
  say(describe(found, flavour));
  return { kind: "ready", downloaded: bytes, compiled: key !== undefined, check: found };
}

/** Files that the package's own install script left are used as they are. */
async function useOwn(
  { target, check, say }: {
    target: string;
    check: () => Promise<Check>;
    say: (line: string) => void;
  },
): Promise<SetupResult> {
  say(`The package has a binding of its own in ${target}: it is used as it is`);
  const found = await check();
  if (found.ok) return { kind: "own", check: found };
  throw new Deno.errors.InvalidData(
    `Cannot use the package's own binding: ${found.reason}. ` +
      `Remove ${join(target, "deps")} and ${join(target, "lib")} and set up again`,
  );
}

async function findSource(): Promise<Source> {
  const pip = await findPip();
  return pip ? { kind: "pip", pip } : { kind: "index", settings: await readPipSettings() };
}

function describe({ gpu, tensorflow }: Check & { ok: true }, flavour: Flavour): string {
  const where = gpu
    ? "it computes on the GPU"
    : flavour === "cuda"
    ? "it sees no NVIDIA GPU and computes on the processor (is the driver installed?)"
    : "it computes on the processor";
  return `The tensorflow engine works (TensorFlow ${tensorflow}): ${where}`;
}

/** Runs a small computation through the engine in a process of its own, which may crash. */
export async function checkEngine(): Promise<Check> {
  const { success, stdout, stderr, signal } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", fromFileUrl(new URL("check.ts", import.meta.url))],
    cwd: fromFileUrl(new URL("../..", import.meta.url)),
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (success) return JSON.parse(decode(stdout).split("\n").at(-1)!);
  const said = decode(stderr).split("\n").slice(-6).join("\n");
  return { ok: false, reason: signal ? `it was ended by ${signal}\n${said}` : said };
}

/** Takes the links out of this checkout and deletes what was fetched and built. */
export async function removeTensorflow(
  { root = rootFolder(), package: target, say = console.log }: {
    root?: string;
    package?: string;
    say?: (line: string) => void;
  } = {},
): Promise<{ bytes: number; unlinked: boolean }> {
  const unlinked = await unplace(target ?? await packageFolder(PACKAGE));
  const bytes = await folderBytes(root);
  await Deno.remove(root, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  say(
    bytes > 0
      ? `Removed the tensorflow engine: ${megabytes(bytes)} MB in ${root}`
      : "The tensorflow engine was not set up",
  );
  return { bytes, unlinked };
}
