/** Bytes that are read by ranges, so that a large file need not be in memory whole. */
export type ByteSource = {
  /** How many bytes there are. */
  size: number;
  /** Bytes `from` to `to`; a view where they are in memory already. Throws a RangeError outside of the bytes. */
  read(from: number, to: number): Uint8Array;
};

/** Bytes in memory; what is read are views of them. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(from, to) {
      checkRange(from, to, bytes.length);
      return bytes.subarray(from, to);
    },
  };
}

/** A file, open until disposed of. */
export function fileSource(path: string): ByteSource & Disposable {
  const file = Deno.openSync(path, { read: true });
  const size = file.statSync().size;
  return {
    size,
    read(from, to) {
      checkRange(from, to, size);
      const bytes = new Uint8Array(to - from);
      file.seekSync(from, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        const count = file.readSync(bytes.subarray(done));
        if (count === null) {
          throw new RangeError(
            `Cannot read ${path} as it became shorter: ${from + done} bytes, ${to} needed`,
          );
        }
        done += count;
      }
      return bytes;
    },
    [Symbol.dispose]: () => file.close(),
  };
}

function checkRange(from: number, to: number, size: number): void {
  if (!(from >= 0 && from <= to && to <= size)) {
    throw new RangeError(
      `Cannot read outside of the file: bytes ${from} to ${to}, the file has ${size}`,
    );
  }
}
