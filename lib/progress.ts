/**
 * Progress bars that suit where they are shown: a terminal, a plain log, a notebook.
 *
 * @module
 */
import { defaultSink, drawTo, type ProgressSink } from "./progress/sinks.ts";

export { inNotebook, type ProgressSink } from "./progress/sinks.ts";

/** What a bar counts, and where it is shown. */
export type ProgressOptions = {
  /** How many units make the whole; 0 where there is nothing to do. */
  total: number;
  /** What is being done: "training base". */
  label?: string;
  /** What is counted, in the plural: "images". */
  unit?: string;
  /** Units done before the bar was made, as in a resumed run; not part of the rate. Default: 0. */
  initial?: number;
  /** Where to show the bar. Default: a notebook, a terminal or a log, as found. */
  sink?: ProgressSink;
  /** The clock, in milliseconds. */
  now?: () => number;
};

/** A bar that is being shown. */
export type Progress = Disposable & {
  /** Says that `done` units of the total are done; shown at most ten times a second. */
  update(done: number, note?: string): void;
  /** Shows the last state and ends the bar; later calls do nothing. `using` does it as well. */
  end(note?: string): void;
};

/** Least time between two updates, in milliseconds: ten a second. */
const interval = 100;
/** The rate is that of the latest stretch of this length, in milliseconds. */
const rateWindow = 30_000;

/**
 * Shows how far some work has come, with its rate and the time that remains.
 *
 * Never throws once made: where the terminal or the notebook is gone, the bar is not shown.
 *
 * @throws {RangeError} where `total` or `initial` is not a number >= 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { progress } from "./progress.ts";
 *
 * const lines: string[] = [];
 * const sink = { kind: "log", write: (line: string) => lines.push(line) } as const;
 * {
 *   using bar = progress({ total: 8, label: "training", unit: "images", sink, now: () => 0 });
 *   bar.update(8, "loss 0.5");
 * }
 * assert.deepEqual(lines, ["training: 0/8 images (0 %)", "training: 8/8 images (100 %) in 0 s, loss 0.5"]);
 * ```
 */
export function progress(options: ProgressOptions): Progress {
  const { total, label = "", unit = "", initial = 0, now = () => performance.now() } = options;
  requireCount("total", total);
  requireCount("initial", initial);
  const draw = drawTo(options.sink ?? defaultSink());
  const start = now();
  let samples = [{ time: start, done: initial }];
  let done = initial;
  let note = "";
  let lastShown = -Infinity;
  let ended = false;

  function show(time: number): void {
    lastShown = time;
    const recent = samples.filter((sample) => time - sample.time <= rateWindow);
    samples = [...(recent.length > 0 ? recent : samples.slice(-1)), { time, done }];
    // The rate of the whole at the end, of late before
    const from = ended ? { time: start, done: initial } : samples[0];
    const perSecond = (done - from.done) / ((time - from.time) / 1000);
    const isKnown = perSecond > 0 && perSecond < Infinity; // NaN before the first step
    draw({
      label,
      unit,
      done,
      total,
      fraction: total === 0 ? 1 : Math.min(Math.max(done / total, 0), 1),
      elapsed: (time - start) / 1000,
      ...(isKnown ? { perSecond } : {}),
      ...(isKnown && !ended && done < total ? { remaining: (total - done) / perSecond } : {}),
      note,
      ended,
    }, time);
  }

  function end(lastNote = note): void {
    if (ended) return;
    ended = true;
    note = lastNote;
    show(now());
  }

  show(start);
  return {
    update(nowDone, newNote = note) {
      if (ended || !Number.isFinite(nowDone)) return;
      done = nowDone;
      note = newNote;
      const time = now();
      if (time - lastShown >= interval) show(time);
    },
    end,
    [Symbol.dispose]: () => end(),
  };
}

function requireCount(name: string, value: number): void {
  if (!(value >= 0 && value < Infinity)) {
    throw new RangeError(`Cannot show progress as ${name} must be >= 0: current value is ${value}`);
  }
}
