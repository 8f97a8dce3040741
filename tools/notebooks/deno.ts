/** How to run one of Deno's tools. */
export type DenoOptions = {
  /** Ends it. */
  signal: AbortSignal;
  /** What it reads. Default: nothing. */
  stdin?: string;
  /** Where it runs. Default: here. */
  cwd?: string;
};

/** What one of Deno's tools answered; `text` is all that it printed. */
export type DenoResult = { code: number; stdout: string; text: string };

/**
 * Runs one of Deno's tools, such as `deno lint`.
 *
 * @throws the signal's reason, where it is aborted.
 */
export async function deno(
  args: readonly string[],
  { signal, stdin = "", cwd = Deno.cwd() }: DenoOptions,
): Promise<DenoResult> {
  signal.throwIfAborted();
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal,
  }).spawn();
  const written = new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
  const [{ code, stdout, stderr }] = await Promise.all([child.output(), written]);
  signal.throwIfAborted();
  const decoder = new TextDecoder();
  const [out, err] = [decoder.decode(stdout), decoder.decode(stderr)];
  return { code, stdout: out, text: [out, err].map((t) => t.trim()).filter(Boolean).join("\n") };
}
