/**
 * Where progress is shown: one drawing function a kind of place.
 *
 * @module
 */
// @ts-types="@types/cli-progress"
import cliProgress from "cli-progress";
import { formatState, type ProgressState } from "./text.ts";

/** A place that shows progress. */
export type ProgressSink =
  /** A terminal: one line, drawn again and again. */
  | { kind: "terminal"; write(text: string): void; columns?: () => number }
  /** A log: a line at the start and the end, few between. */
  | { kind: "log"; write(line: string): void }
  /** A notebook: one output that is updated. */
  | { kind: "notebook"; broadcast(type: string, content: Record<string, unknown>): Promise<void> };

type NotebookSink = Extract<ProgressSink, { kind: "notebook" }>;

/** Shows a state at a time, in milliseconds. */
export type Draw = (state: ProgressState, time: number) => void;

/** Whether the code runs in a cell of a notebook on Deno's kernel. */
export function inNotebook(): boolean {
  try {
    // Outside the kernel reading the property throws
    return typeof Deno.jupyter.broadcast === "function";
  } catch {
    return false;
  }
}

/** The place to show progress in, as found: a notebook, a terminal, else a log on standard error. */
export function defaultSink(): ProgressSink {
  if (inNotebook()) {
    // `async`, as the kernel gives no promise, whatever its type says (2.9.6)
    const broadcast: NotebookSink["broadcast"] = async (type, content) =>
      await Deno.jupyter.broadcast(type, content);
    return { kind: "notebook", broadcast };
  }
  const encoder = new TextEncoder();
  const write = (text: string) => void Deno.stderr.writeSync(encoder.encode(text));
  return Deno.stderr.isTerminal()
    ? { kind: "terminal", write, columns: () => Deno.consoleSize().columns }
    : { kind: "log", write: (line) => write(`${line}\n`) };
}

/** The drawing function for a place; once that has failed, because it is gone, it does nothing. */
export function drawTo(sink: ProgressSink): Draw {
  const draw = drawUnguarded(sink);
  let gone = false;
  return (state, time) => {
    if (gone) return;
    try {
      draw(state, time);
    } catch {
      gone = true;
    }
  };
}

function drawUnguarded(sink: ProgressSink): Draw {
  switch (sink.kind) {
    case "terminal":
      return drawToTerminal(sink);
    case "log":
      return drawToLog(sink);
    case "notebook":
      return drawToNotebook(sink);
  }
}

function drawToTerminal(sink: Extract<ProgressSink, { kind: "terminal" }>): Draw {
  return (state) => {
    // A line that wraps could not be drawn over; terminals that do not know their width say 0
    const width = (sink.columns?.() || 80) - 1;
    const barsize = Math.max(Math.min(16, Math.floor(width / 4)), 0);
    const bar = cliProgress.Format.BarFormat(state.fraction, {
      barsize,
      barCompleteString: "█".repeat(barsize),
      barIncompleteString: "░".repeat(barsize),
      barGlue: "",
    });
    const line = [...`${bar} ${formatState(state)}`].slice(0, width).join("");
    sink.write(`\r\x1b[K${line}${state.ended ? "\n" : ""}`);
  };
}

/** Least time between two lines, and the time after which a line comes in any case, in ms. */
const logInterval = { least: 10_000, most: 60_000 };

function drawToLog(sink: Extract<ProgressSink, { kind: "log" }>): Draw {
  let last: { time: number; fraction: number } | undefined;
  return (state, time) => {
    const elapsed = last === undefined ? Infinity : time - last.time;
    const advanced = last === undefined ? 1 : state.fraction - last.fraction;
    const due = elapsed >= logInterval.most || (elapsed >= logInterval.least && advanced > 0.099);
    if (!due && !state.ended) return;
    last = { time, fraction: state.fraction };
    sink.write(formatState(state));
  };
}

function drawToNotebook(sink: NotebookSink): Draw {
  const display_id = crypto.randomUUID();
  let shown = false;
  let gone = false;
  return (state) => {
    if (gone) return;
    const text = formatState(state);
    const data = { "text/html": toHtml(state.fraction, text), "text/plain": text };
    const type = shown ? "update_display_data" : "display_data";
    shown = true; // before the message has left, or a second update would show a second bar
    sink.broadcast(type, { data, metadata: {}, transient: { display_id } })
      .catch(() => gone = true);
  };
}

function toHtml(fraction: number, text: string): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<progress value="${fraction.toFixed(4)}" max="1" style="width: 16em"></progress> ` +
    `<code>${escaped}</code>`;
}
