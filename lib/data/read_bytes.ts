/** The bytes `from` to `to` of a file; RangeError where it is shorter. */
export async function readBytes(
  path: string,
  { from, to }: { from: number; to: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(to - from);
  using file = await Deno.open(path);
  if (from > 0) await file.seek(from, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) {
      throw new RangeError(
        `Cannot read ${path} as it is too short: it has ${from + done} bytes, ${to} are needed`,
      );
    }
    done += count;
  }
  return bytes;
}
