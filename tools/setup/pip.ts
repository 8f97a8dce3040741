/**
 * Downloads through the user's pip, which knows proxies, mirrors, certificates and logins.
 *
 * @module
 */
import { join } from "@std/path";
import { platformsOf, versionOf, type Wheel } from "./wheels.ts";

/** A command that starts pip. */
export type Pip = readonly string[];

/** Runs a command; `run` of {@link findPip} and {@link downloadWithPip}, so that tests need no pip. */
export type Run = (
  command: readonly string[],
  options: { quiet: boolean },
) => Promise<{ success: boolean; stderr: string }>;

/** Runs a command; its output is shown unless `quiet`. */
export const run: Run = async ([program, ...args], { quiet }) => {
  try {
    const child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: quiet ? "null" : "inherit",
      stderr: "piped",
    });
    const { success, stderr } = await child.output();
    return { success, stderr: new TextDecoder().decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { success: false, stderr: "not found" };
    throw error;
  }
};

/** The first pip that answers; undefined where there is none. */
export async function findPip(runIt: Run = run): Promise<Pip | undefined> {
  for (const pip of [["python3", "-m", "pip"], ["python", "-m", "pip"], ["pip3"], ["pip"]]) {
    if ((await runIt([...pip, "--version"], { quiet: true })).success) return pip;
  }
  return undefined;
}

/** The arguments that make pip fetch one wheel and nothing else, whatever Python it runs on. */
export function pipArguments(wheel: Wheel, folder: string): string[] {
  const [, , python, abi] = wheel.file.replace(/\.whl$/, "").split("-");
  const version = /^cp(\d)(\d+)$/.exec(python);
  return [
    "download",
    "--no-deps",
    "--no-cache-dir", // kept unpacked, so a second copy would only take room
    "--only-binary=:all:",
    ...(version
      ? ["--implementation", "cp", "--python-version", `${version[1]}.${version[2]}`, "--abi", abi]
      : []),
    ...platformsOf(wheel).flatMap((platform) => ["--platform", platform]),
    "--dest",
    folder,
    `${wheel.project}==${versionOf(wheel)}`,
  ];
}

/**
 * Downloads a wheel into a folder.
 *
 * @throws {Deno.errors.NotFound} where pip fails, with the end of what it said.
 */
export async function downloadWithPip(
  wheel: Wheel,
  { pip, folder, quiet = !Deno.stdout.isTerminal(), runIt = run }: {
    pip: Pip;
    folder: string;
    quiet?: boolean;
    runIt?: Run;
  },
): Promise<string> {
  const { success, stderr } = await runIt([...pip, ...pipArguments(wheel, folder)], { quiet });
  const path = join(folder, wheel.file);
  const arrived = await Deno.stat(path).then(() => true, () => false);
  if (!success || !arrived) {
    const said = stderr.trim().split("\n").slice(-4).join("\n");
    throw new Deno.errors.NotFound(
      `Cannot fetch ${wheel.file} as ${pip.join(" ")} failed` + (said ? `: ${said}` : ""),
    );
  }
  return path;
}
