/**
 * Event files of TensorBoard: records of protocol-buffer messages, one after the other.
 *
 * @module
 */
import { join } from "@std/path";
import { ProtoWriter } from "../protobuf.ts";

/** Writes what TensorBoard shows; close it by `using`. */
export type TensorBoard = Disposable & {
  /** Numbers of one step, by tag: `loss/train`. */
  scalars(step: number, values: Readonly<Record<string, number>>): void;
  /** A PNG picture of one step. */
  image(step: number, tag: string, png: Uint8Array): void;
};

/**
 * Opens a new event file in a folder. Each session of a run has its own; TensorBoard shows them as one curve.
 *
 * `step` is where the session begins: what earlier sessions wrote of later steps is hidden, as it is computed again.
 * Each call appends whole records, so that a crash loses at most the last.
 *
 * Source: tensorflow/core/util/event.proto and lib/io/record_writer.h.
 */
export function openTensorBoard(
  dir: string,
  { step = 0, now = Date.now }: { step?: number; now?: () => number } = {},
): TensorBoard {
  Deno.mkdirSync(dir, { recursive: true });
  const seconds = Math.floor(now() / 1000), name = crypto.randomUUID().slice(0, 8);
  const path = join(dir, `events.out.tfevents.${seconds}.hdit.${name}`);
  const file = Deno.openSync(path, { append: true, createNew: true });
  // Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7
  const append = (step: number, write: (event: ProtoWriter) => void) => {
    const event = new ProtoWriter();
    event.double(1, now() / 1000);
    event.int(2, step);
    write(event);
    const bytes = record(event.finish());
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
  };
  append(0, (event) => event.text(3, "brain.Event:2"));
  append(step, (event) => event.message(7, (log) => log.int(1, 1))); // SessionLog: START
  return {
    scalars: (step, values) =>
      append(step, (event) =>
        event.message(5, (summary) => { // Summary: value 1 { tag 1, simple_value 2, image 4 }
          for (const [tag, value] of Object.entries(values)) {
            summary.message(1, (entry) => {
              entry.text(1, tag);
              entry.float(2, value);
            });
          }
        })),
    image: (step, tag, png) =>
      append(step, (event) =>
        event.message(5, (summary) =>
          summary.message(1, (entry) => {
            entry.text(1, tag);
            entry.message(4, (image) => { // height 1, width 2, colorspace 3, encoded_image_string 4
              const header = new DataView(png.buffer, png.byteOffset); // PNG's first chunk
              image.int(1, header.getUint32(20));
              image.int(2, header.getUint32(16));
              image.int(3, 3);
              image.bytes(4, png);
            });
          }))),
    [Symbol.dispose]: () => file.close(),
  };
}

/** A record: length, its checksum, the data, their checksum. */
function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16), view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return bytes;
}

/** CRC-32C (polynomial 0x82f63b78, reflected) by bytes. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** The checksum rotated by 15 bits and offset, as records that hold checksums need it. */
export function maskedCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ crc >>> 8;
  crc = ~crc >>> 0;
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}
