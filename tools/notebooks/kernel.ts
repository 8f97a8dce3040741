/**
 * Deno's Jupyter kernel as a child process, spoken to directly: no Python, no Jupyter.
 *
 * @module
 */
import { decode, encode, importKey, type Published, type Reply } from "./messages.ts";
import { connect, type ConnectOptions, type Socket } from "./zmtp.ts";

/** Milliseconds that a cell's last output may come after everything says that it is done. */
const LATE = 40;

/** A running kernel; stopped when disposed of. */
export type Kernel = AsyncDisposable & {
  /**
   * Runs code and waits for all that it puts out.
   *
   * @throws {KernelEnded} where the kernel ends before it has answered.
   */
  execute(code: string, onMessage: (message: Published) => void): Promise<Reply>;
  /** Ends the kernel at once; whatever runs in it fails with {@link KernelEnded}. */
  stop(): Promise<void>;
};

/** A kernel that is no longer there. */
export class KernelEnded extends Error {
  override name = "KernelEnded";
  constructor(readonly status: Deno.CommandStatus, readonly log: string) {
    super(`The kernel ended with ${status.signal ?? `exit code ${status.code}`}`);
  }
}

/** Where a kernel runs. */
export type StartKernelOptions = {
  /** Its working directory: the notebook's folder, from which it finds modules and `deno.json`. */
  cwd: string;
  /** Longest time to wait for it, in seconds. Default: 60. */
  limit?: number;
};

/** A request on its way: whom to tell what comes back. */
type Pending = {
  onMessage(message: Published): void;
  onReply(reply: Reply): void;
  onIdle(): void;
};

/**
 * Starts a kernel and waits until it answers.
 *
 * @throws {KernelEnded} where it ends before that.
 */
export async function startKernel({ cwd, limit = 60 }: StartKernelOptions): Promise<Kernel> {
  const until = Date.now() + limit * 1000;
  // A port that was free may be taken before the kernel binds it: then the kernel ends
  for (let attempt = 1;; attempt++) {
    try {
      return await tryToStart({ cwd, until });
    } catch (error) {
      if (!(error instanceof KernelEnded) || attempt === 3) throw error;
    }
  }
}

async function tryToStart({ cwd, until }: { cwd: string; until: number }): Promise<Kernel> {
  const keyText = crypto.randomUUID();
  const ports = freePorts();
  const file = await Deno.makeTempFile({ prefix: "hdit-kernel-", suffix: ".json" });
  await Deno.writeTextFile(file, JSON.stringify(connectionInfo(ports, keyText)));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["jupyter", "--kernel", "--conn", file],
    cwd,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const logs = [tailOf(child.stdout), tailOf(child.stderr)];
  const sockets: Socket[] = [];
  const pending = new Map<string, Pending>();
  const session = crypto.randomUUID();
  const key = await importKey(keyText);
  let pumps: Promise<void>[] = [];
  let unreadable: unknown;

  const ended = (async () => {
    const status = await child.status;
    await Promise.allSettled(pumps); // what it had sent before it ended
    // Not for ever: a process that a cell started may hold the streams open
    const texts = await within(500, Promise.all(logs)) ?? [];
    const hint = unreadable === undefined
      ? ""
      : "Its messages became unreadable, as happens with outputs of megabytes: show less";
    return new KernelEnded(status, [hint, ...texts].filter((text) => text !== "").join("\n"));
  })();
  async function stop(): Promise<void> {
    try {
      child.kill("SIGKILL");
    } catch {
      // ended already
    }
    await ended;
    for (const socket of sockets) socket.close();
    await Deno.remove(file).catch(() => {});
  }

  async function pump(socket: Socket): Promise<void> {
    while (true) {
      const frames = await socket.receive();
      if (frames === undefined) return;
      const received = await decode(frames, key);
      const request = received && pending.get(received.parentId);
      if (!received || !request) continue;
      if (received.kind === "reply") request.onReply(received.reply);
      else {
        const { message } = received;
        request.onMessage(message);
        if (message.type === "status" && message.content.execution_state === "idle") {
          request.onIdle();
        }
      }
    }
  }

  /** Sends a request; its messages are heard until `pending` forgets it. */
  function ask(type: string, content: unknown, onMessage: Pending["onMessage"]): Asked {
    const id = crypto.randomUUID();
    const reply = Promise.withResolvers<Reply>();
    const idle = Promise.withResolvers<true>();
    for (const { promise, reject } of [reply, idle]) {
      promise.catch(() => {}); // nobody may be waiting
      ended.then(reject);
    }
    pending.set(id, { onMessage, onReply: reply.resolve, onIdle: () => idle.resolve(true) });
    encode({ id, session, type, content }, key)
      .then((frames) => sockets[0].send(frames))
      .catch(() => {}); // the kernel has ended, which is told above
    return { reply: reply.promise, idle: idle.promise };
  }

  async function execute(code: string, onMessage: Pending["onMessage"]): Promise<Reply> {
    pending.clear();
    const options = { user_expressions: {}, allow_stdin: false, stop_on_error: true };
    const loud = { ...options, code, silent: false, store_history: true };
    const silent = { ...options, code: "void 0", silent: true, store_history: false };
    const reply = await ask("execute_request", loud, onMessage).reply;
    // The kernel may say that it is idle before a cell's last output; by the time that it has
    // answered another request, it has sent all of it. It may also drop that answer, where the
    // socket is still full with a large output: then it is asked again
    for (let attempt = 0; attempt < 10; attempt++) {
      const barrier = ask("execute_request", silent, onMessage);
      await barrier.reply;
      if (await within(2000, barrier.idle)) break;
    }
    await new Promise((resolve) => setTimeout(resolve, LATE)); // on a busy machine even later
    return reply;
  }

  try {
    for (const kind of ["DEALER", "SUB"] as const) {
      const port = kind === "DEALER" ? ports.shell_port : ports.iopub_port;
      sockets.push(await connectSoon({ port, kind }, { until, ended }));
    }
    pumps = sockets.map((socket) =>
      pump(socket).catch((error) => {
        unreadable ??= error; // which leaves nothing to wait for
        child.kill("SIGKILL");
      })
    );
    await hearsKernel({ ask, until, ended });
  } catch (error) {
    await stop();
    throw error;
  }
  return { execute, stop, [Symbol.asyncDispose]: stop };
}

type Asked = { reply: Promise<Reply>; idle: Promise<true> };
type Waiting = { until: number; ended: Promise<KernelEnded> };

/** Connects as soon as the kernel listens. */
async function connectSoon(options: ConnectOptions, { until, ended }: Waiting): Promise<Socket> {
  while (true) {
    try {
      return await connect(options);
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    const reason = await within(20, ended);
    if (reason) throw reason;
  }
}

/** Asks again and again until an answer is published as well: a SUB socket joins late. */
async function hearsKernel(
  { ask, until, ended }: Waiting & {
    ask(type: string, content: unknown, onMessage: () => void): Asked;
  },
): Promise<void> {
  while (Date.now() < until) {
    const heard = Promise.withResolvers<true>();
    ask("kernel_info_request", {}, () => heard.resolve(true));
    const answer = await within(200, Promise.race([heard.promise, ended]));
    if (answer === true) return;
    if (answer !== undefined) throw answer;
  }
  throw new Deno.errors.TimedOut("The kernel did not answer in time");
}

/** What a promise gives within a time in milliseconds, else `undefined`. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

type Ports = Record<`${"shell" | "iopub" | "stdin" | "control" | "hb"}_port`, number>;

function freePorts(): Ports {
  const listeners = Array.from(
    { length: 5 },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const [shell_port, iopub_port, stdin_port, control_port, hb_port] = listeners
    .map((listener) => (listener.addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return { shell_port, iopub_port, stdin_port, control_port, hb_port };
}

function connectionInfo(ports: Ports, key: string) {
  const signature_scheme = "hmac-sha256";
  return {
    transport: "tcp",
    ip: "127.0.0.1",
    kernel_name: "deno",
    key,
    signature_scheme,
    ...ports,
  };
}

/** The last 4,000 characters of what a process prints. */
async function tailOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let tail = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    tail = (tail + text).slice(-4000);
  }
  // What the kernel says of itself at every start
  return tail.replace(/^Warning "deno jupyter" is unstable.*\n?/m, "").trim();
}
