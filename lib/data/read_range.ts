import type { PicturePlaces } from "./pictures.ts";

/** The bytes of image file `i` of a list; an error where the file became shorter. */
export async function readRange(
  { files, file, from, length }: Extract<PicturePlaces, { kind: "ranges" }>,
  i: number,
): Promise<Uint8Array> {
  const path = files[file[i]];
  const bytes = new Uint8Array(length[i]);
  using handle = await Deno.open(path);
  if (from[i] > 0) await handle.seek(from[i], Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    const count = await handle.read(bytes.subarray(done));
    if (count === null) {
      throw new RangeError(
        `Cannot read ${path} as it became shorter: ${from[i] + done} bytes, ` +
          `${from[i] + length[i]} needed`,
      );
    }
    done += count;
  }
  return bytes;
}
