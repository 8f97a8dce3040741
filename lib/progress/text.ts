/** How far some work has come. */
export type ProgressState = {
  label: string;
  unit: string;
  done: number;
  total: number;
  /** Part done, in [0, 1]. */
  fraction: number;
  /** Seconds since the start. */
  elapsed: number;
  /** Units a second, where it is known. */
  perSecond?: number;
  /** Seconds that remain at this rate, where it is known. */
  remaining?: number;
  note: string;
  ended: boolean;
};

/** A state as one line: `training: 400/800 images (50 %), 12/s, 33 s left, loss 0.5`. */
export function formatState(state: ProgressState): string {
  const counts = `${formatCount(state.done)}/${formatCount(state.total)}`;
  const label = state.label === "" ? "" : `${state.label}: `;
  const unit = state.unit === "" ? "" : ` ${state.unit}`;
  const percent = `(${Math.floor(100 * state.fraction)} %)`;
  const took = state.ended ? ` in ${formatDuration(state.elapsed)}` : "";
  const rest = [
    state.perSecond === undefined ? "" : `${formatCount(state.perSecond)}/s`,
    state.remaining === undefined ? "" : `${formatDuration(state.remaining)} left`,
    state.note.replaceAll(/\s+/g, " ").trim(), // one line
  ];
  return [`${label}${counts}${unit} ${percent}${took}`, ...rest.filter((part) => part !== "")]
    .join(", ");
}

/** A count or a rate, with three digits below a hundred where it is not whole. */
export function formatCount(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 100) {
    return Math.round(value).toLocaleString("en");
  }
  return String(Number(value.toPrecision(3)));
}

/**
 * A time in seconds, in the units that people read.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatDuration } from "./text.ts";
 *
 * assert.equal(formatDuration(4.26), "4.3 s");
 * assert.equal(formatDuration(125), "2 min 5 s");
 * assert.equal(formatDuration(7265), "2 h 1 min");
 * ```
 */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
