/**
 * Compiles the package's own Node-API binding against libtensorflow.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fromFileUrl, join } from "@std/path";

export type Compiler = { command: string; version: string };

/**
 * The C++ compiler: `CXX` where it is set, else the first that answers.
 *
 * @throws {Deno.errors.NotFound} naming the packages that bring one.
 */
export async function findCompiler(
  candidates: readonly string[] = [Deno.env.get("CXX") ?? "", "c++", "g++", "clang++"],
): Promise<Compiler> {
  const tried = candidates.filter((command) => command !== "");
  for (const command of tried) {
    try {
      const { success, stdout } = await new Deno.Command(command, {
        args: ["--version"],
        stderr: "null",
      }).output();
      if (success) return { command, version: new TextDecoder().decode(stdout).split("\n")[0] };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Deno.errors.NotFound(
    `Cannot compile the binding as no C++ compiler was found (tried ${tried.join(", ")}): ` +
      "install one, which is the package g++ on Debian and Ubuntu (apt-get install g++), " +
      "gcc-c++ on Fedora (dnf install gcc-c++), gcc on Arch (pacman -S gcc), " +
      "or name one in the environment variable CXX",
  );
}

export type BindingSources = {
  /** Folder of the npm package, with `binding/`. */
  package: string;
  /** Folder of the Node-API headers. */
  headers: string;
  /** Folder of the set-up, with `deps/include` and `deps/lib`. */
  folder: string;
};

const extra = new URL("binding/", import.meta.url);

async function sourceFiles({ package: folder }: BindingSources): Promise<string[]> {
  const files: string[] = [];
  for (const place of [join(folder, "binding"), fromFileUrl(extra)]) {
    for await (const { name } of Deno.readDir(place)) {
      if (name.endsWith(".cc") || name.endsWith(".h")) files.push(join(place, name));
    }
  }
  return files.sort();
}

const flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8"];

/** Changes whenever the binding must be compiled again. */
export async function bindingKey(sources: BindingSources): Promise<string> {
  const hash = createHash("sha256").update(flags.join(" "));
  for (const file of await sourceFiles(sources)) hash.update(await Deno.readFile(file));
  return hash.digest("hex");
}

/**
 * Compiles to `target`, which appears only when it is whole. The binding finds libtensorflow by
 * its own place: `../../deps/lib`.
 *
 * @throws {Deno.errors.InvalidData} with the compiler's first messages.
 */
export async function compileBinding(
  sources: BindingSources,
  { compiler, target }: { compiler: Compiler; target: string },
): Promise<void> {
  const { headers, folder } = sources;
  const aside = `${target}.${Deno.pid}`;
  const { success, stderr } = await new Deno.Command(compiler.command, {
    args: [
      ...flags,
      `-I${headers}`,
      `-I${join(folder, "deps", "include")}`,
      ...(await sourceFiles(sources)).filter((file) => file.endsWith(".cc")),
      `-L${join(folder, "deps", "lib")}`,
      "-l:libtensorflow_cc.so.2",
      "-l:libtensorflow_framework.so.2",
      "-Wl,-rpath,$ORIGIN/../../deps/lib",
      "-o",
      aside,
    ],
    stdout: "null",
  }).output();
  if (!success) {
    await Deno.remove(aside).catch(() => {});
    const said = new TextDecoder().decode(stderr).trim().split("\n").slice(0, 12).join("\n");
    throw new Deno.errors.InvalidData(
      `Cannot compile the binding with ${compiler.command} (${compiler.version}):\n${said}`,
    );
  }
  await Deno.rename(aside, target);
}
