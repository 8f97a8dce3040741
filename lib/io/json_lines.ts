/**
 * Files of one JSON value a line, appended to while work goes on and read however it ended.
 *
 * @module
 */

/** A line that is not JSON: the process was killed while it was written. */
export type TornLine = { line: number; text: string };

/**
 * Appends values, a line each, and flushes them to the disk; the folder must exist.
 *
 * Starts a new line first where the last one was torn, so that the fragment spoils nothing else.
 */
export async function appendJsonLines(path: string, values: readonly unknown[]): Promise<void> {
  using file = await Deno.open(path, { create: true, read: true, append: true });
  const { size } = await file.stat();
  const last = new Uint8Array(1);
  if (size > 0) {
    await file.seek(-1, Deno.SeekMode.End);
    await file.read(last);
  }
  const torn = size > 0 && last[0] !== 0x0a;
  const lines = values.map((value) => JSON.stringify(value) + "\n").join("");
  const bytes = new TextEncoder().encode((torn ? "\n" : "") + lines);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  await file.sync();
}

/** The values of a text with their line numbers, from 1, and the lines that are none. */
export function parseJsonLines(
  text: string,
): { values: { line: number; value: unknown }[]; torn: TornLine[] } {
  const values: { line: number; value: unknown }[] = [], torn: TornLine[] = [];
  text.split("\n").forEach((content, index) => {
    if (content.trim() === "") return;
    const line = index + 1;
    try {
      values.push({ line, value: JSON.parse(content) });
    } catch {
      torn.push({ line, text: content });
    }
  });
  return { values, torn };
}
