/**
 * The two ZeroMQ sockets that a Jupyter client needs, over TCP on this machine.
 *
 * Just enough of ZMTP 3.0 with the NULL mechanism: a greeting, READY, then messages of several
 * frames. No npm package speaks it without a native build.
 *
 * @module
 */

/** A connection that carries whole messages. */
export type Socket = {
  /** Sends a message of several frames. */
  send(frames: readonly Uint8Array[]): Promise<void>;
  /** The next message, or `undefined` once the other side has closed the connection. */
  receive(): Promise<Uint8Array[] | undefined>;
  close(): void;
};

/** What to connect. */
export type ConnectOptions = {
  port: number;
  /** DEALER asks and gets answers; SUB only hears what is published. */
  kind: "DEALER" | "SUB";
};

const flag = { more: 1, long: 2, command: 4 } as const;
const encoder = new TextEncoder();

/**
 * Connects a socket to a port of this machine.
 *
 * @throws {Deno.errors.ConnectionRefused} where nothing listens.
 */
export async function connect({ port, kind }: ConnectOptions): Promise<Socket> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  connection.setNoDelay(true);
  const read = reader(connection);
  try {
    await writeAll(connection, greeting());
    await read(64); // the other side's greeting
    await writeAll(connection, ready(kind));
    await readFrame(read); // its READY
    // An empty prefix subscribes to everything
    if (kind === "SUB") await writeAll(connection, Uint8Array.of(0, 1, 1));
  } catch (error) {
    connection.close();
    throw error;
  }
  return {
    send: (frames) => writeAll(connection, joinFrames(frames)),
    async receive() {
      try {
        return await readMessage(read);
      } catch (error) {
        if (isClosed(error)) return undefined;
        throw error;
      }
    },
    close() {
      try {
        connection.close();
      } catch {
        // closed already
      }
    },
  };
}

function isClosed(error: unknown): boolean {
  return [
    Deno.errors.UnexpectedEof,
    Deno.errors.ConnectionReset,
    Deno.errors.BadResource,
    Deno.errors.Interrupted,
    Deno.errors.BrokenPipe,
  ].some((kind) => error instanceof kind);
}

/** Signature, version 3.0, mechanism NULL. */
function greeting(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(encoder.encode("NULL"), 12);
  return bytes;
}

function ready(kind: string): Uint8Array {
  const property = (name: string, value: string) => [
    name.length,
    ...encoder.encode(name),
    ...[0, 0, 0, value.length],
    ...encoder.encode(value),
  ];
  const body = [
    5,
    ...encoder.encode("READY"),
    ...property("Socket-Type", kind),
    ...property("Identity", ""),
  ];
  return Uint8Array.from([flag.command, body.length, ...body]);
}

/** A message as bytes for one write: several small writes would wait for acknowledgements. */
function joinFrames(frames: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(frames.reduce((size, frame) => size + 9 + frame.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [i, frame] of frames.entries()) {
    bytes[at] = flag.long | (i < frames.length - 1 ? flag.more : 0);
    view.setBigUint64(at + 1, BigInt(frame.length));
    bytes.set(frame, at + 9);
    at += 9 + frame.length;
  }
  return bytes;
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

type Read = (size: number) => Promise<Uint8Array>;

/** Reads exactly so many bytes at a time, with few system calls. */
function reader(connection: Deno.TcpConn): Read {
  const buffer = new Uint8Array(1 << 18);
  let waiting = buffer.subarray(0, 0);
  return async (size) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      if (waiting.length === 0) {
        const count = await connection.read(buffer);
        if (count === null) throw new Deno.errors.UnexpectedEof();
        waiting = buffer.subarray(0, count);
      }
      const taken = waiting.subarray(0, size - at);
      bytes.set(taken, at);
      at += taken.length;
      waiting = waiting.subarray(taken.length);
    }
    return bytes;
  };
}

async function readFrame(read: Read): Promise<{ flags: number; body: Uint8Array }> {
  const [flags] = await read(1);
  const size = flags & flag.long
    ? Number(new DataView((await read(8)).buffer).getBigUint64(0))
    : (await read(1))[0];
  return { flags, body: await read(size) };
}

async function readMessage(read: Read): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  while (true) {
    const { flags, body } = await readFrame(read);
    if (flags & flag.command) continue;
    frames.push(body);
    if (!(flags & flag.more)) return frames;
  }
}
