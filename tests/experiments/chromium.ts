/**
 * Opens a file in headless Chromium over its debugging protocol, and notes all that it complains
 * about or asks the network for.
 *
 * @module
 */

/** The path of a Chromium, or undefined. */
export async function findChromium(): Promise<string | undefined> {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      try {
        if ((await Deno.stat(`${folder}/${name}`)).isFile) return `${folder}/${name}`;
      } catch {
        // not in this folder
      }
    }
  }
}

/** What a page did, and a way to ask it. */
export type OpenPage = {
  /** Exceptions, console errors and warnings, and the browser's own log; those of workers too. */
  complaints: string[];
  /** Addresses asked for other than file:, data: and blob:. */
  requests: string[];
  evaluate(expression: string): Promise<unknown>;
  /** What is seen of the page now, as a PNG file. */
  screenshot(): Promise<Uint8Array>;
};

type Message = {
  id?: number;
  method?: string;
  // deno-lint-ignore no-explicit-any
  params?: any;
  // deno-lint-ignore no-explicit-any
  result?: any;
  error?: { message: string };
};

/** Opens a URL, calls `use`, and closes the browser whatever happens. */
export async function withPage<T>(
  chromium: string,
  options: { url: string; width?: number; height?: number; dark?: boolean },
  use: (page: OpenPage) => Promise<T>,
): Promise<T> {
  const { url, width = 1280, height = 900, dark = false } = options;
  const profile = await Deno.makeTempDir();
  const browser = new Deno.Command(chromium, {
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
    ],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let socket: WebSocket | undefined;
  try {
    socket = new WebSocket(await debuggerUrl(browser.stderr));
    await new Promise((resolve, reject) => {
      socket!.onopen = resolve;
      socket!.onerror = reject;
    });
    const complaints: string[] = [];
    const requests: string[] = [];
    const waiting = new Map<number, (message: Message) => void>();
    let loaded = () => {};
    const load = new Promise<void>((resolve) => loaded = resolve);
    socket.onmessage = ({ data }) => {
      const message: Message = JSON.parse(data);
      if (message.id !== undefined) waiting.get(message.id)?.(message);
      const { params } = message;
      switch (message.method) {
        case "Runtime.exceptionThrown":
          complaints.push(params.exceptionDetails.exception?.description ?? "exception");
          break;
        case "Runtime.consoleAPICalled":
          if (["error", "warning", "assert"].includes(params.type)) {
            complaints.push(JSON.stringify(params.args));
          }
          break;
        case "Log.entryAdded":
          complaints.push(params.entry.text);
          break;
        case "Network.requestWillBeSent":
          if (!/^(file|data|blob):/.test(params.request.url)) requests.push(params.request.url);
          break;
        case "Page.loadEventFired":
          loaded();
          break;
        case "Target.attachedToTarget": { // a worker, which waits until it is watched
          if (!session.sessionId) break; // the page itself
          const worker = { sessionId: params.sessionId };
          for (const domain of ["Runtime", "Log", "Network"]) send(`${domain}.enable`, {}, worker);
          send("Runtime.runIfWaitingForDebugger", {}, worker);
        }
      }
    };
    let count = 0;
    let session: { sessionId?: string } = {};
    const send = (method: string, params: unknown = {}, to = session) =>
      // deno-lint-ignore no-explicit-any
      new Promise<any>((resolve, reject) => {
        const id = ++count;
        waiting.set(id, ({ result, error }) =>
          error ? reject(new Error(error.message)) : resolve(result));
        socket!.send(JSON.stringify({ id, method, params, ...to }));
      });
    const { targetId } = await send("Target.createTarget", { url: "about:blank" });
    session = await send("Target.attachToTarget", { targetId, flatten: true });
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await send(`${domain}.enable`);
    await send("Target.setAutoAttach", {
      autoAttach: true,
      waitForDebuggerOnStart: true,
      flatten: true,
    });
    await send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
    await send("Page.navigate", { url });
    await load;
    const evaluate = async (expression: string) => {
      const { result, exceptionDetails } = await send("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description);
      return result.value;
    };
    const screenshot = async () => {
      const { data } = await send("Page.captureScreenshot", { captureBeyondViewport: true });
      return Uint8Array.fromBase64(data);
    };
    return await use({ complaints, requests, evaluate, screenshot });
  } finally {
    if (socket?.readyState === WebSocket.OPEN) {
      const closed = new Promise((resolve) => socket!.onclose = resolve);
      socket.close();
      await closed;
    }
    browser.kill();
    await browser.status;
    await Deno.remove(profile, { recursive: true }).catch(() => {});
  }
}

/** The address that Chromium prints on its standard error. */
async function debuggerUrl(stderr: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const reader = stderr.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (true) {
      const { value, done } = await reader.read();
      text += value ?? "";
      const found = /DevTools listening on (ws:\S+)/.exec(text);
      if (found) return found[1];
      if (done) throw new Error(`Cannot find the debugger of Chromium: ${text}`);
    }
  } finally {
    await reader.cancel();
  }
}
