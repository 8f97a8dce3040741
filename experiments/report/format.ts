/**
 * Numbers as a report prints them; a dash stands for one that is missing or not finite.
 *
 * @module
 */
const NONE = "–";

/** A loss: four decimals, or three digits where it is small. */
export function formatLoss(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  return minus(Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toPrecision(3));
}

/** A difference of losses: five decimals, so that it and its interval can be compared. */
export function formatDifference(value: number): string {
  return Number.isFinite(value) ? minus(value.toFixed(Math.abs(value) < 0.1 ? 5 : 4)) : NONE;
}

/** A number with its sign. */
export function formatSigned(value: number, format: (value: number) => string): string {
  return Number.isFinite(value) && value > 0 ? `+${format(value)}` : format(value);
}

/** A share as per cent with one decimal. */
export function formatPercent(value: number): string {
  return Number.isFinite(value) ? minus(`${(100 * value).toFixed(1)} %`) : NONE;
}

/** Three digits, such as 9.12, 46.1 or 1,234. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  return minus(Math.abs(value) >= 1000 ? formatCount(value) : value.toPrecision(3));
}

/** A whole number with its digits grouped. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : NONE;
}

/** Parameters, in thousands or millions. */
export function formatParams(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : `${(value / 1e3).toPrecision(3)} k`;
}

/** Bytes in GiB. */
export function formatBytes(value: number): string {
  return `${(value / 2 ** 30).toFixed(value < 10 * 2 ** 30 ? 1 : 0)} GiB`;
}

/** A duration in seconds, minutes or hours. */
export function formatSeconds(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  if (value < 120) return `${value.toFixed(0)} s`;
  return value < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
}

/** A list in words: "a", "a and b", "a, b and c". */
export function formatList(items: string[], word: "and" | "or" = "and"): string {
  if (items.length < 2) return items.join("");
  return `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;
}

/** A count with its noun: "1 seed", "3 seeds". */
export function formatCounted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function minus(text: string): string {
  return text.replace("-", "−");
}
