/**
 * Prepares a checkout; runs by itself before the tasks that need it.
 *
 * Where the JSR registry does not answer, `@std/path` cannot be fetched, so a
 * stand-in is copied to `.offline/`, which `deno.json` names as a workspace
 * member. Where it answers, `.offline/` is removed and the real package is used.
 * `OFFLINE=1` forces the stand-in. Uses no packages, since it runs before them.
 *
 * `deno task setup --engine tensorflow` sets up that engine as well; see `setup/command.ts`.
 *
 * @module
 */
const root = new URL("../", import.meta.url);
const source = new URL("offline/path/", import.meta.url);
const target = new URL(".offline/path/", root);

/** Whether Deno itself can fetch the package, asked outside the checkout so that no stand-in answers. */
async function registryAnswers(): Promise<boolean> {
  if (Deno.env.get("OFFLINE") === "1") return false;
  const folder = await Deno.makeTempDir();
  try {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["cache", "--no-lock", "jsr:@std/path@^1.1.4"],
      cwd: folder,
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.timeout(5000),
    }).output();
    return success;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function exists(url: URL): Promise<boolean> {
  try {
    await Deno.stat(url);
    return true;
  } catch {
    return false;
  }
}

/** Copies the stand-in file by file, only where it differs, so that running tasks are not disturbed. */
async function placeStandIn(): Promise<void> {
  await Deno.mkdir(target, { recursive: true });
  for await (const { name } of Deno.readDir(source)) {
    const wanted = await Deno.readTextFile(new URL(name, source));
    const file = new URL(name, target);
    if (await exists(file) && await Deno.readTextFile(file) === wanted) continue;
    await Deno.writeTextFile(file, wanted);
  }
}

const standIn = await exists(target);
if (await registryAnswers()) {
  if (standIn) await Deno.remove(new URL(".offline/", root), { recursive: true });
} else {
  if (!standIn) console.log("The JSR registry was not reached: using the stand-in for @std/path");
  await placeStandIn();
}

// a process of its own: this one resolved its imports before the stand-in was in place
if (Deno.args.length > 0) {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("setup/command.ts", import.meta.url).href, ...Deno.args],
    cwd: root,
  }).spawn().status;
  Deno.exit(code);
}
