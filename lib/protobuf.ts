const encoder = new TextEncoder();

/** Byte arrays from this length on are not copied until the message is finished. */
const LARGE = 4096;

/**
 * A growing message of protocol-buffer fields, each written by its number.
 *
 * Source: Protocol Buffers, "Encoding".
 */
export class ProtoWriter {
  #parts: Uint8Array[] = []; // what comes before the buffer
  #partsLength = 0;
  #buffer = new Uint8Array(256);
  #length = 0; // of the buffer

  get size(): number {
    return this.#partsLength + this.#length;
  }

  #append(part: Uint8Array): void {
    this.#parts.push(part);
    this.#partsLength += part.length;
  }

  #reserve(n: number): void {
    if (this.#length + n <= this.#buffer.length) return;
    const capacity = Math.max(n, 256, Math.min(2 * this.#buffer.length, 2 ** 16));
    this.#endPart();
    this.#buffer = new Uint8Array(capacity);
  }

  #endPart(): void {
    if (this.#length === 0) return;
    this.#append(this.#buffer.subarray(0, this.#length));
    this.#buffer = this.#buffer.subarray(this.#length);
    this.#length = 0;
  }

  #varint(value: number): void {
    this.#reserve(10);
    if (value < 0) { // two's complement in 64 bits
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 127n; rest >>= 7n) this.#buffer[this.#length++] = Number(rest & 127n) | 128;
      this.#buffer[this.#length++] = Number(rest);
      return;
    }
    for (; value > 127; value = Math.floor(value / 128)) {
      this.#buffer[this.#length++] = (value & 127) | 128;
    }
    this.#buffer[this.#length++] = value;
  }

  int(field: number, value: number): void {
    this.#varint(field << 3);
    this.#varint(value);
  }

  float(field: number, value: number): void {
    this.#varint(field << 3 | 5);
    this.#reserve(4);
    const { buffer, byteOffset } = this.#buffer;
    new DataView(buffer, byteOffset).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  double(field: number, value: number): void {
    this.#varint(field << 3 | 1);
    this.#reserve(8);
    const { buffer, byteOffset } = this.#buffer;
    new DataView(buffer, byteOffset).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  bytes(field: number, value: Uint8Array): void {
    this.#varint(field << 3 | 2);
    this.#varint(value.length);
    this.#raw(value);
  }

  #raw(value: Uint8Array): void {
    if (value.length < LARGE) {
      this.#reserve(value.length);
      this.#buffer.set(value, this.#length);
      this.#length += value.length;
    } else {
      this.#endPart();
      this.#append(value);
    }
  }

  text(field: number, value: string): void {
    this.bytes(field, encoder.encode(value));
  }

  message(field: number, write: (w: ProtoWriter) => void): void {
    const inner = new ProtoWriter();
    write(inner);
    this.#varint(field << 3 | 2);
    this.#varint(inner.size);
    inner.#endPart();
    for (const part of inner.#parts) this.#raw(part);
  }

  /** The message in one piece. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#endPart();
    const bytes = new Uint8Array(this.#partsLength);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
