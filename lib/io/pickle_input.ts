const MAX_INTEGER = 64; // bytes

/** A cursor over the bytes of a pickle. */
export type PickleInput = ReturnType<typeof pickleInput>;

/** A cursor over bytes that throws a RangeError past their end. */
export function pickleInput(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let at = 0;
  const take = (count: number): number => {
    if (!(at + count <= bytes.length)) {
      throw new RangeError(
        `Cannot read the pickle as it is truncated: it has ${bytes.length} bytes, ${
          at + count
        } needed`,
      );
    }
    at += count;
    return at - count;
  };
  const slice = (count: number) => bytes.subarray(take(count), at);
  const decode = (encoded: Uint8Array) => {
    try {
      return decoder.decode(encoded);
    } catch (cause) {
      throw new SyntaxError("Cannot read the pickle as a text is not UTF-8", { cause });
    }
  };
  return {
    position: () => at,
    u8: () => view.getUint8(take(1)),
    i32: () => view.getInt32(take(4), true),
    f64: () => view.getFloat64(take(8), false), // big-endian, alone among the opcodes
    /** An unsigned integer of 2, 4 or 8 bytes. */
    size(width: 2 | 4 | 8): number {
      const from = take(width);
      if (width === 2) return view.getUint16(from, true);
      if (width === 4) return view.getUint32(from, true);
      return Number(view.getBigUint64(from, true));
    },
    bytes: slice,
    text: (count: number) => decode(slice(count)),
    /** Text up to a line's end. */
    line(): string {
      const length = bytes.subarray(at, at + 256).indexOf(10);
      if (length < 0) throw malformed("the name of a global does not end");
      const encoded = slice(length);
      take(1);
      return decode(encoded);
    },
  };
}

/** A little-endian two's complement integer. */
export function pickleInteger(input: PickleInput, length: number): number | bigint {
  if (!(length <= MAX_INTEGER)) {
    throw refused(`integers must have at most ${MAX_INTEGER} bytes: one has ${length}`);
  }
  let value = 0n;
  for (const byte of input.bytes(length).toReversed()) value = value << 8n | BigInt(byte);
  value = BigInt.asIntN(8 * length, value);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The error of a pickle that breaks the format's rules. */
export function malformed(what: string): SyntaxError {
  return new SyntaxError(`Cannot read the pickle as ${what}`);
}

/** The error of a pickle that needs more than data. */
export function refused(what: string): TypeError {
  return new TypeError(`Cannot read the pickle as ${what}`);
}
