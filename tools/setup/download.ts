/**
 * Downloads that go on where they stopped and end with a checksum.
 *
 * @module
 */
import { createHash } from "node:crypto";

export type DownloadOptions = {
  /** What the file's SHA-256 must be, in hexadecimal digits. */
  sha256: string;
  /** Called as bytes arrive, with how many there are so far. */
  onProgress?: (bytes: number) => void;
  /** How often a broken transfer is taken up again before the download fails. Default: 5. */
  retries?: number;
  /** How long a transfer may stand still, in milliseconds. Default: 60 s. */
  stallMs?: number;
  client?: Deno.HttpClient | undefined;
  headers?: Record<string, string>;
};

/**
 * Downloads a file. What has arrived stays in `<target>.part` until the checksum is right, so an
 * interrupted download is taken up where it broke off, by the next call too.
 *
 * @throws {Deno.errors.InvalidData} where the checksum is wrong; the part is removed.
 * @throws {Deno.errors.Http} where the server refuses.
 */
export async function download(
  url: string,
  target: string,
  { sha256, onProgress, retries = 5, stallMs = 60_000, client, headers }: DownloadOptions,
): Promise<void> {
  const part = `${target}.part`;
  for (let attempt = 0;; attempt++) {
    try {
      await fetchRest(url, part, { onProgress, stallMs, client, headers });
      break;
    } catch (error) {
      if (error instanceof Deno.errors.Http || attempt >= retries) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(250 * 2 ** attempt, 4000)));
    }
  }
  await checkSha256(part, { sha256, name: target }).catch(async (error) => {
    await Deno.remove(part);
    throw error;
  });
  await Deno.rename(part, target);
}

async function fetchRest(
  url: string,
  part: string,
  { onProgress, stallMs, client, headers }: {
    onProgress: ((bytes: number) => void) | undefined;
    stallMs: number;
    client: Deno.HttpClient | undefined;
    headers: Record<string, string> | undefined;
  },
): Promise<void> {
  const stalled = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wind = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => stalled.abort(new DOMException("The transfer stands still", "TimeoutError")),
      stallMs,
    );
  };
  using file = await Deno.open(part, { write: true, create: true });
  try {
    let at = (await file.stat()).size;
    wind();
    const response = await fetch(url, {
      headers: { ...headers, ...(at > 0 ? { range: `bytes=${at}-` } : {}) },
      signal: stalled.signal,
      ...(client ? { client } : {}),
    });
    if (response.status === 416) { // nothing is left to send, or the part is too long: the checksum tells
      await response.body?.cancel();
      return;
    }
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      throw new Deno.errors.Http(
        `Cannot download ${
          nameIn(url)
        } as the server answered ${response.status} ${response.statusText}`,
      );
    }
    const resumed = response.status === 206 &&
      response.headers.get("content-range")?.startsWith(`bytes ${at}-`);
    if (!resumed) {
      at = 0;
      await file.truncate(0);
    }
    const length = response.headers.get("content-length");
    const total = length === null ? undefined : at + Number(length);
    await file.seek(at, Deno.SeekMode.Start);
    for await (const chunk of response.body) {
      wind();
      for (let n = 0; n < chunk.length;) n += await file.write(chunk.subarray(n));
      at += chunk.length;
      onProgress?.(at);
    }
    if (total !== undefined && at < total && !response.headers.has("content-encoding")) {
      throw new TypeError(`The transfer broke off after ${at} of ${total} bytes`);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The last part of a URL's path, without what may be secret. */
function nameIn(url: string): string {
  return new URL(url).pathname.split("/").at(-1)!;
}

/** The SHA-256 of a file, read as a stream. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 22);
  for (let n; (n = await file.read(buffer)) !== null;) hash.update(buffer.subarray(0, n));
  return hash.digest("hex");
}

/**
 * Throws unless a file has the right SHA-256.
 *
 * @throws {Deno.errors.InvalidData} naming both sums.
 */
export async function checkSha256(
  path: string,
  { sha256, name = path }: { sha256: string; name?: string },
): Promise<void> {
  const found = await fileSha256(path);
  if (found !== sha256) {
    throw new Deno.errors.InvalidData(
      `Cannot use ${name.split("/").at(-1)} as its checksum is wrong: ` +
        `SHA-256 is ${found}, must be ${sha256}`,
    );
  }
}
