/**
 * Python, for tests that hold the library to what other programs write and read.
 *
 * `tools/install_system_packages.sh` puts the packages into `.venv`; a `python3` that has them serves as well.
 *
 * @module
 */

/** A Python that can import `modules`, or why there is none. */
export async function findPython(
  ...modules: string[]
): Promise<{ python: string } | { missing: string }> {
  const own = new URL("../.venv/bin/python", import.meta.url).pathname;
  for (const python of [own, "python3", "python"]) {
    try {
      const args = ["-c", `import ${modules.join(", ")}`];
      const { success } = await new Deno.Command(python, { args, stdout: "null", stderr: "null" })
        .output();
      if (success) return { python };
    } catch {
      // not there
    }
  }
  return { missing: `no Python here has ${modules.join(" and ")}` };
}

/** Runs Python code with arguments and gives back what it prints; its errors are thrown. */
export async function runPython(
  python: string,
  { code, args = [] }: { code: string; args?: readonly string[] },
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(python, {
    args: ["-B", "-c", code, ...args],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`Python failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
